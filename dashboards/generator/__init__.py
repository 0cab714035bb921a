"""Writes the dashboards and the rules from the schema: ``python -m dashboards.generator``.

Development code: it is not part of the wheel. What it writes is committed, and CI compares the two.
"""
