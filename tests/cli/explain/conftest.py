from __future__ import annotations

import pytest

from otel_claude_stream.cli.explain import playback


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Play streams in the process of the test, which has imported the SDK. The spans are those of another process."""
    monkeypatch.setattr(playback, "play_isolated", playback.play)
