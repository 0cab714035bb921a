"""The figures of the first streams of a process, while the SDK builds its models."""

from __future__ import annotations

import pytest
from tests.support.processes import run

WAIT = 0.1
"""Seconds that the server waits between `message_start` and the first token."""

PROGRAM = """
import threading
import time
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
ClaudeStreamInstrumentor().instrument(tracer_provider=provider)

def read(api, way):
    started, first = time.perf_counter(), None
    with client(api) as calling:
        if way == "create":
            for event in calling.messages.create(stream=True, **REQUEST):
                if event.type == "content_block_delta" and first is None:
                    first = time.perf_counter() - started
        else:
            with calling.messages.stream(**REQUEST) as stream:
                for text in stream.text_stream:
                    first = first or time.perf_counter() - started
    seen.append(first)

seen = []
with FakeAPI(Script.message("Hello, world!").insert_pause(1, {wait})) as api:
    readers = [threading.Thread(target=read, args=(api, "{way}")) for _ in range({threads})]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    read(api, "{way}")
for span in spans.get_finished_spans():
    token = span.attributes["claude.stream.time_to_first_token"]
    emit(token=token, chunk=span.attributes["gen_ai.response.time_to_first_chunk"], seen=max(seen))
"""


@pytest.mark.parametrize(("way", "threads"), [("create", 1), ("stream", 1), ("stream", 4)])
def test_the_first_streams_of_a_process_take_as_long_as_the_server_waits(way, threads):
    """The SDK works for longer than the server waits, so that the reads find the bytes there and do not block."""
    streams = run(PROGRAM.format(way=way, threads=threads, wait=WAIT))
    assert len(streams) == threads + 1
    for stream in streams:
        assert WAIT <= stream["token"] <= stream["seen"]
        if threads == 1:  # others may keep a thread from noting its first chunk
            assert stream["chunk"] < stream["token"] - WAIT / 2
