"""Benchmarks: what this package costs, against the bare SDK in the same run. `make bench`; never part of the tests."""
