"""Check the prose of the project: docstrings, comments, Markdown pages, messages and the names of tests.

The rules, by the identifier under which a violation is reported:

- R2: none of the verbs of `SPEECH` ("say", "tell" and their forms). A program sets, logs, returns or raises.
- R3: no sentence opens with a word of `OPENINGS`, unless it is a question; no phrase of `PHRASES` occurs.
- R4: no sentence has more than 25 words.
- R4b: the first sentence of a docstring has no colon in its middle. Allowed are a label of at most two words or of
  code spans before the colon, and a short list after it.
- NAME: the name of a test has at most 80 characters. Its words are checked under R2 and R3.

The script reads Python files (docstrings and bare strings, comments, messages), Markdown, and the comments of YAML,
TOML, Dockerfiles, makefiles and the like. A message is a string literal with at least three words in a row. Seven
tenths of it are plain words, and it is neither a regular expression nor valid Python. An f-string is one message.

Code spans and URLs count as one word and are not searched. Text in double quotes counts but is not searched, since
it may quote an API. List items, table cells, headings and the items of an `Args:` section are apart.

The script cannot see a colon that stands in for a verb further down, or a message that is put together with `+`. It
does not read HTML, JavaScript and JSON. A sentence may keep every rule and still mean nothing.

`prose_allowed.toml` lists exceptions: tables `[[allowed]]` with `path`, `text` (a part of the sentence) and `reason`.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import re
import sys
import textwrap
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = Path(__file__).with_name("prose_allowed.toml")
MAX_ALLOWED = 20
MAX_WORDS = 25
MAX_NAME = 80
SHOWN = 110
RULES = ("R2", "R3", "R4", "R4b", "NAME")

SPEECH = ("say", "says", "said", "saying", "tell", "tells", "told", "telling")
OPENINGS = (r"of(?!\s+course\b)", "what", "whoever", r"that\s+which", r"with\s+what", "whose")
PHRASES = (r"which\s+is\s+none", r"(?<!long\s)(?<!soon\s)(?<!far\s)as\s+it\s+is",
           "nobody", "somebody", "whoever", "he", "his", "him")  # fmt: skip

SKIPPED_FOLDERS = {"__pycache__", "_pages", "build", "dist", "node_modules"}
HIDDEN_FOLDERS = {".ci", ".github"}
HASH_COMMENTS = {".yaml", ".yml", ".toml", ".sh", ".cfg", ".conf"}

_NOT_IN_A_NAME = r"(?<![\w./-]){}(?![\w/-]|\.\w)"
_SPEECH = re.compile(_NOT_IN_A_NAME.format(f"({'|'.join(SPEECH)})"), re.IGNORECASE)
_PHRASES = re.compile(_NOT_IN_A_NAME.format(f"({'|'.join(PHRASES)})"), re.IGNORECASE)
_OPENING = re.compile(rf"[\W_]*({'|'.join(OPENINGS)})\b(?!-)", re.IGNORECASE)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_URL = re.compile(r"\b\w+://[^\s)>\]]*[^\s)>\].,;:!?\"'|]")
_LINK_TARGET = re.compile(r"(?<=\])\([^()\s]*(\s+\"[^\"]*\")?\)")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>")
_VALUE = re.compile(r"\{[^{}\s]*\}|%\(?\w*\)?[sdr]")
_QUOTE = re.compile(r"\"[^\"]{1,200}\"|“[^”]{1,200}”")
_STOP = re.compile(r"[.!?…]+[\"'”\u2019)\]*_]*(?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|vs|cf|approx|etc|ca|incl)|\.\.)\.[)\]]*$", re.IGNORECASE)
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_SECTION = re.compile(
    r"\s*(?:Args|Arguments|Attributes|Example|Examples|Keyword Args|Note|Notes|Raises|Returns|Warns|Yields):\s*$"
)
_ITEM = re.compile(r"\s+[*\w.]+(?: \([^)]*\))?:\s+(?=\S)")
_CELLS = re.compile(r"\S( {3,})\S")
_DIRECTIVE = re.compile(
    r"(?:noqa(?::\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?|type:\s*ignore(?:\[[^\]]*\])?|pragma:\s*\w+(?: \w+)?|fmt:\s*\w+"
    r"|pyright:\s*ignore(?:\[[^\]]*\])?|mypy:.*|isort:.*|nosec)\s*(?:[-#\u2013]\s*)?"
)
_REGULAR_EXPRESSION = re.compile(r"\\[bdsSwW.()\[\]|+*?]|\(\?|\[\^|\.\*|\.\+")
_THREE_WORDS = re.compile(r"[A-Za-z][A-Za-z'\u2019]*,? [A-Za-z][A-Za-z'\u2019]*,? [A-Za-z][A-Za-z'\u2019]*")
_PLAIN_WORD = re.compile(r"[\"'(“]*[A-Za-z][A-Za-z'\u2019-]*[\"'”).,:;!?…]*")


@dataclass(frozen=True, order=True)
class Violation:
    """One violation of a rule; `sentence` is the text in which it was found."""

    path: str
    line: int
    rule: str
    found: str
    sentence: str

    def __str__(self) -> str:
        shown = self.sentence if len(self.sentence) <= SHOWN else f"{self.sentence[: SHOWN - 1]}…"
        return f'{self.path}:{self.line}: {self.rule} "{self.found}": {shown}'

    @property
    def folder(self) -> str:
        """The top-level folder of the file, `.` for a file at the root."""
        return self.path.partition("/")[0] if "/" in self.path else "."


@dataclass
class Block:
    """A run of lines whose sentences belong together: a paragraph, a list item, a table cell."""

    kind: str
    lines: list[tuple[int, str]]
    first_of_docstring: bool = False


# --- From files to blocks ---------------------------------------------------------------------------------------------
def python_blocks(source: str) -> Iterator[Block]:
    """Yield the blocks of a Python file: bare strings, comments, and messages."""
    tree = ast.parse(source)
    documented = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and _text_of(node.value)]
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    inside -= {id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    inside |= {id(node) for node in documented}
    for node in documented:
        numbered = enumerate(textwrap.dedent(_aligned(_text_of(node))).splitlines(), node.lineno)
        found = list(text_blocks("docstring", list(numbered)))
        for block in found[:1]:
            block.first_of_docstring = True
        yield from found
    yield from comment_blocks(source)
    for node in ast.walk(tree):
        text = _text_of(node)
        if id(node) not in inside and is_message(text):
            lines = list(enumerate(text.splitlines(), node.lineno))
            spread = node.end_lineno - node.lineno >= len(lines) - 1
            yield from (Block("message", [(number if spread else node.lineno, line)]) for number, line in lines)


def _text_of(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text_of(value) if isinstance(value, ast.Constant) else "{}" for value in values)
    return ""


def _aligned(docstring: str) -> str:
    """Return a docstring with its first line at the indentation of the others."""
    first, newline, rest = docstring.partition("\n")
    return f"{first.strip()}{newline}{textwrap.dedent(rest)}"


def is_message(text: str) -> bool:
    """Whether a string literal is text for a person rather than code, a pattern or data."""
    if not _THREE_WORDS.search(text) or _REGULAR_EXPRESSION.search(text):
        return False
    words = _VALUE.sub("", text).split()
    if sum(1 for word in words if _PLAIN_WORD.fullmatch(word)) < 0.7 * len(words):
        return False
    try:
        ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return True
    return False


def comment_blocks(source: str) -> Iterator[Block]:
    """Yield the comments of a Python file; comments on adjacent lines of their own are one text."""
    run: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or (token.start == (1, 0) and token.string.startswith("#!")):
            continue
        number, column = token.start
        alone = not token.line[:column].strip()
        if run and (not alone or number != run[-1][0] + 1):
            yield from text_blocks("comment", run)
            run = []
        run.append((number, _without_directives(token.string)))
        if not alone:
            yield from text_blocks("comment", run)
            run = []
    yield from text_blocks("comment", run)


def hash_comment_blocks(source: str) -> Iterator[Block]:
    """Yield the comments of a file whose comments begin with `#`, such as YAML."""
    run: list[tuple[int, str]] = []
    for number, line in enumerate(source.splitlines(), 1):
        before, mark, _ = line.partition("#")
        alone = not before.strip()
        if not mark or line.startswith("#!") or (run and not alone):
            yield from text_blocks("comment", run)
            run = []
        if not mark or line.startswith("#!"):
            continue
        if alone:
            run.append((number, _without_directives(line[len(before) :])))
        elif trailing := re.match(r"(?:[^\"'#]|\"[^\"]*\"|'[^']*')*\s(#\s.*)", line):
            yield from text_blocks("comment", [(number, _without_directives(trailing[1]))])
    yield from text_blocks("comment", run)


def _without_directives(comment: str) -> str:
    text = re.sub(r"-{2,}", "", comment.lstrip("#").removeprefix(" "))
    stripped = text.strip()
    while directive := _DIRECTIVE.match(stripped):
        stripped = stripped[directive.end() :].lstrip("#- ")
        text = stripped
    return text


def text_blocks(kind: str, lines: list[tuple[int, str]]) -> Iterator[Block]:
    """Yield the blocks of a docstring, a comment or a page: without code, each list item and table cell apart."""
    block = Block(kind, [])
    fence, doctest, section, after_blank, in_list = "", False, False, True, False
    for number, line in lines:
        text = re.sub(r"^\s*>+ ?(?!>)", "", line) if kind == "page" else line
        stripped = text.strip()
        indented = len(text) - len(text.lstrip())
        if fence or stripped.startswith(("```", "~~~")):
            ends = stripped.startswith(fence) if fence else True
            fence = ("" if fence else stripped[:3]) if ends else fence
            stripped = ""
        doctest = stripped.startswith(">>>") or (doctest and bool(stripped))
        is_code = (kind == "comment" or (kind == "page" and after_blank)) and indented >= 4 and not in_list
        is_heading = kind == "page" and stripped.startswith("#")
        is_table = stripped.startswith("|") or _CELLS.search(stripped) is not None
        bullet = _BULLET.match(text)
        starts_section = _SECTION.match(text) is not None
        section = starts_section or (section and (indented > 0 or not stripped))
        item = _ITEM.match(text) if section else None
        apart = not stripped or doctest or is_code or is_heading or is_table or starts_section
        after_colon = bool(block.lines) and block.lines[-1][1].rstrip().endswith(":") and indented > 0
        if (apart or bullet or item or after_colon) and block.lines:
            yield block
            block = Block(kind, [])
        if is_heading or (is_table and not (doctest or is_code)):
            cells = re.split(r"(?<!\\)\||\s{3,}", stripped) if is_table else [stripped.lstrip("# ")]
            yield from (Block(kind, [(number, cell.strip())]) for cell in cells if re.search(r"\w", cell))
        elif not apart:
            prefix = item or bullet
            block.lines.append((number, text[prefix.end() :] if prefix else text.strip()))
        in_list = bool(bullet) or (in_list and (indented > 0 or not stripped))
        after_blank = not stripped or (after_blank and is_code)
    if block.lines:
        yield block


def page_blocks(source: str) -> Iterator[Block]:
    """Yield the blocks of a Markdown page."""
    without = re.sub(r"<!--.*?-->", lambda found: "\n" * found[0].count("\n"), source, flags=re.DOTALL)
    lines = (re.sub(r"^\s*\[[^\]]+\]:\s+\S+.*$", "", line) for line in without.splitlines())
    yield from text_blocks("page", list(enumerate(lines, 1)))


# --- From blocks to violations ----------------------------------------------------------------------------------------
def check_block(path: str, block: Block) -> Iterator[Violation]:
    """Yield the violations in the sentences of a block."""
    text = "\n".join(line for _, line in block.lines)
    masked = _masked(text)
    searched = _QUOTE.sub(_crossed_out, masked)
    for position, (start, end) in enumerate(sentences(masked)):
        line = block.lines[text.count("\n", 0, start)][0]
        sentence = " ".join(text[start:end].split())
        for pattern, rule in ((_SPEECH, "R2"), (_PHRASES, "R3")):
            for found in pattern.finditer(searched, start, end):
                yield Violation(path, line, rule, " ".join(found[1].lower().split()), sentence)
        opening = _OPENING.match(searched, start, end)
        if opening and not sentence.endswith("?") and (block.kind in {"docstring", "comment"} or _capital(opening[1])):
            yield Violation(path, line, "R3", f"{' '.join(opening[1].split())} …", sentence)
        if (count := words(masked[start:end])) > MAX_WORDS:
            yield Violation(path, line, "R4", f"{count} words", sentence)
        if block.first_of_docstring and position == 0 and (label := colon_label(searched[start:end])):
            yield Violation(path, line, "R4b", f"{text[start : start + len(label)].split()[-1]}:", sentence)


def _capital(word: str) -> bool:
    return word[0].isupper()


def _crossed_out(found: re.Match[str]) -> str:
    return "x" * len(found[0])


def _masked(text: str) -> str:
    """Return the text with code, addresses and values crossed out, each as one word; no position changes."""
    text = _CODE.sub(_crossed_out, text)
    text = _LINK_TARGET.sub(lambda found: " " * len(found[0]), text)
    text = _MARKUP.sub(lambda found: " " * len(found[0]), text)
    return _VALUE.sub(_crossed_out, _URL.sub(_crossed_out, text))


def sentences(masked: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each sentence."""
    start = 0
    for stop in _STOP.finditer(masked):
        following = masked[stop.end() :].lstrip()
        if _ABBREVIATION.search(masked, start, stop.end()) and not following[:1].isupper():
            continue
        yield from _span(masked, start, stop.end())
        start = stop.end()
    yield from _span(masked, start, len(masked))


