"""The runbook has what the alerts link, and speaks of panels that exist."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.generator.rules import alerts

RUNBOOK = (ROOT / "RUNBOOK.md").read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The anchors that headings get."""
    return {
        re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_each_alert_has_its_section_and_no_section_is_left_over(rule_files: list[Path]):
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


def test_links_and_pictures_lead_somewhere():
    for name in ("RUNBOOK.md", "README.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            assert not file or (ROOT / file).exists(), f"{name}: {target}"
            assert not anchor or file or anchor in anchors(text), f"{name}: {target}"


def test_the_panels_that_are_named_exist():
    """What stands in italics is a dashboard, a row, a panel, or a word that is stressed."""
    titles = {panel.title for board in BOARDS for panel in board.panels} | {row.title for b in BOARDS for row in b.rows}
    boards = {board.title.removeprefix("Claude streams: ").capitalize() for board in BOARDS}
    words = {
        "is",
        "inside of a 200 response",
        "error",
        "by reason",
        "by model",
        "by server",
        "Model",
        "dropped too early",
    }
    for named in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", " ".join(RUNBOOK.split())):
        plain = named.removeprefix("Claude streams: ")
        known = plain in titles | words or plain.capitalize() in boards
        assert known or any(title.startswith(plain) for title in titles), named
