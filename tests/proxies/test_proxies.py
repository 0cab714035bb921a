"""Real proxies between the real SDK and the fake API: the span says what happened, whichever way was called.

All cases run at once when the first test asks, as they mostly wait; each test then looks at one of them. A few that
came out wrong are played once more, one by one: limits of 2 s are tight for a machine that has other work as well.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from tests.support.proxies import calls, servers
from tests.support.proxies.cases import CASES, LIMITS, SCRIPTS, Case, seen_in, table

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig
from otel_claude_stream.testing import Capture, FakeAPI

pytestmark = [pytest.mark.proxy, pytest.mark.slow]

AT_ONCE = 10  # cases, with four streams each
ONCE_MORE = 8  # cases that may be played again; with more of them it is not the machine
OPEN_SECONDS = 10.0
SETTLE = 0.5  # after the last request came: every stream is in its body then
MAKERS = {"nginx": servers.nginx, "haproxy": servers.haproxy}


@dataclass(frozen=True)
class Result:
    """What one call gave: the caller's view in a code of the reference, and the span's attributes."""

    seen: str
    attributes: dict[str, object]

    def of(self, name):
        value = self.attributes.get(f"claude.stream.{name}")
        return tuple(value) if isinstance(value, (list, tuple)) else value

    @property
    def clocks(self):
        """The times that are compared with limits, for the message of a test that fails."""
        return {name: self.of(name) for name in ("time_to_headers", "abort.idle", "abort.elapsed", "event.count")}

    def told(self, case):
        """What the span says and what it should say."""
        plain = ("outcome", "phase", "fault_after_stop", "missing_message_stop")
        wanted = {name if name in plain else f"abort.{name}": value for name, value in asdict(case.expected).items()}
        return {name: self.of(name) for name in wanted}, {name: value or None for name, value in wanted.items()}

    def code(self, case):
        """What the caller saw, as the reference writes it down: with a tick if the message was complete."""
        if case.expected.outcome != "completed":
            return self.seen
        return "OK" if self.seen == "END" else f"✓{self.seen}"

    def is_right(self, case):
        found, wanted = self.told(case)
        return found == wanted and self.code(case) == seen_in(case)


class Lab:
    """The running servers; ``run`` plays a case in all four modes at once."""

    def __init__(self, stack, programs, folder):
        self.programs = programs
        self.folder = folder
        self.numbers = itertools.count(1)
        self.api = stack.enter_context(FakeAPI(SCRIPTS))
        self.closed = stack.enter_context(servers.closed_port())
        self.urls = {
            "relay": stack.enter_context(servers.total_limit(self.api.port)).url,
            "nobody": f"http://{servers.HOST}:{self.closed}",
        }
        for name in MAKERS:
            self.urls[name] = stack.enter_context(self.proxy(name, name)).url

    def proxy(self, name, prefix):
        where = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self.folder))
        return MAKERS[name](self.programs[name], where, self.api.port, self.closed)

    def run(self, case: Case) -> dict[str, str]:
        try:
            with ThreadPoolExecutor(len(calls.MODES)) as pool:
                return self.disturbed(case, pool) if case.action else self.passed(case, pool)
        except (AssertionError, OSError) as error:  # one case that cannot be played is one failure, not all of them
            return dict.fromkeys(calls.MODES, f"not played: {error}")

    def passed(self, case, pool):
        """Through a proxy that runs for all."""
        location = f"/{case.location}" if case.location else ""
        return seen(start(pool, case, f"{self.urls[case.proxy]}{location}/s/{case.script}"))

    def disturbed(self, case, pool):
        """Through a proxy of its own, which gets a signal once all streams are open."""
        route = f"{case.id}-{next(self.numbers)}"
        self.api.play(route, SCRIPTS[case.script])
        with self.proxy(case.proxy, route) as proxy:
            found = start(pool, case, f"{proxy.url}/{case.location}/s/{route}")
            self.api.wait_until(lambda requests: opened(requests, route) == len(calls.MODES), OPEN_SECONDS)
            threading.Event().wait(SETTLE)
            _, number, workers_too = case.action
            proxy.send(number, all_of_it=workers_too)
            return seen(found)


def opened(requests, route):
    return sum(request.route == route for request in requests)


def start(pool, case, url) -> dict[str, Future[str]]:
    return {mode: pool.submit(calls.play, mode, url, model(case, mode)) for mode in calls.MODES}


def seen(found: dict[str, Future[str]]) -> dict[str, str]:
    return {mode: future.result() for mode, future in found.items()}


def warm_up(api):
    """The first call of each kind builds models and imports: seconds at times, which no limit is to blame for."""
    url = api.play("warm-up", SCRIPTS["healthy"])
    for mode in calls.MODES:
        assert calls.play(mode, url, "warm-up") == "END"


def model(case, mode) -> str:
    return f"{case.id}/{mode}"


@pytest.fixture(scope="module")
def results(request, require_tool, tmp_path_factory) -> dict[tuple[str, str], Result]:
    """What each case that is asked for gave, by its id and mode."""
    programs = {name: require_tool(name, name) for name in MAKERS}
    asked = {
        item.callspec.params["case"].id
        for item in request.session.items
        if item.module is request.module and hasattr(item, "callspec")
    }
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        environment.setenv("OTEL_CLAUDE_STREAM_STRICT", "1")
        capture = stack.enter_context(Capture())
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(**capture.providers, config=StreamConfig(limits=LIMITS))
        stack.callback(instrumentor.uninstrument)
        lab = Lab(stack, programs, tmp_path_factory.mktemp("proxies"))
        warm_up(lab.api)
        ordered = [case for case in CASES if case.id in asked]
        found = play(lab, capture, ordered, AT_ONCE)
        wrong = [case for case in ordered if not all(found[case.id, mode].is_right(case) for mode in calls.MODES)]
        if 0 < len(wrong) <= ONCE_MORE:
            found |= play(lab, capture, wrong, 1)
        return found


def play(lab, capture, cases, at_once) -> dict[tuple[str, str], Result]:
    with ThreadPoolExecutor(at_once) as pool:
        codes = dict(zip(cases, pool.map(lab.run, cases), strict=True))
    spans = {span["name"].partition(" ")[2]: span["attributes"] for span in capture.spans()}
    capture.clear()
    return {
        (case.id, mode): Result(code, spans.get(model(case, mode), {}))
        for case, by_mode in codes.items()
        for mode, code in by_mode.items()
    }


@pytest.mark.parametrize("mode", calls.MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_span_says_what_happened(case, mode, results):
    """Outcome, reason, origin, phase, limit, suspects and doubts are those of the table."""
    result = results[case.id, mode]
    found, wanted = result.told(case)
    assert found == wanted, (result.seen, result.clocks)


@pytest.mark.parametrize("mode", calls.MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_caller_sees_what_the_reference_measured(case, mode, results):
    """The exception (or none) is that of the reference table, so that its 13 000 exchanges stand behind the rules."""
    assert results[case.id, mode].code(case) == seen_in(case)


def test_every_case_has_a_name_of_its_own():
    assert len({case.id for case in CASES}) == len(CASES)


def test_the_readme_shows_the_table():
    """Generated: python -m tests.support.proxies.cases prints it."""
    assert table() in Path(__file__).with_name("README.md").read_text(encoding="utf-8")
