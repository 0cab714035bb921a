from __future__ import annotations

import functools
import inspect
import logging
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import wrapt
from anthropic import _base_client, _streaming
from tests.support.faults import WHOLE
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.ways import Seen, by_iteration

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._sdk.attach import hooks
from otel_claude_stream._sdk.attach.hooks import HOOKS
from otel_claude_stream.testing import Capture, Error, FakeAPI, Script

OWNERS = {hooks.BASE_CLIENT: _base_client, hooks.STREAMING: _streaming}
BUSY = Script.http_error(529, headers=(("retry-after-ms", "1"),))


def owner_of(hook):
    """The class that has the attribute."""
    return getattr(OWNERS[hook.module], hook.owner)


def attributes():
    """Return the attributes of the SDK's classes under the hooked names."""
    return {(hook.owner, hook.attribute): vars(owner_of(hook))[hook.attribute] for hook in HOOKS}


def replaced():
    """The hooked names with something else than the SDK's own. By identity: a wrapper equals what it wraps."""
    return {key for key, value in attributes().items() if value is not BARE[key]}


BARE = attributes()


@pytest.fixture(autouse=True)
def _nothing_stays_behind():
    """Each test begins and ends with the SDK as it was imported."""
    assert replaced() == set()
    yield
    assert replaced() == set()


async def one_stream(mode, url, seen=None):
    """One stream, read to its end."""
    async with (
        mode.entered(mode.client(url, max_retries=1)) as client,
        mode.entered(client.messages.stream(**ASK)) as stream,
    ):
        await by_iteration(mode, stream, seen or Seen())


def named(hook):
    return f"{hook.owner}.{hook.attribute}"


@pytest.mark.parametrize(
    "odd", [{"parameters": ("no_such_parameter",)}, {"attribute": "no_such_attribute"}], ids=["shape", "gone"]
)
@pytest.mark.parametrize("hook", HOOKS, ids=named)
def test_an_attribute_of_another_shape_is_left_alone(mode, hook, odd, monkeypatch, caplog):
    """One log line names it. The stream is unchanged, and the telemetry of the other hooks is recorded once."""
    changed = replace(hook, **odd)
    monkeypatch.setattr(hooks, "HOOKS", tuple(changed if each is hook else each for each in HOOKS))
    with observed() as telemetry, FakeAPI([BUSY, WHOLE]) as api:
        mode.run(one_stream, mode, api.url, seen := Seen())
        assert vars(owner_of(hook))[hook.attribute] is BARE[hook.owner, hook.attribute]
    assert [record.args[1:] for record in caplog.records if record.name == "otel_claude_stream"] == [
        (changed.owner, changed.attribute)
    ]
    assert seen.events[-1].type == "message_stop"
    blind = hook.attribute == "request" and hook.owner.startswith("Async") == mode.is_async
    telemetry.assert_recorded_once(streams=0 if blind else 1)
    if not blind:
        assert telemetry.outcome_and_reason() == ("completed", None)
        pings_seen = 1
        assert telemetry.attributes("ping.count", "usage.complete") == (pings_seen, True)


@pytest.mark.parametrize("attribute", ["_iter_events", "__stream__"])
def test_without_the_hooks_of_the_decoder_the_bytes_are_read(mode, attribute, monkeypatch):
    """An error event, which the SDK raises, is known from the body alone."""
    monkeypatch.setattr(
        hooks,
        "HOOKS",
        tuple(replace(hook, attribute="gone") if hook.attribute == attribute else hook for hook in HOOKS),
    )

    async def body(url):
        with pytest.raises(Exception, match="Overloaded"):
            await one_stream(mode, url)

    with observed() as telemetry, FakeAPI(WHOLE.cut_after(8, Error())) as api:
        mode.run(body, api.url)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("failed", "overloaded")


def test_instrumenting_twice_records_once_and_uninstrumenting_restores(mode):
    """On, on, off, off, on again: one span while on, none while off, and the SDK's own attributes afterwards."""
    instrumentor = ClaudeStreamInstrumentor()
    with Capture() as capture, FakeAPI(WHOLE) as api:
        for told in (1, 2):
            instrumentor.instrument(**capture.providers)
            instrumentor.instrument(**capture.providers)
            assert replaced() == set(BARE)
            mode.run(one_stream, mode, api.url)
            instrumentor.uninstrument()
            instrumentor.uninstrument()
            assert replaced() == set()
            mode.run(one_stream, mode, api.url)
            assert len(capture.spans()) == told


