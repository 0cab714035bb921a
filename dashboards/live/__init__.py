"""Shows the dashboards for Perses in a page, with a real Prometheus. Run it with ``python -m dashboards.live``.

The page consists of the components of Perses, which Node builds once from `dashboards/page`. It is not a Perses server.
"""
