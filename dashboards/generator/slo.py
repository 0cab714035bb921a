"""The objectives as OpenSLO v1, from the values and expressions of the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import yaml
from dashboards.generator import objectives, rules
from dashboards.generator.boards.shared import failed_rate, judged_rate
from dashboards.generator.objectives import BURNS, STALL_BURN, Burn
from dashboards.generator.promql import SERVER, rate

FILE: Final = "claude-stream-slos.yaml"
SERVICE: Final = "claude-streams"
WINDOW: Final = "30d"
"""The burn rates are multiples of what a month allows."""
STEP: Final = "5m"
"""Window of the rates in an indicator. Ratios of counts have the same values."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A service level objective, with the alert that guards it. `part` is `good` or `bad`."""

    name: str
    title: str
    description: str
    part: str
    numerator: str
    total: str
    target: float
    alert: str
    burns: tuple[Burn, ...]


def slos() -> tuple[Objective, ...]:
    """Return the objectives: success, time to first token, stalls."""
    window = objectives.STALL_WINDOW
    return (
        Objective(
            "claude-stream-success",
            "Claude streams complete",
            "Share of the streams that complete, by job. Streams that their caller closed do not count.",
            "bad",
            failed_rate(rules.ALL, STEP, "job"),
            judged_rate(rules.ALL, STEP, "job"),
            objectives.COMPLETED_SHARE,
            "AbortBudgetBurn",
            BURNS,
        ),
        Objective(
            "claude-stream-first-token",
            "Claude streams start in time",
            f"Share of the streams whose first token comes within {objectives.FIRST_TOKEN_SECONDS:g} s, by job. "
            "Retries count as waiting.",
            "good",
            rate(rules.FAST_FIRST_TOKENS, STEP, "job"),
            rate(rules.FIRST_TOKENS, STEP, "job"),
            objectives.FIRST_TOKEN_SHARE,
            "FirstTokenObjectiveBurn",
            BURNS,
        ),
        Objective(
            "claude-stream-stalls",
            "Claude streams do not stall",
            f"Share of the streams without a wait for content of {objectives.STALL_SECONDS:g} s, by job and server. "
            "Each such wait counts, so a stream with two counts twice.",
            "bad",
            rules.stall_count(window, "job", SERVER),
            rules.ended_count(window, "job", SERVER),
            1 - objectives.STALL_SHARE,
            "StreamStalled",
            (STALL_BURN,),
        ),
    )


def _query(expr: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": expr}}}


def _policy(slo: Objective, burn: Burn, runbook: str) -> dict[str, Any]:
    name = f"{slo.name}-{burn.severity}"
    both = f"over {burn.long}" + (f" and over {burn.short}" if burn.short != burn.long else "")
    return {
        "kind": "AlertPolicy",
        "metadata": {
            "name": name,
            "annotations": {"alert": slo.alert, "runbook": f"{runbook}#{slo.alert.lower()}"},
        },
        "spec": {
            "description": f"The Prometheus alert {slo.alert} with the severity {burn.severity}: the burn rate is "
            f"above {burn.factor:g} {both}.",
            "alertWhenBreaching": True,
            "alertWhenResolved": True,
            "alertWhenNoData": False,
            "conditions": [
                {
                    "kind": "AlertCondition",
                    "metadata": {"name": name},
                    "spec": {
                        "severity": burn.severity,
                        "condition": {
                            "kind": "burnrate",
                            "op": "gt",
                            "threshold": burn.factor,
                            "lookbackWindow": burn.long,
                            "alertAfter": burn.pending,
                        },
                    },
                }
            ],
            "notificationTargets": [{"targetRef": burn.severity}],
        },
    }


def _document(kind: str, name: str, spec: dict[str, Any], title: str = "") -> dict[str, Any]:
    metadata = {"name": name, "displayName": title} if title else {"name": name}
    return {"apiVersion": "openslo/v1", "kind": kind, "metadata": metadata, "spec": spec}


def documents(runbook: str) -> list[dict[str, Any]]:
    """Return the objects: a service, its objectives, and the targets of their alerts."""
    found = [_document("Service", SERVICE, {"description": "Streams of Claude's Messages API."}, "Claude streams")]
    for slo in slos():
        indicator = {
            "metadata": {"name": slo.name},
            "spec": {
                "ratioMetric": {"counter": False, slo.part: _query(slo.numerator), "total": _query(slo.total)},
            },
        }
        spec = {
            "description": slo.description,
            "service": SERVICE,
            "indicator": indicator,
            "timeWindow": [{"duration": WINDOW, "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": slo.title, "target": round(slo.target, 6)}],
            "alertPolicies": [_policy(slo, burn, runbook) for burn in slo.burns],
        }
        found.append(_document("SLO", slo.name, spec, slo.title))
    for severity in ("page", "ticket"):
        target = {"description": f"Receivers of alerts with the label severity={severity}.", "target": "alertmanager"}
        found.append(_document("AlertNotificationTarget", severity, target))
    return found


def render(runbook: str) -> dict[str, str]:
    """Return the text of the file by its name."""
    text = yaml.dump_all(documents(runbook), Dumper=rules.RuleDumper, sort_keys=False, width=100_000)
    return {FILE: rules.HEAD + text}
