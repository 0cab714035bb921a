"""The committed pictures are those that `make pictures` takes, and the texts name their origin."""

from __future__ import annotations

import struct

import pytest
from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.live.browser import WINDOW
from dashboards.live.scenario_data import SCENARIOS
from dashboards.pictures.__main__ import PICTURES, chosen

WITHOUT_PICTURE = {"drill-down", "stream-health"}
"""Those that neither README nor runbook shows."""


def size(path):
    """Return the width and the height of a PNG."""
    return struct.unpack(">2I", path.read_bytes()[16:24])


def test_every_picture_that_is_taken_is_committed():
    boards = {board.file for board in BOARDS}
    assert {picture.board for picture in PICTURES} == boards - WITHOUT_PICTURE
    assert {path.stem for path in (ROOT / "pictures").glob("*.png")} == {picture.name for picture in PICTURES}
    assert {picture.job.removesuffix("-otlp") for picture in PICTURES} <= {*SCENARIOS, "$__all"}


def test_pictures_have_the_width_of_the_window_and_show_at_least_a_row():
    for picture in PICTURES:
        width, height = size(ROOT / "pictures" / f"{picture.name}.png")
        assert width == WINDOW["width"]
        assert 400 < height < WINDOW["height"]


def test_readme_and_runbook_show_every_picture_and_name_the_renderer():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "RUNBOOK.md")]
    assert all(any(f"pictures/{picture.name}.png" in text for text in texts) for picture in PICTURES)
    assert all("rendered by Perses' components against a real Prometheus" in " ".join(text.split()) for text in texts)


def test_pictures_are_chosen_by_their_names(capsys):
    assert chosen([]) == [*PICTURES]
    assert [picture.name for picture in chosen(["pipeline", "overview"])] == ["overview", "pipeline"]
    for argument, code, text in (("--help", 0, "a picture to take"), ("nothing", 2, "no picture is called nothing")):
        with pytest.raises(SystemExit) as ended:
            chosen([argument])
        assert ended.value.code == code
        assert text in "".join(capsys.readouterr())
