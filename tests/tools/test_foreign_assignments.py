from __future__ import annotations

import pytest
from tools import foreign_assignments

CLASSES = """
class Clock:
    __slots__ = ("now", "reads")

class Session:
    limit: int = 1

    def __init__(self):
        self.clock = Clock()
        self.clock.now = 1
        self.reads = 0

    def method(self): ...

    @property
    def state(self): ...

    @state.setter
    def state(self, value): ...
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    def run(code, *, limit=0, exceptions=(), others=()):
        package = tmp_path / "src" / "package"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "classes.py").write_text(CLASSES, encoding="utf-8")
        (package / "user.py").write_text(code, encoding="utf-8")
        monkeypatch.setattr(
            foreign_assignments, "EXCEPTIONS", dict.fromkeys([("Clock", "now"), *exceptions], "the hot path")
        )
        monkeypatch.setattr(foreign_assignments, "OTHER_OBJECTS", dict.fromkeys(others, "an object of a library"))
        code = foreign_assignments.main(["--source", str(tmp_path / "src"), "--limit", str(limit)])
        *lines, last = capsys.readouterr().out.splitlines()
        assert last == f"{len(lines)} assignments from outside, limit {limit}"
        assert code == (1 if len(lines) > limit else 0)
        return [line.removeprefix("src/package/user.py:") for line in lines]

    return run


@pytest.mark.parametrize(
    "statement",
    [
        "session.limit = 1",
        "session.limit += 1",
        "session.limit: int = 1",
        "(session.limit, other) = 1, 2",
        "del session.limit",
        "for session.limit in (): pass",
        "setattr(session, 'limit', 1)",
        "object.__setattr__(session, 'limit', 1)",
        "delattr(session, 'limit')",
        "[0 for session.limit in ()]",
    ],
)
def test_every_kind_of_assignment_counts(check, statement):
    assert check(f"def f(session):\n    {statement}\n") == ["2: session.limit (Session)"]


@pytest.mark.parametrize("attribute", ["limit", "clock", "state"])
def test_attributes_of_bodies_of_init_and_of_setters_count(check, attribute):
    assert check(f"session.{attribute} = 1") == [f"1: session.{attribute} (Session)"]


@pytest.mark.parametrize(
    "code",
    [
        "session.method = 1",
        "session.unknown = 1",
        "session['limit'] = 1",
        "session.limit",
        "setattr(session, name, 1)",
        "class A:\n    def f(self):\n        self.limit = 1",
        "class A:\n    @classmethod\n    def f(cls):\n        cls.limit = 1",
    ],
)
def test_other_attributes_and_self_do_not_count(check, code):
    assert check(code) == []


@pytest.mark.parametrize(
    "made",
    [
        "a = Session()",
        "a = classes.Session()",
        "a = Session.make()",
        "a: Session = Session()",
        "with Session() as a: pass",
    ],
)
def test_an_object_made_in_the_same_function_does_not_count(check, made):
    assert check(f"def f():\n    {made}\n    a.limit = 1\n") == []


def test_an_object_made_in_another_function_counts(check):
    assert check("a = Session()\ndef f():\n    a.limit = 1\n") == ["3: a.limit (Session)"]
    assert check("def f():\n    a = made()\n    a.limit = 1\n") == ["3: a.limit (Session)"]


def test_attributes_of_modules_do_not_count(check):
    code = "import sys\nimport package.classes as other\nfrom package import classes\n"
    assert check(f"{code}sys.limit = 1\nother.limit = 1\nclasses.limit = 1\n") == []
    assert check("from package.classes import Session\nSession.limit = 1\n") == ["2: Session.limit (Session)"]


def test_the_annotation_gives_the_class(check):
    assert check("def f(a, b: Session, c: 'Clock | None', d: Response, e: Any):\n    a.reads = 1\n    b.reads = 1\n"
                 "    c.reads = 1\n    d.reads = 1\n    e.reads = 1\n") == [
        "2: a.reads (Clock, Session)",
        "3: b.reads (Session)",
        "4: c.reads (Clock)",
        "6: e.reads (Clock, Session)",
    ]  # fmt: skip


def test_exceptions_are_by_class_or_by_object(check):
    code = "def f(a, b: Session):\n    a.reads = 1\n    b.reads = 1\n    b.limit = 1\n"
    assert check(code, exceptions=[("Clock", "reads")]) == ["3: b.reads (Session)", "4: b.limit (Session)"]
    assert check(code, exceptions=[("Session", "reads")]) == ["4: b.limit (Session)"]
    assert check(code, others=[("b", "limit")], limit=2) == ["2: a.reads (Clock, Session)", "3: b.reads (Session)"]


def test_an_exception_that_covers_nothing_is_an_error(check):
    with pytest.raises(SystemExit, match=r"nothing outside assigns Session\.limit"):
        check("", exceptions=[("Session", "limit")])
    with pytest.raises(SystemExit, match=r"nothing outside assigns response\.limit"):
        check("", others=[("response", "limit")])
