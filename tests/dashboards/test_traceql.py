"""Every TraceQL query, by the grammar that Grafana publishes: for npm alone, hence only where npm is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dashboards.generator.command import ROOT

GRAMMAR = "@grafana/lezer-traceql@1.0.0"
PARSE = """
const { parser } = require("@grafana/lezer-traceql");
const found = JSON.parse(require("fs").readFileSync(0)).map(query => {
  let at = null;
  parser.parse(query).iterate({ enter(node) { if (node.type.isError && at === null) at = node.from; } });
  return at;
});
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def errors_in():
    """`errors_in(queries)` gives, for each, where the grammar does not follow; None where it does."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("there is no npm to get TraceQL's grammar with")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "otel-claude-stream" / "traceql" / GRAMMAR.rpartition("@")[2]
    if not (folder / "node_modules" / "@grafana").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), GRAMMAR]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm cannot get TraceQL's grammar: {done.stderr.strip()[-200:]}")

    def parse(queries):
        done = subprocess.run(
            [node, "-e", PARSE],
            cwd=folder,
            input=json.dumps(queries),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(done.stdout)

    return parse


def queries():
    found = {}
    for path in sorted((ROOT / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == "tempo":
                    name = f"{path.stem}/{panel['title']}/{target['refId']}"
                    found[name] = re.sub(r"\$\{\w+:regex\}", "(a|b)", target["query"])
    return found


def test_the_grammar_takes_every_query(errors_in):
    asked = queries()
    assert len(asked) > 10
    found = dict(zip(asked, errors_in(list(asked.values())), strict=True))
    assert {name: at for name, at in found.items() if at is not None} == {}


def test_the_grammar_refuses_what_is_none(errors_in):
    assert None not in errors_in(["{ span.x = }", '{ name = "a" ', "{ } | select("])
