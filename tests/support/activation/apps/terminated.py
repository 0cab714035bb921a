"""Send SIGTERM to this process while a stream is open, with or without the handlers of examples/flush.py."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time

import anthropic

example = runpy.run_path(sys.argv[1])
if "sigterm" in sys.argv:
    example["exit_on_sigterm"]()
client = anthropic.Anthropic(max_retries=0)
CALL = {"model": "claude-sonnet-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello?"}]}


def read() -> None:
    with client.messages.stream(**CALL) as stream:
        stream.get_final_text()


if "handler" in sys.argv:
    example["flushed"](read)()
    os._exit(0)  # like a freeze of AWS Lambda, after which no code runs
stream = anthropic.Anthropic(max_retries=0, base_url=os.environ["ANTHROPIC_BASE_URL"] + "/s/open").messages.create(
    stream=True, **CALL
)
next(stream)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(10)
