"""The runbook has a section for each alert, and names panels that exist."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.generator.rules import alerts

from otel_claude_stream._core.vocabulary import Origin, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.view.sides import API_SCOPE

RUNBOOK = (ROOT / "RUNBOOK.md").read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings."""
    return {
        re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_each_alert_has_a_section_and_each_section_an_alert(rule_files: list[Path]):
    linked = set()
    for path in rule_files:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
                    assert (ROOT.parent / file).exists()
                    linked.add(anchor)
    headings = set(re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE))
    assert linked == {head.lower() for head in headings}
    assert headings == {alert.name for alert in alerts()}


def test_links_and_pictures_of_readme_and_runbook_exist():
    for name in ("RUNBOOK.md", "README.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            assert not file or (ROOT / file).exists(), f"{name}: {target}"
            assert not anchor or file or anchor in anchors(text), f"{name}: {target}"


def test_panels_rows_and_dashboards_named_in_the_runbook_exist():
    """Text in italics is a dashboard, a row, a panel, a variable, or emphasis."""
    titles = {panel.title for board in BOARDS for panel in board.panels} | {row.title for b in BOARDS for row in b.rows}
    boards = {board.title.removeprefix("Claude streams: ").capitalize() for board in BOARDS}
    others = {"inside a 200 response", "error", "by model", "by server", "Model"}
    for named in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", " ".join(RUNBOOK.split())):
        plain = named.removeprefix("Claude streams: ")
        known = plain in titles | others or plain.capitalize() in boards
        assert known or any(title.startswith(plain) for title in titles), named


def test_queries_for_both_ends_use_names_of_the_schema_and_of_the_api():
    queries = re.findall(r"^\{ span\..* >> .*$", RUNBOOK, re.MULTILINE)
    assert len(queries) == 3
    for query in queries:
        assert set(re.findall(r"span\.([\w.]+)", query)) == {a.OUTCOME.name, a.ORIGIN.name}
        scope, outcome, origins = (
            re.search(rf'{name} !?[=~]+ "(.*?)"', query)[1] for name in ("name", "outcome", "origin")
        )
        assert (scope, outcome) == (API_SCOPE, Outcome.FAILED.value)
        assert set(origins.split("|")) <= {origin.value for origin in Origin}
    assert {re.search(r"status = (\w+)", query)[1] for query in queries} == {"ok", "unset", "error"}
