"""Benchmarks of this package against the bare SDK, measured in the same run with `make bench`."""
