"""Every TraceQL query parses with the grammar that Grafana publishes on npm. Skips without npm."""

from __future__ import annotations

import json
import re

import pytest
from dashboards.generator.command import ROOT
from tests.support.npm import Package

GRAMMAR = "@grafana/lezer-traceql@1.0.0"
PARSE = """
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-traceql";
const found = JSON.parse(readFileSync(0)).map(query => {
  let at = null;
  parser.parse(query).iterate({ enter(node) { if (node.type.isError && at === null) at = node.from; } });
  return at;
});
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def errors_in():
    """`errors_in(queries)` returns the position of the first syntax error of each query, or None."""
    package = Package(GRAMMAR, "TraceQL's grammar")
    return lambda queries: package.run(PARSE, queries)


def traceql_queries():
    found = {}
    for path in sorted((ROOT / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == "tempo":
                    name = f"{path.stem}/{panel['title']}/{target['refId']}"
                    found[name] = re.sub(r"\$\{\w+:regex\}", "(a|b)", target["query"])
    return found


def test_every_traceql_query_parses(errors_in):
    asked = traceql_queries()
    assert len(asked) > 10
    found = dict(zip(asked, errors_in(list(asked.values())), strict=True))
    assert {name: at for name, at in found.items() if at is not None} == {}


def test_the_grammar_rejects_invalid_queries(errors_in):
    assert None not in errors_in(["{ span.x = }", '{ name = "a" ', "{ } | select("])