def _span(masked: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    text = masked[start:end]
    if text.strip():
        yield start + len(text) - len(text.lstrip()), end


def words(masked: str) -> int:
    """Count the words of a sentence: what spaces separate and holds a letter or a digit."""
    return sum(1 for word in masked.split() if any(map(str.isalnum, word)))


def colon_label(sentence: str) -> str:
    """Return what precedes a colon in the middle of a sentence, empty without one or where the colon is in order."""
    depth = 0
    for place, character in enumerate(sentence):
        depth += (character in "([{") - (character in ")]}")
        if character != ":" or depth > 0 or not re.match(r"\s+\S", sentence[place + 1 :]):
            continue
        label, rest = sentence[:place], sentence[place + 1 :]
        only_code = all(re.fullmatch(r"\W*(x{3,}|or|and)\W*", word) for word in label.split())
        items = re.split(r",\s+(?:and\s+|or\s+)?|\s+(?:and|or)\s+", rest)
        short_list = len(items) > 1 and all(words(item) <= 5 for item in items)
        return "" if only_code or words(label) <= 2 or short_list else label
    return ""


def check_names(path: str, source: str) -> Iterator[Violation]:
    """Yield the violations in the names of the test functions of a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not node.name.startswith("test_"):
            continue
        spaced = node.name.replace("_", " ")
        for pattern, rule in ((_SPEECH, "R2"), (_PHRASES, "R3")):
            for found in pattern.finditer(spaced):
                yield Violation(path, node.lineno, rule, found[1], node.name)
        if len(node.name) > MAX_NAME:
            yield Violation(path, node.lineno, "NAME", f"{len(node.name)} characters", node.name)


def check_file(path: Path, shown: str) -> list[Violation]:
    """Return the violations in a file; none for a kind of file that the script does not read."""
    kind = _kind(path)
    if not kind:
        return []
    source = path.read_text(encoding="utf-8")
    if kind == "python":
        blocks, names = python_blocks(source), check_names(shown, source)
    else:
        blocks, names = (page_blocks if kind == "page" else hash_comment_blocks)(source), iter(())
    return sorted([*names, *(found for block in blocks for found in check_block(shown, block))])


def _kind(path: Path) -> str:
    if path.suffix in {".py", ".md"}:
        return "python" if path.suffix == ".py" else "page"
    if path.suffix in HASH_COMMENTS or path.name in {"Makefile", "Dockerfile"}:
        return "hash"
    if not path.suffix and path.parent.name in HIDDEN_FOLDERS:
        with path.open("rb") as file:
            return "python" if re.match(rb"#!.*python", file.readline()) else "hash"
    return ""


def files_below(root: Path) -> Iterator[Path]:
    """Yield the files of a tree without what is built, installed or hidden."""
    for folder, below, names in os.walk(root):
        below[:] = sorted(
            name
            for name in below
            if name not in SKIPPED_FOLDERS and (not name.startswith(".") or name in HIDDEN_FOLDERS)
        )
        yield from (Path(folder, name) for name in sorted(names))


# --- Exceptions -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Allowed:
    """An entry of the list of exceptions."""

    path: str
    text: str
    reason: str

    def covers(self, violation: Violation) -> bool:
        """Whether the violation is in this file and in a sentence with this text."""
        return violation.path == self.path and self.text in violation.sentence


def load_allowed(path: Path) -> list[Allowed]:
    """Return the list of exceptions.

    Raises:
        SystemExit: The list is too long, or an entry is incomplete.
    """
    if not path.exists():
        return []
    import tomllib  # from Python 3.11; without a list of exceptions the script runs on 3.10

    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("allowed", [])
    if len(entries) > MAX_ALLOWED:
        raise SystemExit(f"{path.name}: {len(entries)} entries, at most {MAX_ALLOWED}; reword the sentences instead")
    for number, entry in enumerate(entries, 1):
        if set(entry) != {"path", "text", "reason"} or not all(str(value).strip() for value in entry.values()):
            raise SystemExit(f"{path.name}: entry {number} needs a path, a text and a reason, and nothing else")
    return [Allowed(**entry) for entry in entries]


def summary(violations: Iterable[Violation]) -> str:
    """Return a table of the violations by top-level folder and rule."""
    counts = Counter((violation.folder, violation.rule) for violation in violations)
    folders = sorted({folder for folder, _ in counts})
    rows = [(folder, [counts[folder, rule] for rule in RULES]) for folder in folders]
    rows.append(("total", [sum(row[column] for _, row in rows) for column in range(len(RULES))]))
    header = f"{'':12}" + "".join(f"{rule:>7}" for rule in (*RULES, "all"))
    return "\n".join([header, *(f"{name:12}" + "".join(f"{n:7}" for n in (*row, sum(row))) for name, row in rows)])


def main(arguments: list[str] | None = None) -> int:
    """Check the files that the command line names, by default the whole project; 1 on a violation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders to check; default: the whole project")
    parser.add_argument("--rule", action="append", choices=RULES, help="report this rule only; may be repeated")
    parser.add_argument("--count", action="store_true", help="print the table of counts only")
    parser.add_argument("--root", type=Path, default=ROOT, help="root of the project; default: that of this script")
    parser.add_argument("--allowed", type=Path, default=ALLOWED, help="the list of exceptions")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    for path in options.paths:
        if not path.exists():
            parser.error(f"no such file or folder: {path}")
    found: list[Violation] = []
    for path in options.paths or [root]:
        for file in files_below(path.resolve()) if path.is_dir() else [path.resolve()]:
            shown = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
            found += check_file(file, shown)
    allowed = load_allowed(options.allowed)
    if not options.paths:
        for entry in allowed:
            if not any(entry.covers(violation) for violation in found):
                raise SystemExit(f"{options.allowed.name}: nothing to allow in {entry.path}: {entry.text!r}; remove it")
    remaining = sorted(
        violation
        for violation in found
        if not any(entry.covers(violation) for entry in allowed)
        and (not options.rule or violation.rule in options.rule)
    )
    if not options.count:
        for violation in remaining:
            print(violation)
    print(summary(remaining))
    return 1 if remaining else 0


if __name__ == "__main__":
    sys.exit(main())
