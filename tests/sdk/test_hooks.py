"""The hooks on the SDK's classes, which are installed, removed, and combined with those of other packages."""

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
    """Return the class that has the attribute."""
    return getattr(OWNERS[hook.module], hook.owner)


def attributes():
    """Return the current attributes of the SDK's classes under the hooked names."""
    return {(hook.owner, hook.attribute): vars(owner_of(hook))[hook.attribute] for hook in HOOKS}


def replaced():
    """Return the hooked names whose attribute is not that of the SDK."""
    return {key for key, value in attributes().items() if value is not BARE[key]}  # a wrapper equals what it wraps


BARE = attributes()


@pytest.fixture(autouse=True)
def _no_hook_stays_installed():
    """Assert that each test begins and ends with the SDK as imported."""
    assert replaced() == set()
    yield
    assert replaced() == set()


async def read_one(mode, url, seen=None):
    """Read one stream to its end."""
    async with (
        mode.entered(mode.client(url, max_retries=1)) as client,
        mode.entered(client.messages.stream(**ASK)) as stream,
    ):
        await by_iteration(mode, stream, seen or Seen())


def named(hook):
    return f"{hook.owner}.{hook.attribute}"


def test_all_twelve_hooks_match_this_release_of_the_sdk(caplog):
    """No hook is left out, so there is no warning."""
    with caplog.at_level(logging.WARNING), observed():
        assert replaced() == set(BARE)
    assert (len(HOOKS), caplog.records) == (12, [])


@pytest.mark.parametrize(
    "difference",
    [{"parameters": ("no_such_parameter",)}, {"attribute": "no_such_attribute"}],
    ids=["other parameters", "missing"],
)
@pytest.mark.parametrize("hook", HOOKS, ids=named)
def test_an_attribute_with_another_signature_is_not_wrapped(mode, hook, difference, monkeypatch, caplog):
    """A warning names it. The stream is unchanged, and the other hooks still record it once."""
    changed = replace(hook, **difference)
    monkeypatch.setattr(hooks, "HOOKS", tuple(changed if each is hook else each for each in HOOKS))
    with observed() as telemetry, FakeAPI([BUSY, WHOLE]) as api:
        mode.run(read_one, mode, api.url, seen := Seen())
        assert vars(owner_of(hook))[hook.attribute] is BARE[hook.owner, hook.attribute]
    assert [record.args[1:] for record in caplog.records if record.name == "otel_claude_stream"] == [
        (changed.owner, changed.attribute)
    ]
    assert seen.events[-1].type == "message_stop"
    unrecorded = hook.attribute == "request" and hook.owner.startswith("Async") == mode.is_async
    telemetry.assert_recorded_once(streams=0 if unrecorded else 1)
    if not unrecorded:
        assert telemetry.outcome_and_reason() == ("completed", None)
        pings_seen = 1
        assert telemetry.attributes("ping.count", "usage.complete") == (pings_seen, True)


@pytest.mark.parametrize("attribute", ["_iter_events", "__stream__"])
def test_without_the_hooks_of_the_decoder_the_body_is_decoded(mode, attribute, monkeypatch):
    """An error event is found in the body then."""
    monkeypatch.setattr(
        hooks,
        "HOOKS",
        tuple(replace(hook, attribute="gone") if hook.attribute == attribute else hook for hook in HOOKS),
    )

    async def body(url):
        with pytest.raises(Exception, match="Overloaded"):
            await read_one(mode, url)

    with observed() as telemetry, FakeAPI(WHOLE.cut_after(8, Error())) as api:
        mode.run(body, api.url)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("failed", "overloaded")


