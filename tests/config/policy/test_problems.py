"""What is said of a wrong policy: all that is wrong with it, each with path, value, what is expected, nearest name."""

from __future__ import annotations

import pytest

from otel_claude_stream._config.policy.loading import load_policy
from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.retry.policy import RetryPolicy

FILE = "OTEL_CLAUDE_STREAM_CONFIG"
DURATION = "a duration with its unit, such as 500ms, 30s or 5m, from 1ms to 24h"

# What a file says, and what is said of it after "is not valid: ".
WRONG = [
    ("mood: retry", "mood='retry'", "no such key; did you mean mode?"),
    ("max_attempts: 2", "max_attempts='2'", "no such key; did you mean limits.max_attempts?"),
    ("limits: {max_atempts: 2}", "limits.max_atempts='2'", "no such key; did you mean max_attempts?"),
    ("xyzzy: 1", "xyzzy='1'", "no such key"),
    ("mode: retri", "mode='retri'", "allowed is observe, retry or resume; did you mean retry?"),
    ("mode:", "mode='null'", "allowed is observe, retry or resume"),
    ("mode: [retry]", "mode='[retry]'", "allowed is observe, retry or resume"),
    ("preset: bacth", "preset='bacth'", "allowed is observe, interactive, batch or unattended; did you mean batch?"),
    ("version: 2", "version='2'", "allowed is 1"),
    ("version: '1'", "version='1'", "allowed is 1"),
    ("limits: {max_attempts: 0}", "limits.max_attempts='0'", "allowed is a whole number from 1 to 5"),
    ("limits: {max_attempts: 6}", "limits.max_attempts='6'", "allowed is a whole number from 1 to 5"),
    ("limits: {max_attempts: 2.5}", "limits.max_attempts='2.5'", "allowed is a whole number from 1 to 5"),
    ("limits: {max_attempts: true}", "limits.max_attempts='true'", "allowed is a whole number from 1 to 5"),
    ("limits: {max_resumes: 4}", "limits.max_resumes='4'", "allowed is a whole number from 0 to 3"),
    ("limits: {deadline: 30}", "limits.deadline='30'",
     f"a number without its unit; allowed is {DURATION}, or null; did you mean 30s?"),
    ("limits: {deadline: soon}", "limits.deadline='soon'", f"allowed is {DURATION}, or null"),
    ("limits: {deadline: 0s}", "limits.deadline='0s'", f"allowed is {DURATION}, or null"),
    ("limits: {deadline: 25h}", "limits.deadline='25h'", f"allowed is {DURATION}, or null"),
    ("budget: {window: null}", "budget.window='null'", f"allowed is {DURATION}"),
    ("backoff: {base: true}", "backoff.base='true'",
     "allowed is a duration with its unit, such as 500ms, 30s or 5m, up to 24h"),
    ("limits: 3", "limits='3'", "allowed is a mapping with the keys max_attempts, max_resumes, max_requests, deadline"),
    ("backoff:", "backoff='null'", "allowed is a mapping with the keys type, base, cap, multiplier"),
    ("budget: {ratio: 1.5}", "budget.ratio='1.5'", "allowed is a number from 0 to 1"),
    ("budget: {ratio: .inf}", "budget.ratio='.inf'", "allowed is a number from 0 to 1"),
    ("retry_after: {honour: yes}", "retry_after.honour='yes'", "allowed is true or false"),
    ("resume: {strategy: pre_fill}", "resume.strategy='pre_fill'",
     "allowed is auto, prefill or user_continue; did you mean prefill?"),
    ("resume: {prompt: ''}", "resume.prompt=''", "allowed is a text of at most 2000 characters, or null"),
    ("rules: {reasons: [silent]}", "rules='{reasons: ...}'",
     "allowed is a list of rules, such as [{reasons: [overloaded], max_attempts: 2}]"),
    ("rules: [silent]", "rules[0]='silent'",
     "a rule is a mapping with the keys reasons, retry, resume, max_attempts, require_retry_after, backoff"),
    ("rules: [{retry: false}]", "rules[0].reasons=''",
     "it is missing; allowed is a list of reasons, such as [overloaded, silent], not an empty one"),
    ("rules: [{reasons: []}]", "rules[0].reasons='[]'",
     "allowed is a list of reasons, such as [overloaded, silent], not an empty one"),
    ("rules: [{reasons: overloaded}]", "rules[0].reasons='overloaded'",
     "allowed is a list of reasons, such as [overloaded, silent], not an empty one"),
    ("rules: [{reasons: [silent], of: 1}]", "rules[0].of='1'", "no such key"),
    ("rules: [{reasons: [silent], backoff: {bse: 1s}}]",
     "rules[0].backoff.bse='1s'", "no such key; did you mean base?"),
    ("rules: [{reasons: [silent], backoff: {base: 1}}]", "rules[0].backoff.base='1'",
     ("a number without its unit; allowed is a duration with its unit, such as 500ms, 30s or 5m, up to 24h; "
     "did you mean 1s?")),
    ("rules: [{reasons: [silent], max_attempts: 9}]",
     "rules[0].max_attempts='9'", "allowed is a whole number from 1 to 5"),
    ("models: [a]", "models='[a]'",
     "allowed is a mapping from patterns, such as claude-haiku-*, to what differs for these models"),
    ("models: {'a*': {limits: {deadlin: 1m}}}", "models.a*.limits.deadlin='1m'", "no such key; did you mean deadline?"),
    ("models: {'a*': {kill_switch: true}}", "models.a*.kill_switch='true'", "no such key"),
    ("models: {'a*': {max_attempts: 2}}", "models.a*.max_attempts='2'",
     "no such key; did you mean limits.max_attempts?"),
    ("models: {'a*': 3}", "models.a*='3'",
     ("allowed is a mapping with the keys mode, sdk_retries, limits, backoff, retry_after, budget, watchdog, resume, "
     "commit, raise_on_truncation, rules")),
    ("mode: ${M-x}", "mode='${M-x}'",
     "not a reference: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign"),
    ("mode: observe\nmode: observe", "mode=''", "the key is there twice"),
    ("mode: !secret observe", "mode='!secret'", "tags are not understood here"),
    # Between values that are right by themselves.
    ("mode: resume\nlimits: {max_resumes: 3}", "limits.max_resumes='3'",
     "it must be less than limits.max_attempts (3), which counts the first attempt too"),
    ("rules: [{reasons: [silent], max_attempts: 4}]", "rules[0].max_attempts='4'",
     "it must not be more than limits.max_attempts (3)"),
    ("backoff: {base: 10s}", "backoff.base='10s'", "backoff.base (10s) must not be more than backoff.cap (8s)"),
    ("backoff: {cap: 100ms}", "backoff.cap='100ms'", "backoff.base (500ms) must not be more than backoff.cap (100ms)"),
    ("rules: [{reasons: [silent], backoff: {cap: 1ms}}]", "rules[0].backoff.cap='1ms'",
     "backoff.base (500ms) must not be more than backoff.cap (1ms)"),
    ("watchdog: {silence: 10m, no_progress: 10m}", "watchdog.silence='10m'",
     "silence (10m) must be shorter than no_progress (10m): without a byte there is no progress either"),
    ("resume: {prompt: Go on}", "resume.prompt='Go on'",
     "it must hold {anchor}, which stands for the end of the partial answer"),
    ("mode: resume\nmodels: {'a*': {limits: {max_resumes: 3}}}", "models.a*.limits.max_resumes='3'",
     "it must be less than limits.max_attempts (3), which counts the first attempt too"),
]  # fmt: skip

