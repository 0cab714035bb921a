from __future__ import annotations

import pytest

from otel_claude_stream.cli.explain import playback


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Play streams in the process of the test, which has imported the SDK.

    `test_a_playback_in_another_process_gives_the_same_spans` shows that the spans are the same.
    """
    monkeypatch.setattr(playback, "play_isolated", playback.play)
