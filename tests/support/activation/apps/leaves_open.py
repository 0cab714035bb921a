"""Read the beginning of an answer and exit while the stream is open."""

from __future__ import annotations

import os
import sys

import anthropic

client = anthropic.Anthropic(max_retries=0, base_url=os.environ["ANTHROPIC_BASE_URL"] + "/s/open")
stream = client.messages.create(
    model="claude-sonnet-5", max_tokens=64, stream=True, messages=[{"role": "user", "content": "Hello?"}]
)
for event in stream:
    if event.type == "content_block_delta":
        break
if "raise" in sys.argv:
    raise ValueError("the application's own")
if "exit" in sys.argv:
    sys.exit(3)
