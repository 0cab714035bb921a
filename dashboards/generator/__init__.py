"""Generates the dashboards and rules from the telemetry schema. Run it with ``python -m dashboards.generator``.

This is development code and not part of the wheel. The generated files are committed, and CI checks that they are up to
date.
"""