def test_repeated_instrument_calls_record_once_and_uninstrument_restores(mode):
    """`instrument` and `uninstrument` are called twice each, and then once more."""
    instrumentor = ClaudeStreamInstrumentor()
    with Capture() as capture, FakeAPI(WHOLE) as api:
        for expected in (1, 2):
            instrumentor.instrument(**capture.providers)
            instrumentor.instrument(**capture.providers)
            assert replaced() == set(BARE)
            mode.run(read_one, mode, api.url)
            instrumentor.uninstrument()
            instrumentor.uninstrument()
            assert replaced() == set()
            mode.run(read_one, mode, api.url)
            assert len(capture.spans()) == expected


def wrap_opaquely(owner, name):
    """Install a wrapper without `__wrapped__`."""
    wrapped = getattr(owner, name)

    def wrapper(*args, **kwargs):
        return wrapped(*args, **kwargs)

    setattr(owner, name, wrapper)


def wrap_by_functools(owner, name):
    """Install a wrapper with `__wrapped__`."""
    wrapped = getattr(owner, name)
    wrap_opaquely(owner, name)
    functools.update_wrapper(getattr(owner, name), wrapped)


def wrap_by_wrapt(owner, name):
    """Install a wrapper with wrapt, as most instrumentations do."""
    wrapt.wrap_function_wrapper(owner, name, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))


@pytest.mark.parametrize("wrap", [wrap_opaquely, wrap_by_functools, wrap_by_wrapt])
def test_a_hook_below_the_wrapper_of_another_package_can_be_switched_off(mode, wrap):
    """It cannot be removed there. It records nothing while off, and once while on again."""
    with FakeAPI(WHOLE) as api, restored():
        with observed() as first:
            for hook in HOOKS:
                wrap(owner_of(hook), hook.attribute)
            mode.run(read_one, mode, api.url)
            first.assert_recorded_once()
        mode.run(read_one, mode, api.url)
        first.assert_recorded_once()
        with observed() as second:
            mode.run(read_one, mode, api.url)
            second.assert_recorded_once()
        mode.run(read_one, mode, api.url)
        second.assert_recorded_once()


@contextmanager
def restored():
    """Restore the SDK's classes after the block."""
    yield
    set_attributes(BARE)
    with observed():  # lets the instrumentation notice that its wrappers are gone
        assert replaced() == set(BARE)


def test_hooks_that_another_package_removes_are_installed_again(mode):
    """If the package later restores the removed hooks, those still record once, and only while on."""
    with FakeAPI(WHOLE) as api, restored():
        with observed() as first:
            saved = attributes()
            set_attributes(BARE)
            mode.run(read_one, mode, api.url)
            first.assert_recorded_once(streams=0)
        with observed() as second:
            mode.run(read_one, mode, api.url)
            second.assert_recorded_once()
        set_attributes(saved)
        mode.run(read_one, mode, api.url)
        with observed() as third:
            mode.run(read_one, mode, api.url)
            third.assert_recorded_once()


def set_attributes(values):
    """Set the attributes of the SDK's classes under the hooked names."""
    for hook in HOOKS:
        setattr(owner_of(hook), hook.attribute, values[hook.owner, hook.attribute])


IMPORT_ORDER = """
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
    ("when", "spans"),
    [
        ("before the import", "1"),
        ("after the import", "1"),
        ("off before the import", "0"),
        ("off and on before the import", "1"),
    ],
)
def test_the_order_of_import_and_instrumentation_does_not_matter(when, spans):
    """`instrument()` never imports the SDK, and installs the hooks whenever the SDK is imported."""
    run = subprocess.run([sys.executable, "-c", IMPORT_ORDER, when], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [spans]


def test_the_wrappers_keep_names_signatures_and_docstrings(mode):
    """An asynchronous method remains a coroutine function."""
    before = {key: (value.__name__, value.__doc__, inspect.signature(value)) for key, value in BARE.items()}
    with observed():
        assert {
            key: (value.__name__, value.__doc__, inspect.signature(value)) for key, value in attributes().items()
        } == before
        client = _base_client.AsyncAPIClient if mode.is_async else _base_client.SyncAPIClient
        assert inspect.iscoroutinefunction(client.request) == mode.is_async
