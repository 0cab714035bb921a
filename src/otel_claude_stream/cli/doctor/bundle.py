"""The findings as a file for a bug report, without names of hosts, people and folders."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.files import open_private
from otel_claude_stream.cli.view.printable import json_text

ALLOWED_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1", "api.anthropic.com"})  # noqa: S104 - a name
URL_HOST: Final = re.compile(r"\w+://(?:[^/\s@]*@)?(\[[^\]\s]+\]|[^/:\s,;)\]}'\"]+)")
PLAIN_HOST: Final = re.compile(r"([A-Za-z0-9][\w.-]*):\d+")
CONFIGURING: Final = ("OTEL_", "ANTHROPIC_")


def write_bundle(path: Path, report: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Write the findings and facts about the platform, readable by the user alone. Raises ``CommandError``."""
    facts = {
        **report,
        "platform": {"system": platform.system(), "machine": platform.machine(), "python": platform.python_version()},
        "variables": sorted(name for name in environ if name.startswith(CONFIGURING)),
    }
    try:
        with os.fdopen(open_private(path), "w", encoding="utf-8") as file:
            file.write(json_text(redacted(facts, environ)) + "\n")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


def redacted(report: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the report without hosts, the machine's name, the user's name and folders.

    Each host has a number, so that two mentions of one host can be recognised.
    """
    text = json.dumps(report, ensure_ascii=False)
    hosts = [host for host in dict.fromkeys(_hosts(text, environ)) if host.strip("[]") not in ALLOWED_HOSTS]
    words = {host: f"host-{number}" for number, host in enumerate(hosts, 1)}
    names = {str(Path.cwd()): "<folder>", str(Path.home()): "~", platform.node(): "<machine>"}
    for word, shown in sorted({**words, **names}.items(), key=lambda pair: -len(pair[0])):
        if len(word.strip("/")) > 1:
            written = json.dumps(word, ensure_ascii=False)[1:-1]
            text = re.sub(rf"(?<![\w.-]){re.escape(written)}(?![\w-])", shown, text)
    found: dict[str, Any] = json.loads(text)
    return found


def _hosts(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the hosts of URLs, and those of variables that name an endpoint or a proxy."""
    yield from URL_HOST.findall(text)
    for name, value in environ.items():
        if name.startswith(CONFIGURING) or name.lower().endswith("_proxy"):
            yield from URL_HOST.findall(value)
            if "ENDPOINT" in name:
                yield from PLAIN_HOST.findall(value)
