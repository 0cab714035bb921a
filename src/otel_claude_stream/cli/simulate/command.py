"""``otel-claude-stream simulate``: what users would see in an incident under a retry policy, in simulated time."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from otel_claude_stream._config import Severity, otel_file
from otel_claude_stream._config.policy.loading import is_configured, load
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.sources import FILE_VARIABLE
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream.cli.errors import OK, CommandError, UsageError
from otel_claude_stream.cli.files import is_same_file
from otel_claude_stream.cli.process import collector_paused
from otel_claude_stream.cli.simulate.chart import Compared, svg
from otel_claude_stream.cli.simulate.course import Course, Totals, chart_lines
from otel_claude_stream.cli.simulate.incidents import INCIDENTS, PHASES, Incident
from otel_claude_stream.cli.simulate.simulation import simulate
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.printable import json_text, printable, printable_line
from otel_claude_stream.cli.view.report import checked_path

MODEL: Final = "claude-sonnet-5"
MOST_USERS: Final = 100_000
DURING: Final = PHASES[1]

EXAMPLES: Final = f"""\
examples:
  otel-claude-stream simulate --policy retry.yaml                        all incidents
  otel-claude-stream simulate --policy interactive --incident overload   a preset, and the course of the incident
  otel-claude-stream simulate --policy retry.yaml --from streams.jsonl   the failures of a recording of 'run --save'
  otel-claude-stream simulate --policy retry.yaml --plot incidents.svg   and a picture
  otel-claude-stream simulate --policy retry.yaml --json | jq '.incidents[].policy.incident.requests_per_call'

incidents:
{chr(10).join(f"  {name:12}{incident.about}" for name, incident in INCIDENTS.items())}

The decisions, the back-off, the clocks of the watchdog, the budget and the limit on open requests are those that run in
production. The API, the users and the SDK's own retries (max_retries=2) are simulated. All users belong to one process.
Each calls again a few seconds after an answer or an error, so a policy that fails sooner has more calls. Tokens are
estimated from what arrived. A seam is found in 95 % of the texts that are resumed. A fallback model takes every
request. Nothing is sent.

With --from, each request fails as likely and in the same way as those of the recording, independently of each other.
So a retry has as good a chance as a first request, which is not true of an overload: simulate that by --incident.

exit codes: 0 simulated, whatever the result; 1 a file could not be read or written; 2 errors in the policy, or wrong
usage"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--policy", metavar="FILE", help="a policy file or a preset (default: the policy of this environment)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--incident", choices=list(INCIDENTS), help="one incident only (default: all of them)")
    source.add_argument(
        "--from", dest="recording", metavar="FILE", help="learn the failures from telemetry as OTLP JSON lines"
    )
    parser.add_argument("--users", metavar="N", type=_users, help="the number of users (default: 1000)")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="for other random numbers (default: 1)")
    parser.add_argument(
        "--model", type=_model, default=MODEL, help="the model whose policy applies (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--plot", metavar="FILE", help="also write a picture of the incidents, as SVG")


def _users(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MOST_USERS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_USERS}")
    return int(text)


