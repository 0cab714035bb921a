"""Read the exposition of a Collector, which Prometheus scrapes."""

from __future__ import annotations

import re

from tests.support.collector.running import eventually

LABELS_OF_THE_COLLECTOR = ("otel_scope_", "collector")
"""Prefixes of labels that name the library or the Collector."""


def parse_sample(line):
    """Split a line of the exposition into name, labels and value. Labels of the Collector are left out."""
    name, inside, amount = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line.partition(" # ")[0]).groups()
    found = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', inside))
    labels = {key: value for key, value in found.items() if not key.startswith(LABELS_OF_THE_COLLECTOR)}
    return name, labels, float(amount)


def samples(collector, name):
    """Labels and value of each series of a metric."""
    return [(labels, amount) for key, labels, amount in map(parse_sample, collector.scraped()) if key == name]


def sorted_samples(collector, name):
    """The same in the order of the labels."""
    return sorted(samples(collector, name), key=lambda sample: sorted(sample[0].items()))


def wait_for_samples(collector, name):
    """Wait up to ten seconds until a metric has a series."""
    return eventually(lambda: samples(collector, name), 10)