# What a file says, and what is doubted about it.
DOUBTFUL = [
    ("mode: retry\nlimits: {max_resumes: 2}", "limits.max_resumes='2'",
     "nothing is continued while mode is retry; mode: resume does"),
    ("mode: retry\nlimits: {max_requests: 2}", "limits.max_requests='2'",
     "max_requests (2) ends the call before max_attempts (3) does"),
    ("retry_after: {max: 11m}", "retry_after.max='11m'", "limits.deadline (10m) never allows so long a wait"),
    ("watchdog: {first_event: 11m, silence: 40s}", "watchdog.first_event='11m'",
     "when it has run out, limits.deadline (10m) allows no further attempt"),
    ("watchdog: {silence: 29s}", "watchdog.silence='29s'",
     "shorter than the interval of pings (15 to 30 s): it gives up streams that are well"),
    ("watchdog: {no_progress: 5s}", "watchdog.no_progress='5s'",
     "shorter than the interval of pings (15 to 30 s): it gives up streams that are well"),
    ("watchdog: {no_progress: 329s}", "watchdog.no_progress='329s'",
     ("with tools, answers that are well were without progress for 330s: the server buffers the input of a tool "
     "(eager_input_streaming switches that off)")),
    ("watchdog: {silence: 11m}", "watchdog.silence='11m'",
     "the client's own read time-out comes first: 10m, unless the client says otherwise"),
    ("watchdog: {first_event: 60s}", "watchdog.first_event='60s'",
     ("the transport has one read time-out for a body: first_event is noticed when something arrives, or by silence, "
     "which is not set")),
    ("watchdog: {first_event: 60s, silence: 2m}", "watchdog.first_event='60s'",
     ("the transport has one read time-out for a body: first_event is noticed when something arrives, or by silence, "
     "which is longer (2m)")),
    ("sdk_retries: replace", "sdk_retries='replace'", "in mode observe the SDK's retries are left alone"),
    ("raise_on_truncation: true", "raise_on_truncation='true'",
     "in mode observe nothing is raised that the SDK does not raise"),
    ("mode: retry\nlimits: {max_attempts: 1}", "limits.max_attempts='1'",
     "one attempt is the first: mode retry retries nothing"),
    ("mode: retry\nbudget: {ratio: 0, min_per_window: 0}", "budget.ratio='0'",
     "with min_per_window 0 the budget never allows a retry"),
    ("mode: resume\nkill_switch: true", "kill_switch='true'", "it holds back everything that mode resume would do"),
    ("retry_after: {honour: false}\nrules: [{reasons: [rate_limited], require_retry_after: true}]",
     "rules[0].require_retry_after='true'", "retry_after.honour is false: the wait is not the server's"),
    ("rules: [{reasons: [silent, truncated]}, {reasons: [truncated]}]", "rules[1].reasons='[truncated]'",
     "it can never match: rules[0] named all of its reasons before"),
    ("rules: [{reasons: [silent]}, {reasons: [truncated]}, {reasons: [silent, truncated]}]",
     "rules[2].reasons='[silent, truncated]'",
     "it can never match: rules[0], rules[1] named all of its reasons before"),
    ("rules: [{reasons: [silent]}, {reasons: [silent, truncated]}]", "rules[1].reasons='[silent, truncated]'",
     "named by an earlier rule, which wins: silent"),
    ("rules: [{reasons: [cancelled]}]", "rules[0].reasons='[cancelled]'",
     "it can never match: what the caller ends is never retried"),
    ("rules: [{reasons: [request_rejected], retry: true}]", "rules[0].reasons='[request_rejected]'",
     "no rule makes these retryable: the same request is rejected again"),
    ("models: {'claude-opus-5*': {resume: {strategy: prefill}}}", "models.claude-opus-5*.resume.strategy='prefill'",
     "claude-opus-5* refuses a prefill, which costs a request each time; auto knows that"),
    ("resume: {anchor_chars: 100}", "resume.anchor_chars='100'",
     "anchor_chars (100) is longer than the shortest text that is continued (min_partial_chars, 64)"),
    ("resume: {min_overlap: 50}", "resume.min_overlap='50'",
     "min_overlap (50) is longer than the anchor (48): no part of it is enough"),
    ("resume: {strategy: prefill}", "resume.strategy='prefill'",
     "Claude 4.6 and later refuse a prefill, which costs a request each time; auto uses it where it is accepted"),
    ("models: {'a*': {watchdog: {silence: 5s}}}", "models.a*.watchdog.silence='5s'",
     "shorter than the interval of pings (15 to 30 s): it gives up streams that are well"),
    ("mode: retry\nmodels: {'a*': {mode: observe}}\nraise_on_truncation: true", "raise_on_truncation='true'",
     "in mode observe nothing is raised that the SDK does not raise"),
]  # fmt: skip

