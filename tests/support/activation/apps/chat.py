"""An application without instrumentation code, which reads one answer and prints it."""

from __future__ import annotations

import anthropic

with anthropic.Anthropic(max_retries=0).messages.stream(
    model="claude-sonnet-5", max_tokens=64, messages=[{"role": "user", "content": "Hello?"}]
) as stream:
    print(stream.get_final_text(), flush=True)
