"""The findings as a file for a bug report, without names of hosts, and of each path its last part only."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.files import open_private
from otel_claude_stream.cli.view.printable import json_text

ALLOWED_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1", "api.anthropic.com"})  # noqa: S104 - a name
URL_HOST: Final = re.compile(r"\w+://(?:[^/\s@]*@)?(\[[^\]\s]+\]|[^/:\s,;)\]}'\"]+)")
PLAIN_HOST: Final = re.compile(r"([A-Za-z0-9][\w.-]*):\d+")
CONFIGURING: Final = ("OTEL_", "ANTHROPIC_")
FILES: Final = ("CONFIG", "FILE", "CERTIFICATE", "CLIENT_KEY")
"""The ends of the names of variables whose values are files."""

FOLDER: Final = "<folder>"
START: Final = r"""
    (?:
        (?<!\w)[A-Za-z]:[\\/]+                # C:/ or C:\Users
      | \\{2,}[^\\/\s]+[\\/]+                # \\server\share
      | (?:(?<=://)|(?<=:)(?!//)|(?<![\w.~:/\\)\]>-]))/+(?=\S)    # /, also in file:///, but not in another URL
      | (?<![\w.~/\\-])(?:~[\w.-]*|\.\.?)[\\/]+                  # ~/, ~ana/, ./ and ../
    )
"""
REST: Final = r"""
    (?:                                 # Folders. Their names may have spaces and any signs, but
        (?:
            (?!:\s)                     # a colon and a space belong to the text, as does
            (?!\s(?:\w+=)?['"`(\[{<]*(?:\w+:|~[\w.-]*|\.\.?)?[\\/])  # the beginning of the next path, or of a URL
            [^\\/\n]
        )+
        (?!(?<=:)//)[\\/]+
    )*
    [^\\/\s'"`<>|:,;()\[\]{}]*          # The last part, up to a space or a sign.
"""
ROUTE: Final = re.compile(r"/v1/(?:traces|metrics|logs|messages)")
HOME: Final = re.compile(r"(?:(?:[A-Za-z]:)?[\\/]+(?:home|Users|Documents and Settings)[\\/]+|~)[^\\/]+")
"""The home folder of anyone, on this machine or another."""
SEPARATORS: Final = re.compile(r"[\\/]+")


def write_bundle(path: Path, report: Mapping[str, Any], environ: Mapping[str, str], policy: str = "") -> None:
    """Write the findings and facts about the platform, readable by the user alone. Raises ``CommandError``.

    ``policy`` is the path of the policy that was checked.
    """
    facts = {
        **report,
        "platform": {"system": platform.system(), "machine": platform.machine(), "python": platform.python_version()},
        "variables": sorted(name for name in environ if name.startswith(CONFIGURING)),
    }
    try:
        with os.fdopen(open_private(path), "w", encoding="utf-8") as file:
            file.write(json_text(redacted(facts, environ, policy)) + "\n")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


def redacted(report: Mapping[str, Any], environ: Mapping[str, str], policy: str = "") -> dict[str, Any]:
    """Return the report without hosts, the machine's name and folders.

    Each host has a number, so that two mentions of one host can be recognised. A path keeps its last part, unless that
    is a folder too.
    """
    text = json.dumps(report, ensure_ascii=False)
    hosts = [host for host in dict.fromkeys(_hosts(text, environ)) if host.strip("[]") not in ALLOWED_HOSTS]
    words = {**{host: f"host-{number}" for number, host in enumerate(hosts, 1)}, platform.node(): "<machine>"}
    paths = re.compile(rf"{_one_of({policy, *_known_paths(environ)})}(?:[\\/]+{REST})?|{START}{REST}", re.VERBOSE)
    names = re.compile(_one_of(words), re.VERBOSE)

    def change(text: str) -> str:
        return names.sub(lambda match: words[match[0]], paths.sub(lambda match: _shown(match[0]), text))

    found: dict[str, Any] = _mapped(report, change)
    return found


def _shown(path: str) -> str:
    """Return what is shown of a path: its last part, or nothing of a folder."""
    if ROUTE.fullmatch(path):
        return path
    name, stripped = SEPARATORS.split(path)[-1], path.rstrip(".")
    folder = os.path.isdir(os.path.expanduser(stripped))  # noqa: PTH111, PTH112 - those of `Path` raise `OSError`
    return FOLDER if folder or not name.strip(".") or HOME.fullmatch(stripped) else f"{FOLDER}/{name}"


def _known_paths(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths of variables and of this interpreter, which are recognised whatever signs they contain.

    A relative path is one if it exists, or if the variable names a file.
    """
    yield from (str(Path.cwd()), str(Path.home()), sys.prefix, sys.base_prefix, sys.executable, *sys.path)
    for variable, value in environ.items():
        of_file = variable.startswith(CONFIGURING) and variable.endswith(FILES)
        for path in () if "://" in value else {value.strip(), *value.split(os.pathsep)}:
            exists = os.path.exists(path)  # noqa: PTH110 - that of `Path` raises `OSError`
            if SEPARATORS.search(path) and (exists or of_file or re.match(START, path, re.VERBOSE)):
                yield path


def _one_of(words: Iterable[str]) -> str:
    """Return the pattern of one of these words, the longest first, unless it is a part of another word."""
    known = sorted({word for word in words if len(word.strip("/")) > 1}, key=lambda word: (-len(word), word))
    return rf"(?<![\w.-])(?:{'|'.join(map(re.escape, known)) or '(?!)'})(?![\w-])"


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value of JSON with each text changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(found, change) for key, found in value.items()}
    return [_mapped(found, change) for found in value] if isinstance(value, list | tuple) else value


def _hosts(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the hosts of URLs, and those of variables that name an endpoint or a proxy."""
    yield from URL_HOST.findall(text)
    for name, value in environ.items():
        if name.startswith(CONFIGURING) or name.lower().endswith("_proxy"):
            yield from URL_HOST.findall(value)
            if "ENDPOINT" in name:
                yield from PLAIN_HOST.findall(value)
