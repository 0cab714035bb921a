"""Names of development versions that were renamed. None is an alias: each is an error that names the new one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SETTINGS: Final[Mapping[str, str]] = MappingProxyType({"limits": "known_limits"})
"""Settings, as `instrument()` takes them. Their environment variables changed with them."""

VALUES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("span", "own"): "always",
        ("gaps", "own"): "claude_stream",
        ("sdk_retries", "own"): "replace",
    }
)
"""Values, by the setting or the key of a policy that takes them."""

RULE_KEYS: Final[Mapping[str, str]] = MappingProxyType({"on": "reasons"})
"""Keys of a rule of a policy."""


def setting(name: str) -> str:
    """Return the new name of a setting; empty for a setting that was not renamed."""
    return SETTINGS.get(name, "")


def value(name: str, found: object) -> str:
    """Return the new name of a value of a setting or policy key; empty for a value that was not renamed."""
    return VALUES.get((name, found.strip().lower()), "") if isinstance(found, str) else ""


def rule_key(name: object) -> str:
    """Return the new name of a key of a rule; empty for a key that was not renamed.

    YAML 1.1 reads the key ``on`` as true, and so does OpenTelemetry's loader of configuration files.
    """
    return RULE_KEYS.get("on" if name is True else str(name), "")


def message(new: str) -> str:
    """Return the consequence and the remedy, for an error that names what was renamed."""
    return f"it was renamed to {new!r} and has no effect under its old name"
