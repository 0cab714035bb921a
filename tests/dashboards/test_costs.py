"""The rules of costs multiply tokens by the prices of a file, and reject a file without all prices."""

from __future__ import annotations

import pytest
import yaml
from dashboards.generator import costs
from dashboards.generator.command import ROOT, main
from dashboards.generator.names import metric

from otel_claude_stream._telemetry import schema

PRICES = {"input": 4, "cache_read": 1, "cache_write": 5, "output": 20}
"""Prices of a million tokens, made up for the tests."""


def price_file(folder, models):
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump({"models": models}), encoding="utf-8")
    return path


def series(spec, per_minute, suffix="", **labels):
    """Return an input series of promtool, which grows for twenty minutes."""
    named = {"job": "shop/chat", "instance": "a", **labels}
    text = ",".join(f'{name}="{value}"' for name, value in named.items())
    return {"series": f"{metric(spec)}{suffix}{{{text}}}", "values": f"0+{per_minute}x20"}


def extra(per_minute, kind, source, use, model="old"):
    labels = {"claude_stream_billed_type": kind, "claude_stream_billed_source": source, "claude_stream_billed_use": use}
    return series(schema.BILLED_EXTRA_TOKENS, per_minute, gen_ai_request_model=model, **labels)


OLD, NEW = {"gen_ai_request_model": "old"}, {"gen_ai_request_model": "new"}
SERIES = [
    # A process with the names of version 1.41 of the conventions: 1 input and 0.5 output tokens a second.
    series(schema.GENAI_TOKEN_USAGE, 60, "_sum", gen_ai_token_type="input", **OLD),
    series(schema.GENAI_TOKEN_USAGE, 30, "_sum", gen_ai_token_type="output", **OLD),
    extra(6, "input", "reported", "wasted"),
    extra(3, "output", "estimated", "wasted"),
    extra(12, "cache_read", "reported", "delivered"),
    # One with those of version 0.1: 1 input token a second, of which 0.6 come from the cache, and 0.5 output tokens.
    series(schema.GENAI_INPUT_TOKENS, 60, "_sum", **NEW),
    series(schema.GENAI_OUTPUT_TOKENS, 30, "_sum", **NEW),
    series(schema.GENAI_USAGE_CACHE_READ, 36, **NEW),
]
EXPECTED = {
    # Tenths of a millionth: rounded, because promtool compares exactly.
    costs.COST: {"old": 1.1 * 40 + 0.55 * 200 + 0.2 * 10, "new": 0.4 * 40 + 0.6 * 10 + 0.5 * 200},
    costs.WASTED_COST: {"old": 0.1 * 40 + 0.05 * 200},
}


def test_costs_are_tokens_times_prices(tmp_path, run_promtool):
    """Covers the usage under both versions of the conventions, and the tokens beside it."""
    prices = price_file(tmp_path, {"old": PRICES, "new": PRICES})
    assert main(["--output", str(tmp_path), "--prices", str(prices)]) == 0
    rules = tmp_path / "prometheus" / "claude-stream-costs.yaml"
    run_promtool("check", "rules", "--lint-fatal", rules)
    cases = [
        {
            "expr": f"round({record} * 1e7)",
            "eval_time": "15m",
            "exp_samples": [
                {"labels": f'{{job="shop/chat",gen_ai_request_model="{model}"}}', "value": round(value)}
                for model, value in by_model.items()
            ],
        }
        for record, by_model in EXPECTED.items()
    ]
    tests = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": SERIES, "promql_expr_test": cases}],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(tests, width=10_000), encoding="utf-8")
    run_promtool("test", "rules", path)


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ({}, "no models"),
        ({"m": None}, "m: input: None is no price"),
        ({"m": {**PRICES, "output": None}}, "m: output: None is no price"),
        ({"m": {**PRICES, "output": -1}}, "m: output: -1 is no price"),
        ({"m": {**PRICES, "output": "15 dollars"}}, "m: output: '15 dollars' is no price"),
        ({"m": {**PRICES, "outputs": 15}}, "m: unknown type outputs"),
    ],
)
def test_a_file_without_all_prices_is_rejected(models, reason, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path), "--prices", str(price_file(tmp_path, models))])
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "prometheus").exists()


def test_the_template_has_all_types_and_no_price():
    """Prices change, and depend on the contract."""
    models = yaml.safe_load((ROOT / "prices.template.yaml").read_text(encoding="utf-8"))["models"]
    assert [list(prices) for prices in models.values()] == [list(costs.TYPES)]
    with pytest.raises(costs.InvalidPrices, match="is no price"):
        costs.read_prices(ROOT / "prices.template.yaml")
