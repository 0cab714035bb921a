"""Recording rules for costs: tokens times prices, which the user fills in. No price is part of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from dashboards.generator import rules
from dashboards.generator.names import label
from dashboards.generator.promql import MODEL, equal, rate, total

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

FILE: Final = "claude-stream-costs"
WINDOW: Final = "5m"
TOKENS_OF_A_PRICE: Final = 1_000_000
TYPES: Final = a.BILLED_TYPE.values
TYPE: Final = label(a.BILLED_TYPE)

PRICE: Final = "claude_stream_price"
TOKENS: Final = f"job_model_type:claude_stream_tokens:rate{WINDOW}"
COST: Final = f"job_model:claude_stream_cost:rate{WINDOW}"
WASTED_COST: Final = f"job_model:claude_stream_wasted_cost:rate{WINDOW}"

_EXTRA: Final = rules.ALL.series(schema.BILLED_EXTRA_TOKENS)
_WASTED: Final = rules.ALL.series(schema.BILLED_EXTRA_TOKENS, equal(a.BILLED_USE, "wasted"))


class InvalidPrices(Exception):
    """A file of prices cannot be used; ``str()`` is the reason."""


def read_prices(path: Path) -> dict[str, dict[str, float]]:
    """Return the prices of a million tokens, by model and type. Raises `InvalidPrices`."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidPrices(f"{path}: {error}") from error
    models = found.get("models") if isinstance(found, dict) else None
    if not isinstance(models, dict) or not models:
        raise InvalidPrices(f"{path}: no models; list them below `models:`, each with a price for {', '.join(TYPES)}")
    for model, prices in models.items():
        known = prices if isinstance(prices, dict) else {}
        for kind in known.keys() - set(TYPES):
            raise InvalidPrices(f"{path}: {model}: unknown type {kind}; the types are {', '.join(TYPES)}")
        for kind in TYPES:
            price = known.get(kind)
            if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < float("inf"):
                raise InvalidPrices(f"{path}: {model}: {kind}: {price!r} is no price; enter that of a million tokens")
    return models


def _typed(expr: str, kind: str) -> str:
    return f'label_replace({expr}, "{TYPE}", "{kind}", "", "")'


def _usage(kind: str, name_0_1: Any) -> str:
    """Tokens per second in the usage of complete calls, under the name of either version of the conventions."""
    new = rules.ALL.series(schema.GENAI_TOKEN_USAGE, equal(a.TOKEN_TYPE, kind), suffix="_sum")
    by = ("job", "instance", MODEL)
    either = f"{rate(new, WINDOW, *by)} or {rate(rules.ALL.series(name_0_1, suffix='_sum'), WINDOW, *by)}"
    return total(f"({either})", "job", MODEL)


def tokens() -> str:
    """Tokens billed per second, by job, model and type. Cached input is known with `semconv` `0.1` or `both` only."""
    usage = _usage("input", schema.GENAI_INPUT_TOKENS)
    cached = {
        "cache_read": rate(rules.ALL.series(schema.GENAI_USAGE_CACHE_READ), WINDOW, "job", MODEL),
        "cache_write": rate(rules.ALL.series(schema.GENAI_USAGE_CACHE_WRITE), WINDOW, "job", MODEL),
    }
    uncached = " - ".join([usage, *(f"({expr} or 0 * {usage})" for expr in cached.values())])
    parts = [
        _typed(f"clamp_min({uncached}, 0)", "input"),
        *(_typed(expr, kind) for kind, expr in cached.items()),
        _typed(_usage("output", schema.GENAI_OUTPUT_TOKENS), "output"),
        f'label_replace({rate(_EXTRA, WINDOW, "job", MODEL, TYPE)}, "part", "extra", "", "")',
    ]
    return total(f"({' or '.join(parts)})", "job", MODEL, TYPE)


def _priced(vector: str) -> str:
    return total(f"{vector} * on ({MODEL}, {TYPE}) group_left () {PRICE}", "job", MODEL)


def render(prices: dict[str, dict[str, float]]) -> dict[str, str]:
    """Return the text of the rule file by its name, with the prices of a token as series."""
    found: list[dict[str, Any]] = [
        {
            "record": PRICE,
            "expr": f"vector({prices[model][kind] / TOKENS_OF_A_PRICE:.12g})",
            "labels": {MODEL: str(model), TYPE: kind},
        }
        for model in prices
        for kind in TYPES
    ]
    found += [
        {"record": TOKENS, "expr": tokens()},
        {"record": COST, "expr": _priced(TOKENS)},
        {"record": WASTED_COST, "expr": _priced(rate(_WASTED, WINDOW, "job", MODEL, TYPE))},
    ]
    groups = {"groups": [{"name": FILE, "rules": found}]}
    return {f"{FILE}.yaml": rules.HEAD + yaml.dump(groups, Dumper=rules.RuleDumper, sort_keys=False, width=100_000)}
