"""FastAPI under uvicorn."""

from __future__ import annotations

from adapters.servers import Server


def _command(port: int) -> list[str]:
    application = "adapters.fastapi_application:application"
    return ["uvicorn", application, "--port", str(port), "--log-level", "critical"]


_SERVER = Server(_command, ["async", "sync"])
WAYS, serving, collect = _SERVER.ways, _SERVER.serving, _SERVER.collect
