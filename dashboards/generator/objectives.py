"""Objectives and thresholds of the alerts. After a change run ``make dashboards`` and the tests of the alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COMPLETED_SHARE: Final = 0.99
"""Objective: share of streams that complete, without those closed by their caller."""
FIRST_TOKEN_SECONDS: Final = 10.0
"""A later first token is slow. The value must be a bucket bound of the histogram."""
FIRST_TOKEN_SHARE: Final = 0.95
"""Objective: share of streams whose first token is not slow."""


@dataclass(frozen=True, slots=True)
class Burn:
    """A pair of windows of a burn rate alert, as in the SRE workbook. The short one ends the alert soon."""

    factor: float
    """Multiple of the allowed rate. 14.4 spends 2 % of a monthly budget in an hour, 6 spends 5 % in six hours."""
    long: str
    short: str
    severity: str
    pending: str
    """How long the condition must hold before the alert fires (``for``)."""
    keep_firing: str
    """How long the alert fires after the condition ends (``keep_firing_for``)."""


BURNS: Final = (
    Burn(14.4, "1h", "5m", "page", "2m", "10m"),
    Burn(6.0, "6h", "30m", "ticket", "15m", "30m"),
)
WINDOWS: Final = ("5m", "30m", "1h", "6h")

MIN_FAILURES: Final = 5
"""The burn alerts need this many failures in the long window. One failure of two streams is no incident."""

TIMEOUT_CUTS: Final = 3
"""Cuts at one limit and server within `TIMEOUT_WINDOW`. A single one can be chance."""
TIMEOUT_WINDOW: Final = "1h"

OVERLOADED_SHARE: Final = 0.05
"""A larger share of streams that end with `overloaded_error`, for minutes, is an incident."""
OVERLOADED_WINDOW: Final = "10m"

AMPLIFICATION: Final = 1.5
"""HTTP requests for each call. Above this value retries are a large part of the load."""
AMPLIFICATION_WINDOW: Final = "10m"
AMPLIFICATION_REQUESTS: Final = 20
"""With fewer requests in the window the ratio means nothing."""

BUDGET_REFUSALS: Final = 5
"""Retries that the budget refuses within `BUDGET_WINDOW` before the alert fires."""
BUDGET_WINDOW: Final = "10m"

STALL_SECONDS: Final = 60.0
"""Stalls of this threshold count. It must be one of the setting `stall_thresholds`."""
STALL_SHARE: Final = 0.05
STALLS: Final = 5
STALL_WINDOW: Final = "15m"
STALL_BURN: Final = Burn(1.0, STALL_WINDOW, STALL_WINDOW, "ticket", "2m", "10m")
"""The alert about stalls compares one window with the objective itself."""
STUCK_SECONDS: Final = 900.0
"""A stream older than this hangs if its server has sent no chunk for `STUCK_WINDOW`."""
STUCK_WINDOW: Final = "5m"
