"""The journal keeps the beginning, the rare and the end, within its budget, and counts what it leaves out."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_claude_stream._core.stream.journal import Entry, Journal

BUDGETS = st.integers(min_value=16, max_value=400)
"""Values of the setting `event_budget` at its lower end, where it matters."""
TYPES = st.sampled_from([f"type_{number}" for number in range(40)])


def kept(journal):
    return [(entry.type, entry.at) for entry in journal.entries()]


@pytest.mark.parametrize("count", [1, 3])
def test_a_new_entry_has_only_type_time_and_count(count):
    """All other fields are empty."""
    entry = Entry("ping", 7, count=count)
    assert [getattr(entry, name) for name in Entry.__slots__] == [
        7, "", 0, count, None, 0, None, 7, 0, "", "ping",
    ]  # fmt: skip


@example(16, [("type_0", 0)] * 12 + [(f"type_{number}", 0) for number in range(1, 6)])
@given(BUDGETS, st.lists(st.tuples(TYPES, st.integers(0, 5)), max_size=600))
def test_a_journal_stays_within_its_budget_and_accounts_for_every_event(budget, added):
    """There are never more entries than the budget, and kept and dropped events add up to all events."""
    journal = Journal(budget)
    for at, (type_, count) in enumerate(added):
        journal.add(Entry(type_, at, count=count))
    entries = journal.entries()
    assert len(entries) <= budget
    assert sum(entry.count for entry in entries) + journal.dropped == sum(count for _, count in added)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


@given(BUDGETS, st.lists(TYPES, max_size=600))
def test_the_first_of_each_type_is_kept(budget, added):
    """The first event of a type survives any number of others, as it marks a beginning."""
    journal = Journal(budget)
    first = {}
    for at, type_ in enumerate(added):
        journal.add(Entry(type_, at))
        first.setdefault(type_, at)
    guaranteed = list(first.items())[: min(4, budget // 4)]
    assert set(guaranteed) <= set(kept(journal))


@given(BUDGETS, st.integers(1, 2000))
def test_the_newest_are_kept(budget, added):
    """The end of a stream matters as much as its beginning, so the last four are always there."""
    journal = Journal(budget)
    for at in range(added):
        journal.add(Entry("ping", at))
    assert [at for _, at in kept(journal)][-4:] == list(range(added))[-4:]


def test_the_budget_is_used_up_before_anything_is_dropped():
    """A budget of sixteen holds twelve entries of one type, as a quarter is reserved for rare types."""
    journal = Journal(16)
    for at in range(100):
        journal.add(Entry("ping", at))
    assert kept(journal) == [
        *[("ping", at) for at in range(8)],
        *[("ping", at) for at in range(96, 100)],
    ]
    assert journal.dropped == 88


def test_a_rare_type_is_kept_in_a_full_journal():
    """An `error` after thousands of pings is recorded, and so is the next new type."""
    journal = Journal(16)
    for at in range(100):
        journal.add(Entry("ping", at))
    journal.add(Entry("error", 100))
    for at in range(101, 200):
        journal.add(Entry("ping", at))
    assert ("error", 100) in kept(journal)


def test_events_of_the_same_time_stay_in_order():
    """Several events may arrive in one read. The first of a new type does not overtake the others."""
    journal = Journal(16)
    for order in range(20):
        journal.add(Entry("error" if order == 18 else "ping", 5, order=order))
    assert [entry.order for entry in journal.entries()] == [0, 1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 18, 19]


def test_many_unknown_types_do_not_exceed_the_budget():
    """The first events of at most 24 types are always kept, so a hundred types do not exceed the budget."""
    journal = Journal(96)
    for at in range(1000):
        journal.add(Entry(f"type_{at}", at))
    assert len(journal.entries()) <= 96
    assert journal.dropped == 1000 - len(journal.entries())
