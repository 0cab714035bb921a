"""The chart of incidents as an SVG picture: what fails, and the load, under the SDK alone and under the policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from otel_claude_stream.cli.simulate.course import STEP, Course
from otel_claude_stream.cli.view.printable import printable_line

WIDTH: Final = 440
HEIGHT: Final = 150
MARGIN: Final = 56
SDK: Final = "#8a8f98"
POLICY: Final = "#1565c0"
STYLE: Final = "font:12px sans-serif;fill:#333"

Compared = tuple[str, Course, Course]
"""A title, and the courses under the SDK alone and under the policy."""


def svg(compared: Sequence[Compared]) -> str:
    """Return the picture, with a row for each incident."""
    row = HEIGHT + 2 * MARGIN
    body = "\n".join(part for number, one in enumerate(compared) for part in _row(number * row, *one))
    width, height = 2 * WIDTH + 3 * MARGIN, row * len(compared)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img">\n<title>Simulated incidents: the SDK alone and the policy</title>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _row(top: float, title: str, sdk: Course, policy: Course) -> Iterator[str]:
    yield _text(MARGIN, top + 20, title, "font-weight:bold")
    keys = ((SDK, "SDK alone"), (POLICY, "policy"))
    for number, (colour, name) in enumerate(keys):
        at = 2 * WIDTH + 2 * MARGIN - 180 + number * 100
        yield f'<rect x="{at}" y="{top + 11}" width="10" height="10" fill="{colour}"/>'
        yield _text(at + 15, top + 20, name)
    for number, (name, unit) in enumerate(
        (("requests", "requests a second"), ("unserved", "calls without an answer, %"))
    ):
        left, lines = MARGIN + number * (WIDTH + MARGIN), [_points(course, name) for course in (sdk, policy)]
        most = max(1.0, *(value for line in lines for value in line)) if name == "requests" else 100.0
        until, bottom = sdk.incident.until, top + MARGIN + HEIGHT
        begins, ends = (left + at / until * WIDTH for at in (sdk.incident.begins, sdk.incident.ends))
        size = f'width="{ends - begins:.1f}" height="{HEIGHT}"'
        yield f'<rect x="{begins:.1f}" y="{top + MARGIN}" {size} fill="#fdecea"/>'
        yield f'<path d="M{left} {top + MARGIN}V{bottom}H{left + WIDTH}" fill="none" stroke="#999"/>'
        yield _text(left, top + MARGIN - 6, unit)
        yield _text(left - 6, top + MARGIN + 10, f"{most:.0f}", "text-anchor:end")
        yield _text(left - 6, bottom, "0", "text-anchor:end")
        yield _text(left + WIDTH, bottom + 16, f"{until:.0f} s", "text-anchor:end")
        for line, (colour, _) in zip(lines, keys, strict=True):
            points = " ".join(
                f"{left + (at + 0.5) * STEP / until * WIDTH:.1f},{bottom - value / most * HEIGHT:.1f}"
                for at, value in enumerate(line)
            )
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _points(course: Course, name: str) -> list[float]:
    """Return a figure for each step of the chart."""
    parts = course.steps()
    if name == "requests":
        return [sum(second.requests for second in part) / STEP for part in parts]
    ended = [(sum(s.failed + s.left for s in part), sum(s.completed for s in part)) for part in parts]
    return [100.0 * lost / max(1, lost + served) for lost, served in ended]


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{STYLE};{style}">{escape(printable_line(text))}</text>'
