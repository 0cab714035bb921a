"""Generate the synchronous half of a module from its asynchronous half.

`GENERATED` names the pairs. The source loses `async` and `await`, and its names get those of the synchronous half:
`AsyncIterator` becomes `Iterator`, `aclose` becomes `close`, `send_async` becomes `send_sync`. Text in strings and
comments is changed by the same rules. `ruff format` may be run over both halves: the check ignores layout.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "otel_claude_stream"
GENERATED = {"_sdk/retry/driver_sync.py": "_sdk/retry/driver_async.py"}
"""Source by generated file."""

RULES = (
    (r"import AsyncIterator, Callable\b", "import Callable, Iterator"),  # in alphabetical order
    (r"\basync (?=def|for|with)", ""),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"(?<=Stop)Async(?=Iteration)", ""),
    (r"\b(__)?a(?=(?:close|iter|next|enter|exit)(?:__)?\b)", r"\1"),
    (r"_async\b(?!\.py)", "_sync"),
    (r"\basynchronous\b", "synchronous"),
)


def synchronous(source: str) -> str:
    """Return the synchronous half of a source."""
    for pattern, replacement in RULES:
        source = re.sub(pattern, replacement, source)
    return source


def _content(source: str) -> tuple[str, list[str]]:
    """Return what is compared: the code without its layout, and the comments."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return ast.dump(ast.parse(source)), [token.string for token in tokens if token.type == tokenize.COMMENT]


def main(arguments: list[str] | None = None) -> int:
    """Write the generated files, or check that they are up to date; 1 if one is not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--package", type=Path, default=PACKAGE, help="folder of the package")
    options = parser.parse_args(arguments)
    outdated = 0
    for name, source in GENERATED.items():
        path = options.package / name
        made = synchronous((options.package / source).read_text(encoding="utf-8"))
        found = path.read_text(encoding="utf-8") if path.is_file() else ""
        if _content(found) == _content(made):
            continue
        outdated += 1
        if options.check:
            print(f"{name} differs from what {source} generates; run `python tools/{Path(__file__).name}`")
        else:
            path.write_text(made, encoding="utf-8")
            print(f"wrote {name}")
    return outdated if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
