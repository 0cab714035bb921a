"""Numbers in the units of panels, as people read them."""

from __future__ import annotations


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit: ``95.2 %``, ``1.4 s``, ``12 streams``."""
    match unit:
        case "percentunit":
            return f"{_number(value * 100, decimals)} %"
        case "s":
            return _seconds(value, decimals)
        case "bytes":
            return f"{value / 2**20:.0f} MiB"
        case _ if unit.startswith("suffix:"):
            suffix = unit.removeprefix("suffix:")
            return f"{_number(value, decimals)}{suffix}"
        case _:
            return _number(value, decimals)


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _seconds(value: float, decimals: int | None) -> str:
    if 0 < value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{_number(value, decimals)} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"
