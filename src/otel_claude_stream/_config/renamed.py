"""Names that development versions used. They are not aliases; each is an error that names the new name."""

from __future__ import annotations

from typing import Final

SETTINGS: Final = {"limits": "known_limits"}
"""Settings by their old names, as arguments of `instrument()`. Their environment variables were renamed with them."""

VALUES: Final = {
    ("span", "own"): "always",
    ("gaps", "own"): "claude_stream",
    ("sdk_retries", "own"): "replace",
    ("semconv", "released"): "1.41",
    ("semconv", "latest"): "0.1",
}
"""New values, by the setting or policy key that takes them and the old value."""

RULE_KEYS: Final = {"on": "reasons"}
"""Keys of a rule of a policy, by their old names."""


def value(name: str, found: object) -> str:
    """Return the new name of a value of a setting or policy key; empty for a value that was not renamed."""
    return VALUES.get((name, found.strip().lower()), "") if isinstance(found, str) else ""


def rule_key(name: object) -> str:
    """Return the new name of a key of a rule; empty for a key that was not renamed.

    YAML 1.1 reads the key ``on`` as true, and so does OpenTelemetry's loader of configuration files.
    """
    return RULE_KEYS.get("on" if name is True else str(name), "")


def message(new: str) -> str:
    """Return the consequence and the remedy, for an error about an old name."""
    return f"it was renamed to {new!r} and has no effect under its old name"
