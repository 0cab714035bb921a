"""Takes the pictures of the dashboards for README and runbook. Run it with ``python -m dashboards.pictures``.

Perses' components draw them in Chromium, with a real Prometheus and the data of the tests.
"""