def hidden(owner, name):
    """A wrapper without `__wrapped__`."""
    wrapped = getattr(owner, name)

    def wrapper(*args, **kwargs):
        return wrapped(*args, **kwargs)

    setattr(owner, name, wrapper)


def honest(owner, name):
    """A wrapper that does."""
    wrapped = getattr(owner, name)
    hidden(owner, name)
    functools.update_wrapper(getattr(owner, name), wrapped)


def by_wrapt(owner, name):
    """A wrapper as instrumentations make it."""
    wrapt.wrap_function_wrapper(owner, name, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))


@pytest.mark.parametrize("wrap", [hidden, honest, by_wrapt])
def test_below_the_wrapper_of_another_package_ours_is_switched_off_and_on(mode, wrap):
    """It cannot be removed there. It records nothing while off, and once while on again."""
    with FakeAPI(WHOLE) as api, restored():
        with observed() as first:
            for hook in HOOKS:
                wrap(owner_of(hook), hook.attribute)
            mode.run(one_stream, mode, api.url)
            first.assert_recorded_once()
        mode.run(one_stream, mode, api.url)
        first.assert_recorded_once()
        with observed() as second:
            mode.run(one_stream, mode, api.url)
            second.assert_recorded_once()
        mode.run(one_stream, mode, api.url)
        second.assert_recorded_once()


@contextmanager
def restored():
    """Afterwards the SDK's classes are as they were, and the instrumentation knows."""
    yield
    put(BARE)
    with observed():  # takes note that its wrappers are gone
        assert replaced() == set(BARE)


def test_who_takes_our_wrapper_off_does_not_stop_the_next_one(mode):
    """Another package restores the attributes, and later puts ours back, which record only while on."""
    with FakeAPI(WHOLE) as api, restored():
        with observed() as first:
            saved = attributes()
            put(BARE)
            mode.run(one_stream, mode, api.url)
            first.assert_recorded_once(streams=0)
        with observed() as second:
            mode.run(one_stream, mode, api.url)
            second.assert_recorded_once()
        put(saved)
        mode.run(one_stream, mode, api.url)
        with observed() as third:
            mode.run(one_stream, mode, api.url)
            third.assert_recorded_once()


def put(what):
    """Set the hooked names."""
    for hook in HOOKS:
        setattr(owner_of(hook), hook.attribute, what[hook.owner, hook.attribute])


ORDER = """
import sys
if sys.argv[1] == "after the import":
    import anthropic
from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture, FakeAPI, Script
capture = Capture()
ClaudeStreamInstrumentor().instrument(**capture.providers)
if sys.argv[1] == "before the import":
    assert not {"anthropic", "httpx", "httpx2"} & set(sys.modules), "instrument() imports the SDK"
if sys.argv[1] == "off before the import":
    ClaudeStreamInstrumentor().uninstrument()
if sys.argv[1] == "off and on before the import":
    ClaudeStreamInstrumentor().uninstrument()
    ClaudeStreamInstrumentor().instrument(**capture.providers)
import anthropic
ask = {"model": "claude-test", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello?"}]}
with FakeAPI(Script.message()) as api, anthropic.Anthropic(api_key="none", base_url=api.url) as client:
    with client.messages.stream(**ask) as stream:
        stream.until_done()
print(len(capture.spans()))
"""


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("before the import", "1"),
        ("after the import", "1"),
        ("off before the import", "0"),
        ("off and on before the import", "1"),
    ],
)
def test_the_order_of_import_and_instrumentation_does_not_matter(when, told):
    """`instrument()` never imports the SDK, and finds it whenever it comes."""
    run = subprocess.run([sys.executable, "-c", ORDER, when], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [told]


def test_there_are_twelve_hooks_and_all_fit_this_sdk(caplog):
    """The table fits the release under test, so no hook is left out."""
    with caplog.at_level(logging.WARNING), observed():
        assert replaced() == set(BARE)
    assert (len(HOOKS), caplog.records) == (12, [])


def test_the_wrappers_look_like_what_they_wrap(mode):
    """Names, signatures and documentation are those of the SDK."""
    before = {key: (value.__name__, value.__doc__, inspect.signature(value)) for key, value in BARE.items()}
    with observed():
        assert {
            key: (value.__name__, value.__doc__, inspect.signature(value)) for key, value in attributes().items()
        } == before
        client = _base_client.AsyncAPIClient if mode.is_async else _base_client.SyncAPIClient
        assert inspect.iscoroutinefunction(client.request) == mode.is_async