# What is not doubted: a limit that was lowered does not contradict a default above it.
RIGHT = [
    "limits: {max_attempts: 1}",
    "mode: retry\nlimits: {deadline: 30s}",
    "mode: retry\nlimits: {max_attempts: 5, max_requests: 5}",
    "mode: retry\npreset: unattended\nlimits: {max_attempts: 2}",
    "watchdog: {first_event: 60s, silence: 60s, no_progress: 330s}",
    "rules: [{reasons: [silent]}, {reasons: [truncated]}]",
    "limits: {max_resumes: 1}",
    "preset: batch\nmode: observe",
    "models: {'claude-haiku-4-5*': {resume: {strategy: prefill}}}",
    "rules: [{reasons: [request_rejected], max_attempts: 2}]",
    "limits: {max_resumes: 0}",
    "limits: {deadline: null}\nretry_after: {max: 2h}",
]


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcd", "bcde", strict=True)
)
"""Five lines that stand for 10^5 values."""


def loaded(text, tmp_path, **environment):
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    policy, problems = load_policy({FILE: str(path), **environment})
    return policy, [problem for problem in problems if "version is missing" not in problem.allowed], path


@pytest.mark.parametrize(("text", "said", "verdict"), WRONG)
def test_what_is_wrong_is_named_with_all_there_is_to_say(text, said, verdict, tmp_path):
    policy, problems, path = loaded(text, tmp_path)
    (problem,) = problems
    line = len(text.splitlines())
    assert str(problem) == f"{path}:{line}: {said} is not valid: {verdict}"
    assert (policy, problem.severity) == (RetryPolicy(), Severity.ERROR)


