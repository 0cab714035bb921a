"""Count the lines of code that the synchronous and the asynchronous halves of the package have in common.

`PAIRS` names the halves. Each is a file below the package, or `file::qualified.name` of a function or a class in it.
Lines are compared without `async` and `await`, and with the names of the synchronous half: `aclose` as `close`,
`AsyncIterator` as `Iterator`, `send_async` as `send_sync`. Imports, docstrings, comments, blank lines and lines of
brackets alone do not count. The figure of a pair is the length of the common subsequence that `difflib` finds.

A half that is generated from the other is no twin: leave it out of the table, and check the generator instead.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from difflib import SequenceMatcher
from pathlib import Path

PAIRS = [
    ("_sdk/read/sync.py", "_sdk/read/aio.py"),
    ("_sdk/read/body.py::sync_reads", "_sdk/read/body.py::AsyncReads"),
    ("_sdk/read/body.py::TimedBody.__iter__", "_sdk/read/body.py::TimedBody.__aiter__"),
    ("_sdk/read/body.py::TimedBody.close", "_sdk/read/body.py::TimedBody.aclose"),
    ("_sdk/retry/sleeping.py::sleep_sync", "_sdk/retry/sleeping.py::sleep_async"),
    ("_sdk/retry/watchdog.py::WatchedReads.sync_reads", "_sdk/retry/watchdog.py::AsyncWatchedReads.__anext__"),
    ("_sdk/retry/forwarding.py::ForwardingBody.close", "_sdk/retry/forwarding.py::ForwardingBody.aclose"),
    ("_sdk/attach/sdk_hooks.py::SdkHooks.sync_request", "_sdk/attach/sdk_hooks.py::SdkHooks.async_request"),
    ("_sdk/attach/sdk_hooks.py::SdkHooks.sync_iter_events", "_sdk/attach/sdk_hooks.py::SdkHooks.async_iter_events"),
    ("_sdk/attach/sdk_hooks.py::SdkHooks.sync_stream", "_sdk/attach/sdk_hooks.py::SdkHooks.async_stream"),
]

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "otel_claude_stream"
LIMIT = 60

_COROUTINE_WORDS = {"async", "await"}
_METHOD = re.compile(r"(?<![A-Za-z0-9])a(?=(?:close|iter|next|send|throw|enter|exit|read|sleep)(?:__|$))")
_PREFIX = re.compile(
    r"(?<![A-Za-z])a?sync_|_a?sync(?![a-z])|(?<=Stop)Async|\b_?Async(?=[A-Z])|(?<=[a-z])Async(?=[A-Z])"
)
_SHORTEST = 4
_NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(package: Path, half: str) -> list[str]:
    """Return the normalised lines of code of a half.

    Raises:
        SystemExit: There is no such file, or no such name in it.
    """
    name, _, qualified = half.partition("::")
    path = package / name
    if not path.is_file():
        raise SystemExit(f"{half}: no such file below {package}; correct PAIRS in {Path(__file__).name}")
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    node = _find(tree, qualified) if qualified else tree
    if node is None:
        raise SystemExit(f"{half}: no {qualified} in {path}; correct PAIRS in {Path(__file__).name}")
    first, last = (node.lineno, node.end_lineno) if isinstance(node, ast.stmt) else (1, sys.maxsize)
    left_out = _without_code(node)
    lines: defaultdict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        row = token.start[0]
        if token.type not in _NOT_CODE and first <= row <= last and row not in left_out:
            lines[row].append(_plain(token.string) if token.type == tokenize.NAME else token.string)
    joined = (" ".join(filter(None, lines[row])) for row in sorted(lines))
    return [line for line in joined if re.search(r"\w", line)]


def _find(tree: ast.Module, qualified: str) -> ast.stmt | None:
    body = tree.body
    node = None
    for part in qualified.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        node = next((child for child in body if isinstance(child, kinds) and child.name == part), None)
        body = node.body if node else []
    return node


def _without_code(tree: ast.AST) -> set[int]:
    """Return the rows of imports and docstrings."""
    rows: set[int] = set()
    for node in ast.walk(tree):
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_import or is_text:
            rows.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return rows


def _plain(name: str) -> str:
    if name in _COROUTINE_WORDS:
        return ""
    return _PREFIX.sub("", _METHOD.sub("", name))


def common_lines(sync: list[str], asynchronous: list[str]) -> list[str]:
    """Return the lines that both halves have, in order."""
    names = {word for line in sync for word in re.findall(r"\w+", line)}

    def as_in_sync(word: re.Match[str]) -> str:
        rest = word[0][1:]
        return rest if word[0][0] == "a" and len(rest) >= _SHORTEST and rest in names else word[0]

    theirs = [re.sub(r"\w+", as_in_sync, line) for line in asynchronous]
    matcher = SequenceMatcher(None, sync, theirs, autojunk=False)
    return [line for a, _, size in matcher.get_matching_blocks() for line in sync[a : a + size]]


def main(arguments: list[str] | None = None) -> int:
    """Print the figure of each pair and of all; 1 if all have more than the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=int, default=LIMIT, help="most lines in all that pass; default: %(default)s")
    parser.add_argument("--package", type=Path, default=PACKAGE, help="folder of the package")
    parser.add_argument("--show", action="store_true", help="print the lines as well")
    options = parser.parse_args(arguments)
    total = 0
    for sync, asynchronous in PAIRS:
        common = common_lines(code_lines(options.package, sync), code_lines(options.package, asynchronous))
        total += len(common)
        print(f"{len(common):5}  {sync}  {asynchronous}")
        if options.show:
            print("".join(f"         {line}\n" for line in common), end="")
    print(f"{total:5}  in all, limit {options.limit}")
    return 1 if total > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
