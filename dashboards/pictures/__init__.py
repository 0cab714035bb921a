"""Draws the committed dashboards with the answers of a real Prometheus. Run it with ``python -m dashboards.pictures``.

The pictures are not screenshots of Grafana. A small renderer draws the same JSON. The data comes from the scenarios of
the tests.
"""