@pytest.mark.parametrize(("text", "said", "doubt"), DOUBTFUL)
def test_what_is_doubtful_is_named_and_done(text, said, doubt, tmp_path):
    policy, problems, path = loaded(text, tmp_path)
    assert [str(problem).removeprefix(str(path)).partition(" ")[2] for problem in problems] == [f"{said}: {doubt}"]
    assert [problem.severity for problem in problems] == [Severity.WARNING]
    assert str(problems[0]).startswith(f"{path}:")
    assert policy != RetryPolicy()


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_not_talked_about(text, tmp_path):
    policy, problems, _ = loaded(text, tmp_path)
    assert problems == []
    assert isinstance(policy, RetryPolicy)


def test_all_that_is_wrong_is_named_in_the_order_of_the_file(tmp_path):
    text = (
        "version: 1\nmodel: x\nlimits:\n  max_attempts: 9\n  deadline: 5\n  max: 3\n"
        "rules:\n  - reasons: [overload]\n  - 7\n"
    )
    _, problems, path = loaded(text, tmp_path, OTEL_CLAUDE_STREAM_LIMITS__MAX_REQUESTS="0")
    assert [f"{problem.source.removeprefix(str(path))} {problem.setting}" for problem in problems] == [
        ":2 model", ":4 limits.max_attempts", ":5 limits.deadline", ":6 limits.max",
        ":8 rules[0].reasons[0]", ":9 rules[1]",
        "environment OTEL_CLAUDE_STREAM_LIMITS__MAX_REQUESTS",
    ]  # fmt: skip


def test_what_contradicts_is_told_of_whoever_said_it(tmp_path):
    _, (problem,), _ = loaded("limits: {max_attempts: 4}", tmp_path, OTEL_CLAUDE_STREAM_BACKOFF__BASE="9s")
    assert str(problem) == (
        "environment: OTEL_CLAUDE_STREAM_BACKOFF__BASE='9s' is not valid: backoff.base (9s) must not be more than "
        "backoff.cap (8s)"
    )


