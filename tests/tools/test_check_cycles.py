from __future__ import annotations

import pytest
from tools.check_cycles import graph_of, main


@pytest.fixture
def package(tmp_path):
    def make(**sources):
        root = tmp_path / "pkg"
        for name, source in {"__init__": "", **sources}.items():
            path = root / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return root

    return make


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import pkg.b", {"pkg.b": 1}),
        ("from pkg import b", {"pkg.b": 1}),
        ("from pkg import name", {"pkg": 1}),
        ("from pkg.b import name", {"pkg.b": 1}),
        ("from pkg.sub import name", {"pkg.sub": 1}),
        ("from pkg.sub import c", {"pkg.sub.c": 1}),
        ("from . import b", {"pkg.b": 1}),
        ("from .sub.c import name", {"pkg.sub.c": 1}),
        ("import os, json", {}),
        ("def f():\n    from pkg import b", {"pkg.b": 2}),
        ("if TYPE_CHECKING:\n    from pkg import b", {"pkg.b": 2}),
        ("importlib.import_module('pkg.b')", {"pkg.b": 1}),
        ("import pkg.b\npkg.b.name()", {"pkg.b": 1}),
        ("import pkg.b\npkg.name()", {"pkg.b": 1, "pkg": 2}),
        ("import pkg.b\nimport pkg.b", {"pkg.b": 1}),
    ],
)
def test_every_form_of_import_is_an_edge(package, source, imported):
    graph = graph_of(package(a=source, b="", sub__in____init__="", sub__in__c=""))
    assert graph["pkg.a"] == imported


def test_relative_imports_start_at_the_package_of_the_module(package):
    graph = graph_of(
        package(a="", sub__in____init__="from . import c\nfrom .. import a", sub__in__c="from ..a import name")
    )
    assert graph["pkg.sub"] == {"pkg.sub.c": 1, "pkg.a": 2}
    assert graph["pkg.sub.c"] == {"pkg.a": 1}


def test_components_are_printed_with_their_imports(package, capsys):
    root = package(
        a="import pkg.b",
        b="def f():\n    from pkg.c import name",
        c="from pkg.a import name\nfrom pkg.d import name",
        d="from pkg.e import name",
        e="from pkg import d",
        f="from pkg import a",
    )
    assert main(["--package", str(root)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "component 1: 3 modules",
        "  pkg.a",
        "    imports pkg.b (line 1)",
        "  pkg.b",
        "    imports pkg.c (line 2)",
        "  pkg.c",
        "    imports pkg.a (line 1)",
        "component 2: 2 modules",
        "  pkg.d",
        "    imports pkg.e (line 1)",
        "  pkg.e",
        "    imports pkg.d (line 1)",
        "7 modules, 2 components with a cycle",
    ]


def test_a_package_that_imports_its_modules_is_no_cycle(package):
    root = package(__init__="from pkg.a import name", a="from pkg.b import name", b="import pkg.c", c="")
    assert main(["--package", str(root)]) == 0


def test_a_module_that_uses_names_of_its_package_is_a_cycle(package):
    root = package(__init__="from pkg.a import name", a="from pkg import other")
    assert main(["--package", str(root)]) == 1