def _model(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; name a model")
    return text


def run(args: argparse.Namespace) -> int:
    """Simulate the incidents and return the exit code."""
    with collector_paused():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    plot = _plot(args, os.environ)
    whole = _policy(args.policy, os.environ)
    policy = whole.for_model(args.model)
    for key in _without_pattern(whole, policy, args.model):
        _warn(f"no pattern of {key} in the policy matches {args.model}; --model names another model")
    if policy.mode is Mode.OBSERVE or policy.kill_switch:
        cause = "its kill switch is on" if policy.kill_switch else "its mode is observe"
        _warn(f"the policy does nothing, since {cause}; OTEL_CLAUDE_STREAM_MODE=retry overrides the mode")
    found: list[Compared] = []
    for incident in _incidents(args):
        sdk, ours = (
            simulate(incident, one, model=args.model, seed=args.seed, progress=_progress(f"{incident.name}, {name}"))
            for name, one in (("the SDK alone", RetryPolicy()), ("the policy", policy))
        )
        found.append((incident.name, sdk, ours))
        if not args.json:
            lines = _text(incident, sdk, ours, policy, args.model)
            print("\n".join(printable_line(line) for line in lines), flush=True)
            if len(_names(args)) == 1:
                print("\n" + "\n".join(chart_lines(ours)))
    if args.json:
        print(json_text(_as_json(found, policy, args)))
    if plot is not None:
        _write(plot, svg(found))
    return OK


def _plot(args: argparse.Namespace, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the picture. Raises ``UsageError`` for a file that the simulation reads."""
    if args.plot is None:
        return None
    plot = checked_path(args.plot, "--plot")
    policy = None if args.policy in PRESETS else args.policy
    variables = [environ.get(name, "").strip() for name in (FILE_VARIABLE, otel_file.VARIABLE)]
    for name in filter(None, (args.recording, policy, *variables)):
        if is_same_file(plot, Path(name)):
            raise UsageError(f"--plot {plot} would replace {name}, which the simulation reads; name another file")
    return plot


def _policy(name: str | None, environ: Mapping[str, str]) -> RetryPolicy:
    """Load the policy and print its warnings. Raises ``UsageError`` with all of its errors."""
    preset = name if name in PRESETS else None
    env = {**environ, FILE_VARIABLE: name} if name is not None and preset is None else environ
    path = environ.get(otel_file.VARIABLE, "").strip()
    declared = otel_file.section(path).get("retry_policy") if path and name is None else None
    if not is_configured(env, preset, declared):
        raise UsageError("no policy is configured in this environment; name a file or a preset with --policy")
    loaded = load(env, preset, declared=declared, source="--policy")
    if loaded.errors:
        lines = [f"  {'✗' if problem.severity is Severity.ERROR else '!'} {problem}" for problem in loaded.problems]
        raise UsageError("\n".join(["the retry policy is not valid, so it would not be used", *lines]))
    for problem in loaded.problems:
        _warn(str(problem))
    return loaded.policy


def _without_pattern(whole: RetryPolicy, policy: RetryPolicy, model: str) -> Iterator[str]:
    """Yield the keys of the policy with patterns of models, none of which matches ``model``."""
    if whole.models and policy is whole:
        yield "models"
    if policy.fallback and not any(fnmatchcase(model, pattern) for pattern, _ in policy.fallback):
        yield "fallback"


def _names(args: argparse.Namespace) -> Sequence[str]:
    return [args.recording] if args.recording else [args.incident] if args.incident else list(INCIDENTS)


def _incidents(args: argparse.Namespace) -> Iterator[Incident]:
    for name in _names(args):
        if args.recording:
            from otel_claude_stream.cli.simulate.recorded import recorded_incident

            incident = recorded_incident(Path(name))
        else:
            incident = INCIDENTS[name]
        yield incident if args.users is None else replace(incident, users=args.users)


# --- Output ---------------------------------------------------------------------------------------------------------
def _text(incident: Incident, sdk: Course, ours: Course, policy: RetryPolicy, model: str) -> Iterator[str]:
    users = formatting.plural(incident.users, "user")
    yield f"Incident {incident.name}: {incident.about}."
    yield f"It lasts {incident.times}, with {users} of {model}. The policy's mode is {policy.mode.value}."
    yield ""
    figures = FIGURES if policy.concurrency.max is None else {**FIGURES, **PERMIT_FIGURES}
    rows = [("", "SDK alone", "policy"), *((title, figure(sdk), figure(ours)) for title, figure in figures.items())]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    for title, *values in rows:
        yield f"  {title:{widths[0]}}  {values[0]:>{widths[1]}}  {values[1]:>{widths[2]}}"
    yield ""


def _total(name: str) -> Callable[[Course], str]:
    return lambda course: formatting.count(course.total(name))


def _during(figure: Callable[[Totals], str]) -> Callable[[Course], str]:
    return lambda course: figure(course.totals[DURING])


FIGURES: Final[Mapping[str, Callable[[Course], str]]] = {
    "calls": _total("calls"),
    "answers served": _total("completed"),
    "calls that failed": _total("failed"),
    "streams that a user closed": _total("left"),
    "requests a call, in the incident": lambda course: f"{course.amplification(DURING):.2f}",
    "answered calls of the incident": _during(lambda totals: _percent(totals.completed, totals.calls)),
    "time to first token, p50": _during(lambda totals: formatting.seconds(totals.first_token(0.5))),
    "time to first token, p95": _during(lambda totals: formatting.seconds(totals.first_token(0.95))),
    "tokens wasted": _during(lambda totals: _percent(totals.wasted, totals.billed)),
    "calls stop failing after": lambda course: formatting.seconds(course.recovered_after()),
}
"""The figures of the table. Times to the first token and tokens are those of calls that began in the incident."""
PERMIT_FIGURES: Final[Mapping[str, Callable[[Course], str]]] = {
    "wait for a permit, p50": _during(lambda totals: formatting.seconds(totals.permit_wait(0.5))),
    "wait for a permit, p95": _during(lambda totals: formatting.seconds(totals.permit_wait(0.95))),
    "calls without a permit in time": _during(lambda totals: formatting.count(totals.expired)),
}
"""Further ones for a policy that limits open requests."""


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else formatting.DASH


def _as_json(found: Sequence[Compared], policy: RetryPolicy, args: argparse.Namespace) -> dict[str, Any]:
    def figures(course: Course) -> dict[str, Any]:
        return {
            **{phase: totals.as_dict() for phase, totals in course.totals.items()},
            "recovered_after": course.recovered_after(),
        }

    return {
        "mode": policy.mode.value,
        "model": args.model,
        "seed": args.seed,
        "incidents": [
            {
                "incident": name,
                "about": sdk.incident.about,
                "users": sdk.incident.users,
                "begins": sdk.incident.begins,
                "ends": sdk.incident.ends,
                "until": sdk.incident.until,
                "sdk": figures(sdk),
                "policy": figures(ours),
            }
            for name, sdk, ours in found
        ],
    }


def _progress(title: str) -> Callable[[float], None]:
    """Return what shows the progress on a terminal, in one line that is erased at the end."""
    if not sys.stderr.isatty():
        return lambda _: None
    shown = -1

    def show(share: float) -> None:
        nonlocal shown
        percent = int(share * 100)
        if percent != shown:
            shown = percent
            print(f"\r\x1b[K{title}: {percent} %" if share < 1 else "\r\x1b[K", end="", file=sys.stderr, flush=True)

    return show


def _warn(text: str) -> None:
    print(printable(f"otel-claude-stream: {text}"), file=sys.stderr)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    print(printable(f"Plot: {path}"), file=sys.stderr)
