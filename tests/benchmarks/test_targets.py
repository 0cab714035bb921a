"""The benchmarks of the targets: figures, their presentation, and the page about other instrumentations."""

from __future__ import annotations

import pytest
from tests.benchmarks import bench_load, peers
from tests.benchmarks.measure import Result, Spread, interleaved, percentile
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
