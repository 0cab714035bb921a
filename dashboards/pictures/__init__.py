"""Draws the committed dashboards from Prometheus' answers: ``python -m dashboards.pictures``.

They are no screenshots of Grafana: a small renderer of our own draws the same JSON, with the answers that Prometheus
gives about the scenarios of the tests.
"""
