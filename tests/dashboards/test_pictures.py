"""The pictures can be drawn from the committed JSON and the answers of Prometheus."""

from __future__ import annotations

import json

import pytest
from dashboards.generator.command import ROOT
from dashboards.pictures import __main__ as pictures
from dashboards.pictures.panel_data import query_panel
from dashboards.pictures.panels import format_value
from PIL import Image
from tests.support.dashboards.scenarios import START


def test_every_dashboard_has_a_committed_picture():
    assert {picture.board for picture in pictures.PICTURES} == {path.stem for path in (ROOT / "grafana").glob("*.json")}
    assert {path.stem for path in (ROOT / "pictures").glob("*.png")} == {picture.name for picture in pictures.PICTURES}


@pytest.mark.parametrize("picture", pictures.PICTURES, ids=lambda picture: picture.name)
def test_each_picture_can_be_drawn(picture, prometheus, monkeypatch, tmp_path):
    """The drawn picture has the size of the committed picture and is not empty."""
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    path = pictures.draw_picture(picture, prometheus)
    with Image.open(path) as drawn, Image.open(ROOT / "pictures" / path.name) as committed:
        assert drawn.size == committed.size
        assert len(drawn.convert("RGB").getcolors(maxcolors=1 << 20)) > 100


def test_panel_data_has_the_values_of_the_scenario(prometheus):
    """Checks bars, table and heat map for the load balancer that cuts eleven streams."""
    board = json.loads((ROOT / "grafana" / "proxy-timeouts.json").read_text(encoding="utf-8"))
    values = {"job": "alb-otlp", "model": ".*", "server": ".*"}

    def data_of(title):
        panel = next(panel for panel in board["panels"] if panel.get("title") == title)
        start, end = START + 3600, START + 3 * 3600
        return query_panel(panel, values, start, end, query_at=prometheus.query_at, query_range=prometheus.query_range)

    bars = dict(data_of("Silence before the cut").values)
    assert {name.partition(":")[0]: round(value) for name, value in bars.items() if value} == {"59-62 s": 11}
    heads, row = data_of("Cuts, by server, limit and phase").rows
    assert heads == ["Server", "Limit", "Phase", "Requests", "Suspects", "Remedy"]
    assert row[:4] == ["gw.example.com", "idle:60s", "streaming", "11"]
    assert row[4].startswith("nginx, AWS ALB")
    assert "proxy_read_timeout" in row[5]
    cells = data_of("Silence before the cut, over time").cells
    assert {bound for bound, points in cells if any(value > 0.5 for _, value in points)} == {62.0}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0843, "percentunit", "8.43 %"),
        (0.25, "s", "250 ms"),
        (59.5, "s", "59.5 s"),
        (900, "s", "15.0 min"),
        (86400, "s", "24.0 h"),
        (11, "suffix: streams", "11 streams"),
        (2.5e8, "bytes", "238 MiB"),
        (0, "none", "0"),
    ],
)
def test_values_are_formatted_with_their_unit(value, unit, text):
    assert format_value(value, unit) == text
