"""A WSGI application under gunicorn with threads."""

from __future__ import annotations

from adapters.servers import Server


def command(port: int, worker: str) -> list[str]:
    """Return the arguments that start gunicorn with one worker of a class."""
    options = ["--bind", f"127.0.0.1:{port}", "--log-level", "critical", "--workers", "1", "--no-control-socket"]
    return ["gunicorn", "adapters.wsgi_application:application", *options, "--worker-class", worker, "--threads", "4"]


_SERVER = Server(lambda port: command(port, "gthread"), ["sync"])
WAYS, serving, collect = _SERVER.ways, _SERVER.serving, _SERVER.collect
