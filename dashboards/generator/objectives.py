"""What the alerts hold streams to. Change a figure, run ``make dashboards``, and look at what the tests then say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COMPLETED: Final = 0.99
"""Share of streams that complete, of those that their caller did not end."""
FIRST_TOKEN_SECONDS: Final = 10.0
"""A first token that comes later is slow. Has to be a bound of the buckets of its histogram."""
FIRST_TOKEN_SHARE: Final = 0.95
"""Share of streams whose first token is not slow."""


@dataclass(frozen=True, slots=True)
class Burn:
    """One pair of windows of a burn rate alert (the SRE workbook's): both have to burn, so that it ends soon after."""

    factor: float
    """How many times faster than allowed: 14.4 spends 2 % of a month's budget in an hour, 6 spends 5 % in six hours."""
    long: str
    short: str
    severity: str
    hold: str
    keep: str


BURNS: Final = (
    Burn(14.4, "1h", "5m", "page", "2m", "10m"),
    Burn(6.0, "6h", "30m", "ticket", "15m", "30m"),
)
WINDOWS: Final = ("5m", "30m", "1h", "6h")

FEWEST_FAILURES: Final = 5
"""Below this many events in the long window nothing is said: one failure of two streams is no incident."""

TIMEOUT_CUTS: Final = 3
"""Cuts at one limit and server within `TIMEOUT_WINDOW`: one can be chance."""
TIMEOUT_WINDOW: Final = "1h"

OVERLOADED_SHARE: Final = 0.05
"""Share of streams that broke off as overloaded: more, for minutes, is an incident."""
OVERLOADED_WINDOW: Final = "10m"

AMPLIFICATION: Final = 1.5
"""HTTP requests for each call: above, our retries are a good part of the load."""
AMPLIFICATION_WINDOW: Final = "10m"
AMPLIFICATION_REQUESTS: Final = 20
"""Fewer requests than this in the window say nothing about a ratio."""

BUDGET_REFUSALS: Final = 5
"""Retries that the budget refused within `BUDGET_WINDOW`."""
BUDGET_WINDOW: Final = "10m"

STALL_SECONDS: Final = 60.0
"""The threshold whose stalls count. One of the setting `stall_thresholds`."""
STALL_SHARE: Final = 0.05
STALLS: Final = 5
STALL_WINDOW: Final = "15m"
STUCK_SECONDS: Final = 900.0
"""A stream that is older than this, on a server from which no chunk has come for `STUCK_WINDOW`, hangs."""
STUCK_WINDOW: Final = "5m"
