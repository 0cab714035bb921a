"""The probe of the doctor, a program that reports how it is instrumented and makes the test streams.

``python -m otel_claude_stream.cli.doctor.probe RESULT`` reads URLs from standard input, which other users cannot see.
The first is the receiver, to which its exporters then send. It reads one stream from each of the others, with its own
providers. Then it writes a ``Probe`` as JSON to the file RESULT.
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

MODULE: Final = "otel_claude_stream.cli.doctor.probe"
SECONDS: Final = 40.0  # the import of the SDK is slow, and an exporter may wait for its timeout
FLUSH_MILLISECONDS: Final = 10_000
STDERR_LINES: Final = 3  # last lines of standard error that are kept


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of the program. ``failure`` is empty if it ran to its end."""

    failure: str = ""
    active: bool = False
    tracer_provider: str = ""
    meter_provider: str = ""
    exporters: tuple[str, ...] = ()
    service_name: str = ""
    sampler: str = ""
    hooks: int = 0
    missing_hooks: tuple[str, ...] = ()
    stderr: str = ""
    export_failures_once: bool = False
    """Whether failed exports are logged at most once in ten minutes."""
    unreleased_locks: tuple[str, ...] = ()
    """Classes whose locks a forked child does not release, and so records nothing if a thread held one."""


def probe(
    environ: Mapping[str, str], urls: Sequence[str] = (), launcher: Sequence[str] = (), seconds: float = SECONDS
) -> Probe:
    """Run the program with ``environ``, under ``launcher`` if given. Never raises.

    The first of ``urls`` is the receiver of the telemetry, the others are streams to read. Without them the program
    only reports its providers.
    """
    with tempfile.TemporaryDirectory(prefix="otel-claude-stream-") as folder:
        result = Path(folder) / "probe.json"
        command = [*launcher, sys.executable, "-m", MODULE, str(result)]
        try:
            done = subprocess.run(  # noqa: S603 - a program of this package
                command,
                env=dict(environ),
                input="\n".join(urls).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Probe(failure=f"it did not end within {seconds:.0f} s")
        except OSError as error:
            return Probe(failure=f"it cannot be started: {error.strerror}")
        stderr = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-STDERR_LINES:])
        try:
            found = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return Probe(failure=f"it ended with exit code {done.returncode}\n{stderr}".strip())
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return Probe(**{**fields, "stderr": stderr})


def main(result: str, urls: Sequence[str]) -> None:
    """Make the streams and write the result."""
    warnings.simplefilter("ignore")
    from opentelemetry import _logs, metrics, trace

    from otel_claude_stream import ClaudeStreamInstrumentor
    from otel_claude_stream._session.fork_locks import unreleased_locks
    from otel_claude_stream._telemetry import export_log

    active = ClaudeStreamInstrumentor().is_instrumented_by_opentelemetry
    failure, installed, missing = "", 0, list[str]()
    if urls:
        try:
            installed, missing = _streams(*urls)
        except Exception as error:  # noqa: BLE001 - any failure is a finding
            failure = f"{type(error).__name__}: {error}"
    tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
    found = Probe(
        failure=failure,
        active=active,
        tracer_provider=_name(tracer_provider),
        meter_provider=_name(meter_provider),
        exporters=tuple(_exporters(tracer_provider)),
        service_name=_service_name(tracer_provider),
        sampler=_sampler(tracer_provider),
        hooks=installed,
        missing_hooks=tuple(missing),
        export_failures_once=export_log.is_installed(),
        unreleased_locks=unreleased_locks([tracer_provider, meter_provider, _logs.get_logger_provider()]),
    )
    Path(result).write_text(json.dumps(asdict(found)), encoding="utf-8")
    sys.stderr.flush()
    os._exit(0)  # without the exporters' waits at exit, as all was flushed


def _streams(receiver: str, *urls: str) -> tuple[int, list[str]]:
    """Read the streams and flush their telemetry; return the number of installed hooks, and the names of the others."""
    from opentelemetry import _logs, metrics, trace

    from otel_claude_stream.cli.doctor.redirect import redirect_exporters

    redirect_exporters(receiver)
    anthropic = import_module("anthropic")
    hooks = _hooks()
    for url in urls:
        _stream(anthropic, url)
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
        if flush := getattr(provider, "force_flush", None):
            with contextlib.suppress(Exception):  # missing telemetry is reported later
                flush(FLUSH_MILLISECONDS)
    return hooks


def _stream(anthropic: Any, url: str) -> None:
    """Read one stream; how it ends is in its telemetry."""
    client = anthropic.Anthropic(api_key="none", base_url=url, max_retries=0, timeout=10.0)
    messages = [{"role": "user", "content": "How do you do?"}]
    with (
        contextlib.suppress(Exception),  # one of them is cut on purpose
        client.messages.stream(model="claude-doctor", max_tokens=64, messages=messages) as stream,
    ):
        for _ in stream.text_stream:
            pass


def _hooks() -> tuple[int, list[str]]:
    """Return the number of installed hooks, and the names of the others."""
    from otel_claude_stream._sdk.attach.hooks import HOOKS

    missing = []
    for hook in HOOKS:
        owner = getattr(sys.modules.get(hook.module), hook.owner, None)
        if not hasattr(vars(owner).get(hook.attribute) if owner is not None else None, "__wrapped__"):
            missing.append(f"{hook.owner}.{hook.attribute}")
    return len(HOOKS) - len(missing), missing


def _exporters(provider: Any) -> list[str]:
    """Return the exporters of spans with their endpoints, from private attributes of the SDK, as no API has them."""
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


def _service_name(provider: Any) -> str:
    attributes = getattr(getattr(provider, "resource", None), "attributes", None) or {}
    return str(attributes.get("service.name", ""))


def _sampler(provider: Any) -> str:
    sampler = getattr(provider, "sampler", None)
    return str(sampler.get_description()) if sampler is not None else ""


def _name(provider: object) -> str:
    return f"{type(provider).__module__}.{type(provider).__qualname__}"


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.read().split())
