"""Against the fake API, the SDK behaves as it does against the real one."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from dataclasses import replace

import anthropic
import pytest

import otel_claude_stream.testing as kit
from otel_claude_stream.testing import CutMidChunk, End, Error, FakeAPI, Hang, Reset, Script

WHOLE = Script.message("Hello, world!")
BUSY = Script.http_error(529, headers=(("retry-after-ms", "1"),))
ASK = {"model": "claude-test", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello?"}]}
TIMEOUT = 0.3  # seconds; only the tests with silence reach it


async def stream_async(url: str) -> tuple[str, str | None]:
    """Stream one message and return its text and its stop reason, or the name of the exception."""
    async with anthropic.AsyncAnthropic(api_key="none", base_url=url, max_retries=1, timeout=TIMEOUT) as client:
        text = ""
        try:
            async with client.messages.stream(**ASK) as stream:
                async for piece in stream.text_stream:
                    text += piece
                return text, (await stream.get_final_message()).stop_reason
        except Exception as error:  # noqa: BLE001 - any exception is the result
            return text, type(error).__name__


def stream_sync(url: str) -> tuple[str, str | None]:
    """Do the same as `stream_async`, with the sync client."""
    with anthropic.Anthropic(api_key="none", base_url=url, max_retries=1, timeout=TIMEOUT) as client:
        text = ""
        try:
            with client.messages.stream(**ASK) as stream:
                for piece in stream.text_stream:
                    text += piece
                return text, stream.get_final_message().stop_reason
        except Exception as error:  # noqa: BLE001 - any exception is the result
            return text, type(error).__name__


@pytest.fixture(params=["sync", "async"])
def stream(request):
    """A function that streams one message, sync or async."""
    return stream_sync if request.param == "sync" else lambda url: asyncio.run(stream_async(url))


@pytest.mark.parametrize(
    ("script", "text", "ending"),
    [
        (WHOLE, "Hello, world!", "end_turn"),
        (replace(WHOLE, framing="length"), "Hello, world!", "end_turn"),
        (replace(WHOLE, framing="close"), "Hello, world!", "end_turn"),
        (replace(WHOLE, encoding="gzip"), "Hello, world!", "end_turn"),
        (replace(WHOLE, newline="\r\n", chunking=5), "Hello, world!", "end_turn"),
        (replace(WHOLE, chunking="bytes"), "Hello, world!", "end_turn"),
        (WHOLE.cut_after(4, CutMidChunk()), "Hello,", "RemoteProtocolError"),
        (replace(WHOLE, framing="length").cut_after(4), "Hello,", "RemoteProtocolError"),
        (WHOLE.cut_after(4, End()), "Hello,", None),
        (replace(WHOLE, framing="close").cut_after(4), "Hello,", None),
        (WHOLE.cut_after(4, Reset()), "Hello,", "ReadError"),
        (WHOLE.cut_after(4, Hang(5)), "Hello,", "ReadTimeout"),
        (WHOLE.cut_after(4, Error()), "Hello,", "APIStatusError"),
        (Script.nginx_error(504), "", "GatewayTimeoutError"),
        (Script.http_error(400), "", "BadRequestError"),
        ([BUSY, WHOLE], "Hello, world!", "end_turn"),
        ([Script.no_response("rst"), WHOLE], "Hello, world!", "end_turn"),
        ([Script.no_response("fin"), WHOLE], "Hello, world!", "end_turn"),
    ],
)
def test_the_sdk_reports_each_ending_to_the_caller(stream, script, text, ending):
    with FakeAPI({"it": script}) as api:
        result = stream(api.url_for("it"))
        if ending == "GatewayTimeoutError" and result[1] == "InternalServerError":
            pytest.skip("this release of the SDK has no exception class for 504")
        assert result == (text, ending)
        expected = len(script) if isinstance(script, list) else 1 + (script.status == 504)
        assert [request.attempt for request in api.requests] == list(range(1, expected + 1))


def test_keep_alive_connections_are_reused():
    """Two requests share one connection."""
    with FakeAPI({"it": WHOLE}) as api, anthropic.Anthropic(api_key="none", base_url=api.url_for("it")) as client:
        for _ in range(2):
            assert client.messages.stream(**ASK).__enter__().get_final_text() == "Hello, world!"
        assert [request.connection for request in api.requests] == [1, 1]
        assert api.requests[0].json["stream"] is True


def test_leaving_a_with_block_early_closes_the_connection():
    script = WHOLE.insert_pause(4, 30)
    with FakeAPI(script) as api, anthropic.Anthropic(api_key="none", base_url=api.url) as client:
        with client.messages.stream(**ASK) as stream:
            next(iter(stream.text_stream))
        api.wait_until(lambda requests: requests[0].client_disconnected)


def test_the_bedrock_client_reads_the_event_stream_of_aws():
    pytest.importorskip("botocore", reason="the SDK's Bedrock client needs botocore and boto3; not installed")
    pytest.importorskip("boto3", reason="the SDK's Bedrock client needs botocore and boto3; not installed")
    with (
        FakeAPI({"it": WHOLE.for_bedrock()}) as api,
        anthropic.AnthropicBedrock(
            aws_access_key="a", aws_secret_key="b", aws_region="eu-west-1", base_url=api.url_for("it")
        ) as client,
        client.messages.create(**ASK, stream=True) as stream,
    ):
        assert [event.type for event in stream][-1] == "message_stop"


def test_the_example_in_the_docstring_of_the_package_runs():
    _, _, example = (inspect.getdoc(kit) or "").partition("::\n\n")
    code = re.sub(r"^    ", "", example, flags=re.MULTILINE)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n") == ["Hello,", " world!", "RemoteProtocolError", "[1, 2]", ""]
