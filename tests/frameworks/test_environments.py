"""The environments of the frameworks."""

from __future__ import annotations

import pytest
from tests.frameworks import environments


def test_an_environment_that_cannot_be_installed_is_named_with_the_remedy(monkeypatch, tmp_path):
    """It is made anew by the next run."""
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"broken": ("no requirement",)})
    environments.requirements.cache_clear()
    with pytest.raises(environments.NotInstalled) as raised:
        environments.interpreter("broken")
    message = str(raised.value)
    assert message.startswith("the environment 'broken' of tests/frameworks/catalogue.py cannot be installed: ")
    assert "no requirement" in message
    assert "pin another one there" in message
    assert list(tmp_path.glob("*/complete")) == []
