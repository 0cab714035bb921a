"""The benchmarks of the targets: figures, their presentation, and the page about other instrumentations."""

from __future__ import annotations

import pytest
from tests.benchmarks import bench_bytecodes, bench_load, bench_policy, bench_targets, peers
from tests.benchmarks.measure import Result, Spread, interleaved, percentile
from tests.benchmarks.page import write_part
from tests.benchmarks.peer import PEERS
from tests.support.memory_api import WAYS


@pytest.mark.parametrize(("median", "met"), [(1.1, True), (1.11, False)])
def test_a_figure_is_within_its_target_by_its_median(median, met):
    result = Result("short", Spread(median, 0.5, 2.0), 1.1)
    assert result.met is met
    assert ("met" if met else "missed") in str(result)
    assert f"x{median:.2f} [0.50 2.00]" in str(result)


def test_measurements_take_turns_in_an_order_that_changes():
    order = []
    found = interleaved({name: lambda name=name: order.append(name) or len(order) for name in "ab"}, 2)
    assert order == ["a", "b", "b", "a"]
    assert found == [{"a": 1, "b": 2}, {"b": 3, "a": 4}]


def test_the_percentile_is_that_of_the_sorted_list():
    values = [float(number) for number in range(100, 0, -1)]
    assert (percentile(values, 0.99), percentile(values, 0.0)) == (100.0, 1.0)


@pytest.mark.parametrize("read", [bench_load.in_threads, bench_load.in_tasks])
def test_delays_are_collected_while_all_streams_are_read(read):
    """A stream has three events before its deltas and three after them. Only the last reader ends the collection."""
    delays = read(10, 3)
    assert 0 < len(delays) <= 3 * 16
    assert min(delays) >= 0


def test_a_policy_adds_few_bytecodes_to_an_event_of_a_burst():
    """The target is +0.5 us, and an event of the bare SDK takes 13 us or more."""
    modes = bench_policy.variants()
    found = {mode: bench_bytecodes.per_event("sync_create", settings, (5, 15)) for mode, settings in modes.items()}
    assert found["observe"] > found["bare"] > 100
    for mode in ("retry", "resume"):
        assert 0 < found[mode] - found["observe"] <= found["bare"] * 0.5 / 13


def test_the_plot_has_a_text_and_a_table(tmp_path):
    results = [
        Result("burst", Spread(0.5, 0.4, 0.6), 1.0, "60 us with the bare SDK", "us"),
        Result("memory", Spread(1.25, 1.2, 1.3), 1.1),
    ]
    text = bench_targets.part_of_page(results, tmp_path / "benchmarks.svg")
    summary = "1 of 2 figures are within their target."
    assert text.splitlines()[0].endswith(f". {summary}")
    assert f"![A bar for each figure, as a share of its target: {summary} The table has the figures](bench" in text
    assert (
        "| burst | +0.50 us | +1.00 us | met | 60 us with the bare SDK |\n| memory | x1.25 | x1.10 | missed |  |"
        in text
    )


def test_a_part_of_the_page_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Before\n\n<!-- begin: plot -->\nold\n<!-- end: plot -->\nAfter\n", encoding="utf-8")
    for _ in range(2):
        write_part(page, "plot", "new")
    assert page.read_text(encoding="utf-8") == ("Before\n\n<!-- begin: plot -->\n\nnew\n\n<!-- end: plot -->\nAfter\n")
    with pytest.raises(ValueError, match="has no part between <!-- begin: peers --> and"):
        write_part(page, "peers", "new")


def test_the_page_has_each_instrumentation_with_what_it_adds():
    """An instrumentation that cannot be measured is listed with the reason."""
    names = [name for name in PEERS if name != "Logfire"]

    def figures(base):
        ways = dict.fromkeys(WAYS, base)
        return {"paced": ways, "burst": ways, "short": ways, "first": ways}

    rounds = [{name: figures(100.0 if name == "none" else 150.0 + extra) for name in names} for extra in (0, 10, 90)]
    counts = {name: {"bytecodes": dict.fromkeys(WAYS, 1000 if name == "none" else 3500)} for name in names}
    text = peers.table(counts, rounds, {"Logfire": "no output"}, {"logfire": "5.4.0", "langfuse": "5.0.4"})
    rows = [line for line in text.splitlines() if line.startswith("| Langfuse")]
    assert rows == [
        "| Langfuse with OpenInference 5.0.4 | +2,500 | +2,500 | +2,500 | +2,500 |",
        "| Langfuse with OpenInference 5.0.4 | x1.60 | x1.60 | x1.60 | x1.60 |",
        "| Langfuse with OpenInference 5.0.4 | +60.0 | +60.0 | +60.0 | +60.0 |",
        "| Langfuse with OpenInference 5.0.4 | +60 | +60 | +60 | +60 | +60 |",
    ]
    assert "Logfire 5.4.0 was not measured: no output" in text
    assert "| none" not in text
