"""``otel-claude-stream doctor``: whether the instrumentation works in this environment, and if not, why."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from otel_claude_stream._config import otel_file as declared
from otel_claude_stream._telemetry.export_log import LOG_ALL
from otel_claude_stream.cli.doctor.activation import activation
from otel_claude_stream.cli.doctor.api_receiver import TOKEN, api_receiver
from otel_claude_stream.cli.doctor.bundle import write_bundle
from otel_claude_stream.cli.doctor.export import exporters
from otel_claude_stream.cli.doctor.findings import Finding, Level, Section, as_json, note, problems, worst
from otel_claude_stream.cli.doctor.packages import versions
from otel_claude_stream.cli.doctor.policy import policy
from otel_claude_stream.cli.doctor.probe import Probe, probe
from otel_claude_stream.cli.doctor.secrets import without_credentials
from otel_claude_stream.cli.doctor.settings import POLICY, settings
from otel_claude_stream.cli.doctor.stream import test_stream
from otel_claude_stream.cli.view.formatting import plural
from otel_claude_stream.cli.view.printable import json_text, printable, printable_line
from otel_claude_stream.cli.view.terminal import use_colours
from otel_claude_stream.version import __version__

EXIT: Final = {Level.OK: 0, Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}
SIGNS: Final = {Level.OK: ("✓", "32"), Level.NOTE: ("·", "36"), Level.WARNING: ("!", "33"), Level.ERROR: ("✗", "31")}

EXAMPLES: Final = """\
examples:
  otel-claude-stream doctor                                  with the variables of this shell
  kubectl exec deploy/chat -- python -m otel_claude_stream doctor
                                                             with the variables of a container
  otel-claude-stream doctor --json | jq .level               for a script
  otel-claude-stream doctor --bundle doctor.json             and a file for a bug report, without hosts and folders
  otel-claude-stream doctor --offline                        without a request to the endpoints of your exporters
  otel-claude-stream doctor --policy retry.yaml              a retry policy alone: its problems, its values and their
                                                             sources, and the worst-case cost of a call
  otel-claude-stream doctor --api-spans https://otel.example.com
                                                             a Collector for the spans of the Claude API alone: whether
                                                             it accepts its token, and no other

Each endpoint receives an empty request with your headers. The test stream passes your providers, but does not leave the
machine. Its API and the collector to which all exporters send are both on the loopback interface.

exit codes: 0 no problems, 1 warnings, 2 errors (or wrong usage)"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--bundle",
        metavar="FILE",
        type=Path,
        help="also write the findings to a file for a bug report, without names of hosts and folders",
    )
    parser.add_argument("--offline", action="store_true", help="send nothing to the endpoints of exporters")
    parser.add_argument("--policy", metavar="FILE", help="check this retry policy and nothing else")
    parser.add_argument(
        "--api-spans",
        metavar="URL",
        help="check the receiver of the Claude API's spans at this base URL, by two empty requests, and nothing else",
    )
    parser.add_argument(
        "--token-from",
        metavar="NAME",
        default=TOKEN,
        help=f"the variable with the token of that receiver (default: {TOKEN})",
    )
    parser.add_argument("--no-stream", action="store_true", help="skip the test stream, which takes most of the time")


def run(args: argparse.Namespace) -> int:
    """Check everything, or a policy or a receiver alone; return the exit code."""
    sections = []
    if args.policy is not None:
        sections.append(policy(os.environ, args.policy))
    if args.api_spans is not None:
        sections.append(api_receiver(args.api_spans, os.environ, args.token_from))
    if not sections:
        sections = check_everything(os.environ, offline=args.offline, stream=not args.no_stream)
    sections = without_credentials(sections, os.environ)
    level = worst(sections)
    found = {"version": __version__, "level": level.name.lower(), "exit_code": EXIT[level]}
    report = {**found, "sections": as_json(sections)}
    if args.bundle is not None:
        write_bundle(args.bundle, report, os.environ, args.policy or "")
        print(f"wrote {printable_line(str(args.bundle))}: read it before you attach it to a report", file=sys.stderr)
    if args.json:
        print(json_text(report))
    else:
        print(text(sections, colours=use_colours(sys.stdout, os.environ)))
    return EXIT[level]


def check_everything(environ: Mapping[str, str], *, offline: bool, stream: bool) -> list[Section]:
    """Check everything. The probes, the endpoints and the packages, which take time, are checked in parallel."""
    section = file_section(environ)
    with ThreadPoolExecutor(3) as pool:
        packages = pool.submit(versions)
        plain = pool.submit(probe, environ)
        export = pool.submit(exporters, environ, offline=offline)
        streams = test_stream(environ, section) if stream else []
        return [
            packages.result(),
            activation(environ, plain.result()),
            settings(environ, section),
            policy(environ, declared=section.get(POLICY)),
            providers(plain.result()),
            export.result(),
            *streams,
        ]


def file_section(environ: Mapping[str, str]) -> Mapping[str, object]:
    """Return the section of the declarative configuration file for this package; empty without one."""
    path = environ.get(declared.VARIABLE, "").strip()
    return declared.section(path) if path else {}


def providers(plain: Probe) -> Section:
    """Report the providers of a Python process in this environment."""
    if not plain.tracer_provider:
        return Section("Providers", (note("not known"),))
    names = f"tracer provider {plain.tracer_provider}, meter provider {plain.meter_provider}"
    exporting = ", ".join(plain.exporters) or "none"
    found = [note(f"in a plain Python process: {names}; exporters of spans: {exporting}")]
    if plain.export_failures_once:
        found.append(note("failed exports are logged at most once in ten minutes", f"to log each of them: {LOG_ALL}"))
    return Section("Providers", tuple(found))


def text(sections: Sequence[Section], *, colours: bool) -> str:
    """Return the findings as text, and those that are problems once more at the end."""
    lines = [f"otel-claude-stream {__version__}"]
    for section in sections:
        lines += ["", f"\x1b[1m{section.title}\x1b[0m" if colours else section.title]
        for finding in section.findings:
            lines += _lines(finding, colours=colours)
    found = problems(sections)
    if not found:
        return "\n".join([*lines, "", "No problems found."])
    lines += ["", f"{plural(len(found), 'problem')}:"]
    for finding in found:
        lines += _lines(finding, colours=colours)
    return "\n".join(lines)


def _lines(finding: Finding, *, colours: bool) -> list[str]:
    sign, colour = SIGNS[finding.level]
    first, *rest = printable(finding.text).split("\n")
    return [
        f"  \x1b[{colour}m{sign}\x1b[0m {first}" if colours else f"  {sign} {first}",
        *(f"    {line}" for line in rest),
        *([f"    → {printable_line(finding.hint)}"] if finding.hint else []),
    ]
