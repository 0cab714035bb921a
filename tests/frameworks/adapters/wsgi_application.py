"""The application that the adapters of gunicorn serve."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from probe import in_worker

from adapters import sdk
from adapters.servers import lines

probe = in_worker()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "application/json")])
    if environ["PATH_INFO"] == "/telemetry":
        return [json.dumps(probe.collect()).encode()]
    return lines(sdk.stream(parse_qs(environ["QUERY_STRING"])["url"][0]))