@pytest.mark.parametrize(
    "text", ["mode: retry\nrules: [{reasons: [silent], max_attempts: 3}]", "mode: resume\nlimits: {max_resumes: 2}"]
)
@pytest.mark.parametrize("where", ["environment", "models"])
def test_a_limit_that_is_lowered_elsewhere_is_a_doubt(text, where, tmp_path):
    """In an incident the environment lowers what a file says, and that is no reason to give up the policy."""
    variables = {"OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2"} if where == "environment" else {}
    more = "" if variables else "\nmodels: {'a*': {limits: {max_attempts: 2}}}"
    policy, (problem,), _ = loaded(text + more, tmp_path, **variables)
    assert problem.severity is Severity.WARNING
    assert policy.for_model("abc").limits.max_attempts == 2


def test_a_version_that_is_missing_is_a_doubt(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("mode: retry\n")
    policy, (problem,) = load_policy({FILE: str(path)})
    assert policy.mode.value == "retry"
    assert (problem.severity, str(problem)) == (
        Severity.WARNING,
        (
            f"{path}: version is missing: say version: 1, "
            "so that a later version of this package reads the file as it was meant"
        ),
    )


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("mode: [", "p.yaml", ":1: not YAML: "),
        ("mode: observe\n\tx: 1", "p.yaml", ":2: not YAML: "),
        ("a: 1\n---\nb: 2", "p.yaml", ":2: not YAML: but found another document"),
        ("\x00", "p.yaml", ": not YAML: unacceptable character #x0000"),
        ('{"mode": observe}', "p.json", ":1: not JSON: Expecting value, column 10"),
        ("[1]", "p.json", ": the file must be a mapping, such as mode: retry"),
        ("observe", "p.yaml", ": the file must be a mapping, such as mode: retry"),
        (ALIASES, "p.yaml", ": too long, or aliases of aliases"),
        (b"\xff\xfe", "p.yaml", ": the file cannot be read: it is not UTF-8 (byte 0)"),
        (b"x" * 1_000_001, "p.yaml", ": the file cannot be read: it is larger than 1000000 bytes"),
        (None, "p.yaml", ": the file cannot be read: No such file or directory"),
        (None, ".", ": the file cannot be read: it is no regular file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content, name, said, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    policy, (problem,) = load_policy({FILE: str(path)})
    assert policy == RetryPolicy()
    assert str(problem).startswith(f"{path}{said}")


def test_a_key_that_is_there_twice_is_named_in_json_too(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"version": 1, "mode": "retry", "mode": "observe"}')
    _, (problem,) = load_policy({FILE: str(path)})
    assert str(problem) == f"{path}: mode='' is not valid: the key is there twice"


def test_references_are_replaced_before_a_value_is_taken_for_something(tmp_path):
    """Without quotes a value is then what it looks like, with quotes a text; keys are left alone."""
    text = 'version: 1\nmode: ${M}\nlimits:\n  max_attempts: ${N:-2}\nresume: {prompt: "${P}{anchor} $${x}"}\n'
    policy, problems, _ = loaded(text, tmp_path, M="retry", P="12")
    assert problems == []
    assert (policy.mode.value, policy.limits.max_attempts, policy.resume.prompt) == ("retry", 2, "12{anchor} ${x}")
    _, (problem,), _ = loaded('version: 1\n"${M}": 1', tmp_path, M="mode")
    assert problem.setting == "${M}"
    _, (problem,), _ = loaded("version: 1\nlimits: {max_attempts: '${N:-2}'}", tmp_path)
    assert problem.setting == "limits.max_attempts"


def test_references_in_json(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"version": 1, "mode": "${M}", "limits": {"max_attempts": "${N:-2}", "deadline": "${D}"}}')
    policy, problems = load_policy({FILE: str(path), "M": "retry"})
    assert problems == ()
    assert (policy.mode.value, policy.limits.max_attempts, policy.limits.deadline) == ("retry", 2, None)


RENAMED = "it was renamed to {!r} and has no effect under its old name"


@pytest.mark.parametrize(
    ("text", "said", "new"),
    [
        ("sdk_retries: own", "sdk_retries='own'", "replace"),
        ("rules: [{on: [silent], retry: false}]", "rules[0].on='[silent]'", "reasons"),
        ("rules: [{on: [silent], reasons: [silent]}]", "rules[0].on='[silent]'", "reasons"),
        ("models: {a: {sdk_retries: own}}", "models.a.sdk_retries='own'", "replace"),
        ("models: {a: {rules: [{on: [silent]}]}}", "models.a.rules[0].on='[silent]'", "reasons"),
    ],
)
def test_a_renamed_key_or_value_is_one_error_that_names_the_new_name(text, said, new, tmp_path):
    policy, (problem,), path = loaded(text, tmp_path)
    assert policy == RetryPolicy()
    assert str(problem) == f"{path}:1: {said} is not valid: {RENAMED.format(new)}"


def test_a_renamed_value_is_named_in_the_environment_too():
    _, (problem,) = load_policy({"OTEL_CLAUDE_STREAM_SDK_RETRIES": "Own"})
    assert str(problem) == (
        f"environment: OTEL_CLAUDE_STREAM_SDK_RETRIES='own' is not valid: {RENAMED.format('replace')}"
    )


def test_a_renamed_key_is_found_as_yaml_1_1_reads_it():
    """OpenTelemetry's loader of configuration files makes a truth value of the key `on`."""
    _, (problem,) = load_policy({}, declared={"rules": [{True: ["silent"]}]})
    assert str(problem) == f"OTEL_CONFIG_FILE: rules[0].on='true' is not valid: {RENAMED.format('reasons')}"


@pytest.mark.parametrize("text", ["on: [silent]", "backoff: {on: 1s}", "models: {on: {on: 1}}"])
def test_a_key_of_a_rule_is_renamed_nowhere_else(text, tmp_path):
    _, (problem,), _ = loaded(text, tmp_path)
    assert problem.allowed == "no such key"


class Unprintable:
    """An object of somebody's whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bach", ("retry_policy='bach' is not valid: allowed is a preset (observe, interactive, batch, unattended) or "
         "the path of a file; did you mean batch?")),
        (3, ("retry_policy='3' is not valid: allowed is a RetryPolicy, a mapping, the name of a preset or the path of "
         "a file")),
        (b"x.yaml", "retry_policy=\"b'x.yaml'\" is not valid: allowed is a RetryPolicy, a mapping, "),
        (object, "retry_policy=\"<class 'object'>\" is not valid: allowed is a RetryPolicy, a mapping, "),
        ({"mode": Unprintable()}, "mode='<Unprintable>' is not valid: allowed is observe, retry or resume"),
        (RetryPolicy(limits=None), "the policy holds what is none of one: "),
        ({"mode": "nope"}, "mode='nope' is not valid: allowed is observe, retry or resume"),
    ],
)  # fmt: skip
def test_what_code_gives_wrongly(given, said):
    policy, (problem,) = load_policy({}, given)
    assert policy == RetryPolicy()
    assert str(problem).startswith(f"instrument(): {said}")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("OTEL_CLAUDE_STREAM_LIMITS__MAX_ATEMPTS", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS"),
        ("OTEL_CLAUDE_STREAM_WATCHDOG__SILENT", "OTEL_CLAUDE_STREAM_WATCHDOG__SILENCE"),
        ("OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS__X", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS"),
        ("OTEL_CLAUDE_STREAM_XYZZY__PLUGH", ""),
    ],
)
def test_an_unknown_variable_with_levels_is_a_mistake_about_the_policy(variable, nearest):
    policy, (problem,) = load_policy({variable: "3", "OTEL_CLAUDE_STREAM_MODE": "retry"})
    assert policy == RetryPolicy()
    hint = f"; did you mean {nearest}?" if nearest else ""
    assert str(problem) == f"environment: {variable}='3' is not valid: no such setting{hint}"


def test_a_value_in_a_message_is_short():
    _, (problem,) = load_policy({}, {"mode": "x" * 5000})
    assert len(problem.value) == 60
