"""The doctor's test subject: a program that says how it finds itself instrumented, and makes the test streams.

Run as ``python -m otel_claude_stream.cli.doctor_probe RESULT [URL...]``: writes a ``Probe`` as JSON to the file RESULT
after one stream from each URL. Standard output stays free for exporters that print.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

MODULE: Final = "otel_claude_stream.cli.doctor_probe"
SECONDS: Final = 40.0  # importing the SDK takes more than one on a slow machine; an exporter may wait for its time-out
SAID: Final = 3  # last lines of a probe that failed


@dataclass(frozen=True, slots=True)
class Probe:
    """What the program has found. ``failure`` is empty if it ran."""

    failure: str = ""
    active: bool = False
    tracer_provider: str = ""
    meter_provider: str = ""
    exporters: tuple[str, ...] = ()
    hooks: int = 0
    unplaced: tuple[str, ...] = ()
    said: str = ""
    told_once: bool = False
    """Whether failed exports are one log line in a while."""


def probe(
    environ: Mapping[str, str], urls: Sequence[str] = (), launcher: Sequence[str] = (), seconds: float = SECONDS
) -> Probe:
    """Run the program with ``environ``, by ``launcher`` if there is one. Never raises."""
    with tempfile.TemporaryDirectory(prefix="otel-claude-stream-") as folder:
        result = Path(folder) / "probe.json"
        command = [*launcher, sys.executable, "-m", MODULE, str(result), *urls]
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                command,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Probe(failure=f"it did not end within {seconds:.0f} s")
        except OSError as error:
            return Probe(failure=f"it cannot be started: {error.strerror}")
        said = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-SAID:])
        try:
            found = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return Probe(failure=f"it ended with exit code {done.returncode}\n{said}".strip())
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return Probe(**{**fields, "said": said})


def main(result: str, urls: Sequence[str]) -> None:
    """Look, make the streams, write down what was found."""
    warnings.simplefilter("ignore")
    from opentelemetry import metrics, trace

    from otel_claude_stream import ClaudeStreamInstrumentor
    from otel_claude_stream._telemetry import export_log

    active = ClaudeStreamInstrumentor().is_instrumented_by_opentelemetry
    failure, anthropic = "", None
    try:
        anthropic = import_module("anthropic")
        for url in urls:
            _stream(anthropic, url)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the doctor is asked for
        failure = f"{type(error).__name__}: {error}"
    placed, unplaced = _hooks() if anthropic is not None else (0, [])
    tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
    found = Probe(
        failure=failure,
        active=active,
        tracer_provider=_name(tracer_provider),
        meter_provider=_name(meter_provider),
        exporters=tuple(_exporters(tracer_provider)),
        hooks=placed,
        unplaced=tuple(unplaced),
        told_once=export_log.is_installed(),
    )
    Path(result).write_text(json.dumps(asdict(found)), encoding="utf-8")
    if not urls:
        sys.stderr.flush()
        os._exit(0)  # nothing was recorded; nobody's collector shall hear of a look


def _stream(anthropic: Any, url: str) -> None:
    """One stream; how it ends is for the telemetry to tell."""
    client = anthropic.Anthropic(api_key="none", base_url=url, max_retries=0, timeout=10.0)
    asked = [{"role": "user", "content": "How do you do?"}]
    with (
        contextlib.suppress(Exception),  # cut on purpose, one of them
        client.messages.stream(model="claude-doctor", max_tokens=64, messages=asked) as stream,
    ):
        for _ in stream.text_stream:
            pass


def _hooks() -> tuple[int, list[str]]:
    """How many hooks are in place, and the names of the others."""
    from otel_claude_stream._sdk.attach.hooks import HOOKS

    unplaced = []
    for hook in HOOKS:
        owner = getattr(sys.modules.get(hook.module), hook.owner, None)
        if not hasattr(vars(owner).get(hook.attribute) if owner is not None else None, "__wrapped__"):
            unplaced.append(f"{hook.owner}.{hook.attribute}")
    return len(HOOKS) - len(unplaced), unplaced


def _exporters(provider: Any) -> list[str]:
    """Exporters of spans, with their endpoints; as far as the SDK's inside shows them, which no API does."""
    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    found = []
    for processor in processors:
        exporter = getattr(processor, "span_exporter", None) or getattr(
            getattr(processor, "_batch_processor", None), "_exporter", None
        )
        if exporter is not None:
            endpoint = getattr(exporter, "_endpoint", "")
            found.append(f"{type(exporter).__name__}{f' to {endpoint}' if endpoint else ''}")
    return found


def _name(provider: object) -> str:
    return f"{type(provider).__module__}.{type(provider).__qualname__}"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
