"""The benchmarks: figures, their presentation, and the page that is made from the data."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from xml.etree import ElementTree as ET

import pytest
from tests.benchmarks import bench_bytecodes, bench_instructions, bench_load, bench_policy, page, peers
from tests.benchmarks.measure import Result, Spread, interleaved, machine, percentile
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
    """A stream has three events before its deltas and three after them. Only the last reader ends the collection.

    The caller gets each event but the ping.
    """
    events = []
    delays = read(10, 3, each=lambda: events.append(1))
    assert 0 < len(delays) <= 3 * 16
    assert min(delays) >= 0
    assert len(events) == 3 * 15


def test_a_policy_adds_few_bytecodes_to_an_event_of_a_burst():
    """The target is +0.5 us, and an event of the bare SDK takes 13 us or more."""
    modes = bench_policy.variants()
    found = {mode: bench_bytecodes.per_event("sync_create", settings, (5, 15)) for mode, settings in modes.items()}
    assert found["observe"] > found["bare"] > 100
    for mode in ("retry", "resume"):
        assert 0 < found[mode] - found["observe"] <= found["bare"] * 0.5 / 13


def test_a_part_of_the_page_is_replaced(tmp_path):
    copy = tmp_path / "page.md"
    copy.write_text("Before\n\n<!-- begin: plot -->\nold\n<!-- end: plot -->\nAfter\n", encoding="utf-8")
    for _ in range(2):
        page.write_part(copy, "plot", "new")
    assert copy.read_text(encoding="utf-8") == ("Before\n\n<!-- begin: plot -->\n\nnew\n\n<!-- end: plot -->\nAfter\n")
    with pytest.raises(ValueError, match="has no part between <!-- begin: peers --> and"):
        page.write_part(copy, "peers", "new")


def test_the_table_has_each_instrumentation_with_what_it_adds():
    """An instrumentation that cannot be measured is listed with the reason."""
    names = [name for name in PEERS if name != "Logfire"]

    def figures(base):
        ways = dict.fromkeys(WAYS, base)
        return {"paced": ways, "burst": ways, "short": ways, "first": ways}

    rounds = [{name: figures(100.0 if name == "none" else 150.0 + extra) for name in names} for extra in (0, 10, 90)]
    text = peers.table(rounds, {"Logfire": "no output"}, {"logfire": "5.4.0", "langfuse": "5.0.4"})
    rows = [line for line in text.splitlines() if line.startswith("| Langfuse")]
    assert rows == [
        "| Langfuse with OpenInference 5.0.4 | x1.60 | x1.60 | x1.60 | x1.60 |",
        "| Langfuse with OpenInference 5.0.4 | +60.0 | +60.0 | +60.0 | +60.0 |",
        "| Langfuse with OpenInference 5.0.4 | +60 | +60 | +60 | +60 | +60 |",
    ]
    assert "Logfire 5.4.0 was not measured: no output" in text
    assert "| none" not in text


def test_the_page_of_other_instrumentations_names_the_machine_and_the_date(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Example CPU\nmodel name\t: Example CPU\n", encoding="utf-8")
    found = machine(cpuinfo)
    assert re.fullmatch(r"\d+ x Example CPU, \S+ \S+", found)
    assert re.fullmatch(r"\d+ x \S.*, \S+ \S+", machine(tmp_path / "missing"))
    text = peers.page("TABLES", {"python": "3.11.7", "anthropic": "2.14.0"}, 5, found, dt.date(2026, 11, 29))
    assert f"Measured on 2026-11-29 on {found}, with python 3.11.7, anthropic 2.14.0, opentelemetry-sdk ?." in text
    assert text.endswith("medians of 5 rounds.\n\nTABLES\n")


def test_the_page_and_its_picture_are_those_of_the_data(tmp_path):
    """Run `python -m tests.benchmarks.page` after a change of the data or of that module."""
    copy, picture = tmp_path / page.PAGE.name, tmp_path / page.PICTURE.name
    shutil.copy(page.PAGE, copy)
    page.write(json.loads(page.DATA.read_text(encoding="utf-8")), copy, picture)
    assert copy.read_text(encoding="utf-8") == page.PAGE.read_text(encoding="utf-8")
    assert picture.read_text(encoding="utf-8") == page.PICTURE.read_text(encoding="utf-8")
    assert ET.fromstring(picture.read_text(encoding="utf-8")).tag.endswith("svg")


def test_the_data_has_each_variant_or_the_reason_why_not():
    data = json.loads(page.DATA.read_text(encoding="utf-8"))
    assert set(bench_instructions.VARIANTS) == {*data["instructions"], *data["failed"]} - {page.FLOOR}


def test_an_event_is_the_difference_of_two_streams():
    """The least count of equal intervals is taken."""
    labels = [["none", "burst of 60", "sync_create", 1], ["none", "burst of 10", "sync_create", 1]]
    labels += [["none", "stream", "sync_create", 4]] * 3
    assert bench_instructions.figures(labels, [6000, 1000, 5000, 4004, 4444]) == {
        "none": {"burst": {"sync_create": 100}, "stream": {"sync_create": 1001}}
    }


def test_the_files_of_callgrind_are_read_in_order(tmp_path):
    for number in (10, 2):
        text = f"desc: Trigger: --dump-before=getpgid\n\ntotals: {number}00\n"
        (tmp_path / f"counts.{number}").write_text(text, encoding="utf-8")
    (tmp_path / "counts.11").write_text("desc: Trigger: Program termination\n\ntotals: 7\n", encoding="utf-8")
    assert bench_instructions.dumps(tmp_path) == [200, 1000]


def test_a_target_is_judged_for_each_way():
    """A ratio is rounded as in the table before it is compared."""
    ways = dict.fromkeys(WAYS, 100)
    counts = {"burst": ways, "wait": ways, "stream": ways, "first event": {"sync_create": 100}}
    ours = {**counts, "wait": {**ways, "sync_create": 110.4, "sync_stream": 111}, "stream": dict.fromkeys(WAYS, 150)}
    native = {**counts, "stream": dict.fromkeys(WAYS, 140)}
    data = {
        "instructions": {
            "none": {**counts, "first call": {"sync_create": 5_000_100}},
            page.OURS: {**ours, "first call": {"sync_create": 9_000_100}},
            page.NATIVE: native,
            page.SPAN: {**counts, "stream": {**native["stream"], "sync_create": 138}},
            page.FLOOR: {"wait": {"": 10}, "stream": {"": 25}},
        },
        "bytes of an open stream": 8193,
        "versions": {"python": "3", "anthropic": "2", "opentelemetry-sdk": "1", "valgrind": "3"},
        "date": "2026-11-28",
        "failed": {"Logfire": "no output"},
    }
    text = page.targets_table(data)
    assert "| an event after a wait | the bare SDK | x1.10 | x1.11 | x1.00 | x1.00 | x1.1: met by 3 of 4 |" in text
    assert "| what the SDK's own tracing adds | x1.25 | x1.25 | x1.25 | x1.25 | x1: missed |" in text
    assert "| the memory of an open stream | 8 KiB | x1.00 |  |  |  | x1: met |" in text
    assert "executes 5 million instructions more than later\ncalls with the bare SDK." in text
    assert "With this package these are 9 million." in text
    assert "which is 50% to 50% of what this package adds." in text
    assert "this package adds x0.95, x1.00, x1.00, x1.00 of what that tracing adds." in text
    assert page.peers_table(data).splitlines()[-1] == "Logfire was not counted: no output"
    assert f"| {page.OURS} | x1.00 | x1.00 to 1.11 | x1.50 | x1.00 |" in page.peers_table(data)
