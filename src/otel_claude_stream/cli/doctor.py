"""``otel-claude-stream doctor``: whether it works here, and if not, why."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from otel_claude_stream._config import otel_file as declared
from otel_claude_stream._telemetry.export_log import LOG_ALL
from otel_claude_stream.cli.doctor_activation import activation
from otel_claude_stream.cli.doctor_export import exporters
from otel_claude_stream.cli.doctor_findings import Level, Section, as_json, count, note, worst
from otel_claude_stream.cli.doctor_packages import versions
from otel_claude_stream.cli.doctor_policy import policy
from otel_claude_stream.cli.doctor_probe import Probe, probe
from otel_claude_stream.cli.doctor_settings import POLICY, settings
from otel_claude_stream.cli.doctor_stream import test_stream
from otel_claude_stream.cli.run_view import colourful
from otel_claude_stream.cli.words import plural
from otel_claude_stream.version import __version__

EXIT: Final = {Level.OK: 0, Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}
SIGNS: Final = {Level.OK: ("✓", "32"), Level.NOTE: ("·", "36"), Level.WARNING: ("!", "33"), Level.ERROR: ("✗", "31")}

EXAMPLES: Final = """\
examples:
  otel-claude-stream doctor                                  with the variables of this shell
  kubectl exec deploy/chat -- python -m otel_claude_stream doctor
                                                             with those of a container
  otel-claude-stream doctor --json | jq .level               for a script
  otel-claude-stream doctor --offline                        without asking the endpoints of your exporters
  otel-claude-stream doctor --policy retry.yaml              a retry policy alone: all that is wrong with it, what holds
                                                             and who said so, what one call can cost

Endpoints get an empty request, your headers with it. The test stream never leaves the machine: its API is a fake one
on the loopback interface, and so is the collector that it is exported to.

exit codes: 0 all is well, 1 there are warnings, 2 there are errors (or the arguments are wrong)"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.add_argument("--offline", action="store_true", help="do not ask the endpoints of exporters")
    parser.add_argument("--policy", metavar="FILE", help="look at this retry policy, and at nothing else")
    parser.add_argument("--no-stream", action="store_true", help="no test stream: half the time")


def run(args: argparse.Namespace) -> int:
    """Look at everything, or at a policy alone; returns the exit code."""
    if args.policy is not None:
        sections = [policy(os.environ, args.policy)]
    else:
        plain, section = probe(os.environ), section_of(os.environ)
        sections = [
            versions(),
            activation(os.environ, plain),
            settings(os.environ, section),
            policy(os.environ, declared=section.get(POLICY)),
            providers(plain),
            exporters(os.environ, offline=args.offline),
            *([] if args.no_stream else test_stream(os.environ)),
        ]
    level = worst(sections)
    if args.json:
        found = {"version": __version__, "level": level.name.lower(), "exit_code": EXIT[level]}
        print(json.dumps({**found, "sections": as_json(sections)}, indent=2, ensure_ascii=False))
    else:
        print(text(sections, colours=colourful(sys.stdout, os.environ)))
    return EXIT[level]


def section_of(environ: Mapping[str, str]) -> Mapping[str, object]:
    """Our section of the declarative configuration file; empty if there is none."""
    path = environ.get(declared.VARIABLE, "").strip()
    return declared.section(path) if path else {}


def providers(plain: Probe) -> Section:
    """What a Python that is started here has for providers."""
    if not plain.tracer_provider:
        return Section("Providers", (note("not known"),))
    named = f"tracer provider {plain.tracer_provider}, meter provider {plain.meter_provider}"
    exporting = ", ".join(plain.exporters) or "none"
    found = [note(f"in a plain Python here: {named}; exporters of spans: {exporting}")]
    if plain.told_once:
        found.append(note("of exports that fail, its log has one line in ten minutes", f"for each: {LOG_ALL}"))
    return Section("Providers", tuple(found))


def text(sections: Sequence[Section], *, colours: bool) -> str:
    """The findings for people, and the sum of them."""
    lines = [f"otel-claude-stream {__version__}"]
    for section in sections:
        lines += ["", f"\x1b[1m{section.title}\x1b[0m" if colours else section.title]
        for finding in section.findings:
            sign, colour = SIGNS[finding.level]
            first, *rest = finding.text.splitlines() or [""]
            lines.append(f"  \x1b[{colour}m{sign}\x1b[0m {first}" if colours else f"  {sign} {first}")
            lines += [f"    {line}" for line in rest]
            lines += [f"    → {finding.hint}"] if finding.hint else []
    warnings, errors = count(sections, Level.WARNING), count(sections, Level.ERROR)
    total = ", ".join([plural(errors, "error"), plural(warnings, "warning")]) if errors or warnings else "All is well."
    return "\n".join([*lines, "", total])
