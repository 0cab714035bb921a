"""The tasks of `celery_worker`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from probe import Probe, in_worker
from runner import error_chain

FOLDER_VARIABLE = "CELERY_FOLDER"
"""The folder of the messages and the results."""

application = app = Celery("frameworks")
_probes: list[Probe] = []
_folders = {name: Path(os.environ[FOLDER_VARIABLE], name) for name in ("outbox", "queue", "results")}
for _folder in _folders.values():
    _folder.mkdir(exist_ok=True)
application.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(_folders["queue"]),
        "data_folder_out": str(_folders["outbox"]),
        "polling_interval": 0.02,
    },
    result_backend=f"file://{_folders['results']}",
)


@worker_process_init.connect
def start_probe(**_: Any) -> None:
    _probes.append(in_worker())


@application.task
def ask(url: str) -> dict[str, Any]:
    from adapters import sdk

    texts: list[str] = []
    try:
        texts.extend(sdk.stream(url))
    except Exception as error:  # noqa: BLE001 - every ending is an observation
        return {"texts": texts, "error": error_chain(error)}
    return {"texts": texts, "error": []}


@application.task
def telemetry() -> dict[str, Any]:
    return _probes[0].collect()
