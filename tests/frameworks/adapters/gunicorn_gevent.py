"""A WSGI application under gunicorn with gevent."""

from __future__ import annotations

from adapters.gunicorn_gthread import command
from adapters.servers import Server

_SERVER = Server(lambda port: command(port, "gevent"), ["sync"])
WAYS, serving, collect = _SERVER.ways, _SERVER.serving, _SERVER.collect
