"""Panels state what the source `sdk`, metrics from the SDKs' own spans, cannot show."""

from __future__ import annotations

import pytest
import yaml
from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.generator.sources import SDK_METRICS, described, note

PANELS = {panel.title: panel for board in BOARDS for panel in board.panels}


def test_the_notes_are_about_the_metrics_that_the_overlay_makes():
    overlay = yaml.safe_load((ROOT.parent / "collector" / "sdk-spans.yaml").read_text(encoding="utf-8"))
    made = {metric["name"] for metric in overlay["connectors"]["signal_to_metrics/sdk"]["spans"]}
    assert {spec.name for spec in SDK_METRICS} == made


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Streams, by outcome", ""),
        ("Time to first token, by model", ""),
        ("Failed streams", ""),
        ("Gaps between chunks", "The source `sdk` has no data here."),
        ("Recovered streams", "The source `sdk` has no data here."),
        ("Waits between chunks, per stream", "The source `sdk` has only a part of the data."),
        ("Failed streams, by reason", "The source `sdk` cannot distinguish all reasons and matches no idle limit."),
        ("Age at the cut", "The source `sdk` leaves out streams with several requests."),
    ],
)
def test_the_note_follows_from_the_metrics_of_a_panel(title, wanted):
    """Metrics that a query only asks since when they exist do not count."""
    panel = PANELS[title]
    assert note(panel) == wanted
    assert described(panel) == f"{panel.description} {wanted}".strip()
