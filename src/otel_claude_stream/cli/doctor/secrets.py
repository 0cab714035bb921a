"""Hide credentials in the findings, whatever text they come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from otel_claude_stream.cli.doctor.findings import Section
from otel_claude_stream.cli.doctor.targets import CONFIG_FILES, PREFIX
from otel_claude_stream.cli.otlp.endpoint import HIDDEN, without_secrets

REFERENCE: Final = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-[^}]*)?\}")
"""A variable in a declarative configuration file, which OpenTelemetry replaces by its value."""
URL: Final = re.compile(r"\w[\w+.-]*://\S*[^\s,;:.]")
SHORTEST: Final = 6
"""Characters of the shortest value that is hidden. Shorter ones are common words and numbers."""


def without_credentials(sections: list[Section], environ: Mapping[str, str]) -> list[Section]:
    """Return the sections without credentials in URLs, values of headers, and values of ``${VAR}`` in a file."""
    secrets = sorted({**dict(_headers(environ)), **dict(_references(environ))}.items(), key=lambda pair: -len(pair[0]))

    def hidden(text: str) -> str:
        for value, shown in secrets:
            text = text.replace(value, shown)
        return URL.sub(lambda match: without_secrets(match[0]), text)

    return [
        Section(
            section.title,
            tuple(replace(found, text=hidden(found.text), hint=hidden(found.hint)) for found in section.findings),
        )
        for section in sections
    ]


def _headers(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the values of headers for exporters, as they are written and as they are sent."""
    for name, text in environ.items():
        if name.startswith(PREFIX) and name.endswith("HEADERS"):
            for pair in text.split(","):
                value = pair.partition("=")[2].strip()
                yield from ((form, HIDDEN) for form in (value, unquote(value)) if len(form) >= SHORTEST)


def _references(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the values of the variables in the declarative configuration file, with their names."""
    for path in filter(None, (environ.get(name, "").strip() for name in CONFIG_FILES)):
        try:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            continue  # which the check of the exporters reports
        for name in REFERENCE.findall(text):
            if len(value := environ.get(name, "")) >= SHORTEST:
                yield value, f"${{{name}}}"
