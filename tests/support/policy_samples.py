"""Policy files with their errors and warnings, and random policies."""

from __future__ import annotations

from hypothesis import strategies as st

from otel_claude_stream._config.policy.loading import load
from otel_claude_stream._core.retry.policy import PLACES, Mode
from otel_claude_stream._core.vocabulary import AbortReason


def load_policy(environment, argument=None, *, declared=None):
    """Return the policy in effect, and every problem found."""
    found = load(environment, argument, declared=declared)
    return found.policy, found.problems


DURATION = "a duration with its unit, such as 500ms, 30s or 5m, from 1ms to 24h"

# The text of a file, the setting and value in the error, and the error after "is not valid: ".
INVALID = [
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
    ("concurrency: {max: 0}", "concurrency.max='0'", "allowed is a whole number from 1 to 10000, auto or null"),
    ("concurrency: {max: autp}", "concurrency.max='autp'",
     "allowed is a whole number from 1 to 10000, auto or null; did you mean auto?"),
    ("concurrency: {max: true}", "concurrency.max='true'", "allowed is a whole number from 1 to 10000, auto or null"),
    ("retry_after: {honour: yes}", "retry_after.honour='yes'", "allowed is true or false"),
    ("resume: {strategy: pre_fill}", "resume.strategy='pre_fill'",
     "allowed is auto, prefill or user_continue; did you mean prefill?"),
    ("resume: {prompt: ''}", "resume.prompt=''", "allowed is a text of at most 2000 characters, or null"),
    ("rules: {reasons: [silent]}", "rules='{reasons: ...}'",
     "allowed is a list of at most 20 rules, such as [{reasons: [overloaded], max_attempts: 2}]"),
    ("rules: [silent]", "rules[0]='silent'",
     "a rule is a mapping with the keys reasons, retry, resume, max_attempts, require_retry_after, fallback, backoff"),
    ("rules: [{retry: false}]", "rules[0].reasons",
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
     "allowed is a mapping from at most 100 patterns, such as claude-haiku-*, to the values for these models"),
    ("models: {'a*': {limits: {deadlin: 1m}}}", "models.a*.limits.deadlin='1m'", "no such key; did you mean deadline?"),
    ("models: {'a*': {kill_switch: true}}", "models.a*.kill_switch='true'", "no such key"),
    ("models: {'a*': {max_attempts: 2}}", "models.a*.max_attempts='2'",
     "no such key; did you mean limits.max_attempts?"),
    ("models: {'a*': 3}", "models.a*='3'",
     ("allowed is a mapping with the keys mode, sdk_retries, limits, backoff, retry_after, budget, concurrency, "
     "watchdog, resume, commit, raise_on_truncation, rules, fallback")),
    ("fallback: [claude-sonnet-5]", "fallback='[claude-sonnet-5]'",
     "allowed is a mapping from at most 100 patterns, such as {claude-opus-*: [claude-sonnet-5]}"),
    ("fallback: {'claude-opus-*': claude-sonnet-5}", "fallback.claude-opus-*='claude-sonnet-5'",
     "allowed is a list of at most 5 models, such as [claude-sonnet-5]"),
    ("fallback: {'claude-opus-*': ['claude-sonnet-*']}", "fallback.claude-opus-*[0]='claude-sonnet-*'",
     "allowed is a whole name without wildcards"),
    ("mode: ${M-x}", "mode='${M-x}'",
     "not a reference: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign"),
    ("mode: observe\nmode: observe", "mode", "the key is set twice"),
    ("mode: ${M}\nmode: observe", "mode", "the key is set twice"),
    ("{[a, b]: observe}", "?", "a key must be a single word"),
    ("mode: !secret observe", "mode='!secret'", "YAML tags are not supported"),
    # Contradictions between values that are valid by themselves.
    ("mode: resume\nlimits: {max_resumes: 3}", "limits.max_resumes='3'",
     "it must be less than limits.max_attempts (3), which includes the first attempt"),
    ("rules: [{reasons: [silent], max_attempts: 4}]", "rules[0].max_attempts='4'",
     "it must not be more than limits.max_attempts (3)"),
    ("backoff: {base: 10s}", "backoff.base='10s'", "backoff.base (10s) must not be more than backoff.cap (8s)"),
    ("backoff: {cap: 100ms}", "backoff.cap='100ms'", "backoff.base (500ms) must not be more than backoff.cap (100ms)"),
    ("rules: [{reasons: [silent], backoff: {cap: 1ms}}]", "rules[0].backoff.cap='1ms'",
     "backoff.base (500ms) must not be more than backoff.cap (1ms)"),
    ("watchdog: {silence: 10m, no_progress: 10m}", "watchdog.silence='10m'",
     "silence (10m) must be shorter than no_progress (10m), which otherwise always expires first"),
    ("watchdog: {thinking: {silence: 8m, no_progress: 7m}}", "watchdog.thinking.silence='8m'",
     "thinking.silence (8m) must be shorter than thinking.no_progress (7m), which otherwise always expires first"),
    ("resume: {prompt: Go on}", "resume.prompt='Go on'",
     "it must contain {anchor}, which stands for the end of the partial answer"),
    ("mode: resume\nmodels: {'a*': {limits: {max_resumes: 3}}}", "models.a*.limits.max_resumes='3'",
     "it must be less than limits.max_attempts (3), which includes the first attempt"),
]  # fmt: skip

PINGS = "shorter than the interval of pings (15 to 30 s), so it aborts healthy streams"
TOOLS = (
    "it may abort healthy streams with tools, which made no progress for 330s while the server buffered the input of a "
    "tool (eager_input_streaming avoids that)"
)

# The text of a file, the setting and value in the warning, and the warning.
WARNED = [
    ("mode: retry\nlimits: {max_resumes: 2}", "limits.max_resumes='2'",
     "it has no effect while mode is retry; only mode: resume resumes"),
    ("mode: retry\nlimits: {max_requests: 2}", "limits.max_requests='2'",
     "max_requests (2) ends the call before max_attempts (3) is reached"),
    ("retry_after: {max: 11m}", "retry_after.max='11m'", "limits.deadline (10m) never allows so long a wait"),
    ("concurrency: {max: 8, queue: 30m}", "concurrency.queue='30m'",
     "limits.deadline (10m) never allows so long a wait"),
    ("limits: {deadline: null}\nconcurrency: {max: auto, queue: 30m}", "concurrency.queue='30m'",
     "the read timeout of the client expires first (10m by default)"),
    ("watchdog: {first_event: 11m, silence: 40s}", "watchdog.first_event='11m'",
     "when it expires, limits.deadline (10m) allows no further attempt"),
    ("watchdog: {silence: 29s}", "watchdog.silence='29s'",
     PINGS),
    ("watchdog: {no_progress: 5s}", "watchdog.no_progress='5s'",
     PINGS),
    ("watchdog: {no_progress: 329s}", "watchdog.no_progress='329s'",
     TOOLS),
    ("watchdog: {silence: 11m}", "watchdog.silence='11m'",
     "the read timeout of the client expires first (10m by default)"),
    ("watchdog: {first_content: 11m}", "watchdog.first_content='11m'",
     "when it expires, limits.deadline (10m) allows no further attempt"),
    ("watchdog: {thinking: {silence: 29s}}", "watchdog.thinking.silence='29s'",
     PINGS),
    ("watchdog: {first_event: 2m, first_content: 1m}", "watchdog.first_event='2m'",
     "it never expires before first_content (1m)"),
    ("watchdog: {no_progress: 9m, lifetime: 8m}", "watchdog.no_progress='9m'", "it never expires before lifetime (8m)"),
    ("watchdog: {no_progress: 7m, tool_use: {no_progress: 1m}}", "watchdog.tool_use.no_progress='1m'", TOOLS),
    ("watchdog: {streaming: {no_progress: 2m}}", "watchdog.streaming.no_progress='2m'", TOOLS),
    ("watchdog: {silence: 20s, streaming: {no_progress: 7m}}", "watchdog.silence='20s'", PINGS),
    ("watchdog: {no_progress: 7m, text: {silence: 8m}}", "watchdog.text.silence='8m'",
     "it never expires before no_progress (7m)"),
    ("watchdog: {thinking: {silence: 20m}}", "watchdog.thinking.silence='20m'",
     "the read timeout of the client expires first (10m by default)"),
    ("watchdog: {lifetime: 5m, thinking: {no_progress: 10m}}", "watchdog.thinking.no_progress='10m'",
     "it never expires before lifetime (5m)"),
    ("watchdog: {streaming: {no_progress: 8m, lifetime: 7m}}", "watchdog.streaming.no_progress='8m'",
     "it never expires before streaming.lifetime (7m)"),
    ("watchdog: {first_event: 2m, awaiting_first_event: {first_content: 1m}}", "watchdog.first_event='2m'",
     "it never expires before awaiting_first_event.first_content (1m)"),
    ("watchdog: {thinking: {first_content: 20m}}", "watchdog.thinking.first_content='20m'",
     "when it expires, limits.deadline (10m) allows no further attempt"),
    ("sdk_retries: replace", "sdk_retries='replace'",
     "it has no effect in mode observe, which leaves the SDK's retries alone"),
    ("raise_on_truncation: true", "raise_on_truncation='true'",
     "it has no effect in mode observe, which raises only what the SDK raises"),
    ("concurrency: {queue: 5s}", "concurrency.queue='5s'",
     "it has no effect, because concurrency.max sets no limit"),
    ("mode: retry\nlimits: {max_attempts: 1}", "limits.max_attempts='1'",
     "it allows only the first attempt, so mode retry retries nothing"),
    ("mode: retry\nbudget: {ratio: 0, min_per_window: 0}", "budget.ratio='0'",
     "with min_per_window 0 the budget never allows a retry"),
    ("mode: resume\nkill_switch: true", "kill_switch='true'", "it disables mode resume; streams are only observed"),
    ("retry_after: {honour: false}\nrules: [{reasons: [rate_limited], require_retry_after: true}]",
     "rules[0].require_retry_after='true'",
     "retry_after.honour is false, so the wait is that of the back-off and not that of the server"),
    ("rules: [{reasons: [silent, truncated]}, {reasons: [truncated]}]", "rules[1].reasons='[truncated]'",
     "the rule never applies: rules[0] named all of its reasons before"),
    ("rules: [{reasons: [silent]}, {reasons: [truncated]}, {reasons: [silent, truncated]}]",
     "rules[2].reasons='[silent, truncated]'",
     "the rule never applies: rules[0], rules[1] named all of its reasons before"),
    ("rules: [{reasons: [silent]}, {reasons: [silent, truncated]}]", "rules[1].reasons='[silent, truncated]'",
     "an earlier rule applies to some of these reasons: silent"),
    ("rules: [{reasons: [cancelled]}]", "rules[0].reasons='[cancelled]'",
     "the rule never applies: a stream that the caller ended is never retried"),
    ("rules: [{reasons: [request_rejected], retry: true}]", "rules[0].reasons='[request_rejected]'",
     "a rule cannot allow retries for these reasons: the same request is rejected again"),
    ("rules: [{reasons: [queue_timeout], retry: true}]", "rules[0].reasons='[queue_timeout]'",
     "a rule cannot allow retries for these reasons: the call has waited long enough"),
    ("rules: [{reasons: [request_rejected, queue_timeout, cancelled], resume: true}]",
     "rules[0].reasons='[request_rejected, queue_timeout, cancelled]'",
     ("a rule cannot allow retries for these reasons: the caller ended the stream; the call has waited long enough; "
     "the same request is rejected again")),
    ("models: {'claude-opus-5*': {resume: {strategy: prefill}}}", "models.claude-opus-5*.resume.strategy='prefill'",
     "claude-opus-5* refuses a prefill, which wastes a request each time; use auto"),
    ("models: {haiku: {limits: {max_attempts: 1}}}", "models.haiku='{limits: ...}'",
     ("this pattern matches no Claude model, because it must match the whole name of the model; "
     "use '*haiku*' instead")),
    ("models: {'Haiku-*': {limits: {max_attempts: 1}}}", "models.Haiku-*='{limits: ...}'",
     ("this pattern matches no Claude model, because it must match the whole name of the model; "
     "use '*haiku-*' instead")),
    ("models: {claude-haiku: {limits: {max_attempts: 1}}}", "models.claude-haiku='{limits: ...}'",
     ("this pattern matches no Claude model, because it must match the whole name of the model; "
     "use 'claude-haiku*' instead")),
    ("resume: {anchor_chars: 100}", "resume.anchor_chars='100'",
     "anchor_chars (100) is longer than the shortest text that is resumed (min_partial_chars, 64)"),
    ("resume: {min_overlap: 50}", "resume.min_overlap='50'",
     "min_overlap (50) is longer than the anchor (48), so only the whole anchor is accepted"),
    ("resume: {strategy: prefill}", "resume.strategy='prefill'",
     "Claude 4.6 and later refuse a prefill, which wastes a request each time; use auto"),
    ("models: {'a*': {watchdog: {silence: 5s}}}", "models.a*.watchdog.silence='5s'",
     PINGS),
    ("mode: retry\nmodels: {'a*': {mode: observe}}\nraise_on_truncation: true", "raise_on_truncation='true'",
     "it has no effect in mode observe, which raises only what the SDK raises"),
    ("fallback: {opus: [claude-sonnet-5]}", "fallback.opus='[claude-sonnet-5]'",
     ("this pattern matches no Claude model, because it must match the whole name of the model; "
     "use '*opus*' instead")),
    ("fallback: {'claude-opus-*': [claude-sonnet-5, claude-x]}", "fallback.claude-opus-*='[claude-sonnet-5, claude-x]'",
     "no request is sent to claude-x: this version does not know which parameters it takes"),
    ("fallback: {claude-sonnet-5: [claude-sonnet-5]}", "fallback.claude-sonnet-5='[claude-sonnet-5]'",
     "no request is sent to claude-sonnet-5: it is the model that failed"),
    ("fallback: {us.anthropic.claude-opus-4-8-v1:0: [claude-sonnet-5, claude-opus-4-8]}",
     "fallback.us.anthropic.claude-opus-4-8-v1:0='[claude-sonnet-5, claude-opus-4-8]'",
     "no request is sent to claude-opus-4-8: it is the model that failed"),
    ("rules: [{reasons: [api_error], fallback: true}]", "rules[0].fallback='true'",
     "it has no effect, because fallback names no model"),
]  # fmt: skip

# Files without a problem. A lowered limit does not contradict a default above it.
VALID = [
    "limits: {max_attempts: 1}",
    "mode: retry\nlimits: {deadline: 30s}",
    "mode: retry\nlimits: {max_attempts: 5, max_requests: 5}",
    "mode: retry\npreset: unattended\nlimits: {max_attempts: 2}",
    "watchdog: {first_event: 60s, silence: 60s, no_progress: 330s}",
    "rules: [{reasons: [silent]}, {reasons: [truncated]}]",
    "watchdog: {first_event: 60s, silence: 2m}",
    "watchdog: {first_event: 60s, first_content: 60s, lifetime: 60s}",
    "watchdog: {no_progress: 60s, tool_use: {no_progress: 330s}, thinking: {no_progress: 10m, silence: null}}",
    "watchdog: {no_progress: 60s, tool_use: {no_progress: 12m}, text: {silence: 50s}}",
    "watchdog: {silence: 6m, no_progress: 7m, text: {no_progress: 6m}}",  # silence has an effect in other blocks
    "watchdog: {first_event: 2m, first_content: 1m, awaiting_first_event: {first_content: 3m}}",
    "watchdog: {no_progress: 10m, finishing: {lifetime: 5m}}",
    "preset: batch\nwatchdog: {thinking: {no_progress: 15m}}",
    "limits: {max_resumes: 1}",
    "concurrency: {max: 8, queue: 0s}",
    "concurrency: {max: 8}\nlimits: {deadline: 5s}",
    "concurrency: {max: auto, scope: host}",
    "concurrency: {max: null}",
    "preset: batch\nmode: observe",
    "models: {'claude-haiku-4-5*': {resume: {strategy: prefill}}}",
    "rules: [{reasons: [request_rejected], max_attempts: 2}]",
    "limits: {max_resumes: 0}",
    "models: {claude-haiku-4-5: {limits: {max_attempts: 1}}}",
    "models: {claude-haiku-4-5@20251001: {limits: {max_attempts: 1}}}",
    "models: {'us.anthropic.claude-haiku-4-5-20251001-v1:0': {limits: {max_attempts: 1}}}",
    "models: {'arn:aws:bedrock:us-east-1:1:application-inference-profile/x': {limits: {max_attempts: 1}}}",
    "models: {'*haiku*': {limits: {max_attempts: 1}}, 'us.*': {mode: observe}, 'claude-[hs]*': {mode: observe}}",
    "models: {'anthropic/claude-haiku-*': {limits: {max_attempts: 1}}}",
    "limits: {deadline: null}\nretry_after: {max: 2h}",
    "fallback: {'claude-opus-*': [claude-sonnet-5]}\nrules: [{reasons: [api_error], fallback: true}]",
    "fallback: {'claude-*': [claude-sonnet-5]}",
    "fallback: {'us.anthropic.claude-opus-*': ['us.anthropic.claude-sonnet-4-6-v1:0'], 'claude-fable-*': []}",
]

# For each key: the value in a file, the text of a variable, and the value in the policy. None is the default.
VALUES = {
    "mode": ("retry", "Retry", Mode.RETRY),
    "sdk_retries": ("replace", "replace", "replace"),
    "limits.max_attempts": (5, "5", 5),
    "limits.max_resumes": (2, "2", 2),
    "limits.max_requests": (9, "9", 9),
    "limits.deadline": (None, "none", None),
    "backoff.type": ("none", "none", "none"),
    "backoff.base": ("250ms", "250ms", 0.25),
    "backoff.cap": ("1m", "1m", 60.0),
    "backoff.multiplier": (3, "1.5", None),
    "retry_after.honour": (False, "no", False),
    "retry_after.max": ("5m", "5m", 300.0),
    "retry_after.on_exceed": ("cap", "cap", "cap"),
    "budget.scope": ("process", "process", "process"),
    "budget.ratio": (0.5, "0.5", 0.5),
    "budget.min_per_window": (0, "0", 0),
    "budget.window": ("2m", "2m", 120.0),
    "concurrency.max": ("auto", "Auto", "auto"),
    "concurrency.queue": ("30s", "30s", 30.0),
    "concurrency.scope": ("process", "process", "process"),
    "watchdog.first_event": ("40s", "40s", 40.0),
    "watchdog.first_content": ("45s", "45s", 45.0),
    "watchdog.silence": ("180s", "180s", 180.0),
    "watchdog.no_progress": ("1h", "1h", 3600.0),
    "watchdog.lifetime": ("2h", "2h", 7200.0),
    **{
        f"watchdog.{place}.{clock}": ("7m", "7m", 420.0)
        for place in PLACES
        for clock in ("first_content", "silence", "no_progress", "lifetime")
    },
    "resume.strategy": ("prefill", "prefill", "prefill"),
    "resume.prompt": ("Go on after {anchor}", "Go on after {anchor}", "Go on after {anchor}"),
    "resume.anchor_chars": (32, "32", 32),
    "resume.min_partial_chars": (128, "128", 128),
    "resume.min_overlap": (4, "4", 4),
    "resume.on_seam_mismatch": ("append", "append", "append"),
    "commit.thinking_is_output": (False, "off", False),
    "raise_on_truncation": (True, "1", True),
    "kill_switch": (True, "true", True),
    "kill_switch_file": ("/run/brake", "/run/brake", "/run/brake"),
}

EXAMPLE = """\
version: 1
mode: observe                 # observe | retry | resume
sdk_retries: keep             # keep | replace: who retries before response headers
limits: {max_attempts: 3, max_resumes: 1, max_requests: 6, deadline: 10m}
backoff: {type: full_jitter, base: 500ms, cap: 8s, multiplier: 2}
retry_after: {honour: true, max: 60s, on_exceed: fail}
budget: {scope: host_model, ratio: 0.2, min_per_window: 6, window: 60s}
concurrency: {max: null, queue: 10s, scope: host_model}
watchdog: {first_event: null, first_content: null, silence: null, no_progress: null, lifetime: null}
rules:
  - {reasons: [overloaded], backoff: {base: 1s, cap: 30s}}
  - {reasons: [silent, no_progress, first_event_timeout], max_attempts: 2}
  - {reasons: [rate_limited], require_retry_after: true}
resume: {strategy: auto, prompt: null, anchor_chars: 48, min_partial_chars: 64, min_overlap: 8, on_seam_mismatch: fail}
models: {"claude-haiku-*": {limits: {deadline: 2m}}}
raise_on_truncation: false
kill_switch: false
"""


def policies():
    """Return a strategy for policies as in a file. They set each key to the value in `VALUES` or not at all."""
    choices = {name: st.sampled_from([value[0], None]) for name, value in VALUES.items() if "kill_switch" not in name}

    def tree(chosen):
        values = {}
        for name, value in chosen.items():
            if value is None:
                continue
            *sections, last = name.split(".")
            part = values
            for section in sections:
                part = part.setdefault(section, {})
            part[last] = value
        return values

    rules = st.lists(
        st.fixed_dictionaries(
            {"reasons": st.lists(st.sampled_from([reason.value for reason in AbortReason]), min_size=1, unique=True)},
            optional={
                "retry": st.booleans(),
                "resume": st.booleans(),
                "require_retry_after": st.booleans(),
                "fallback": st.booleans(),
                "max_attempts": st.integers(1, 3),
                "backoff": st.fixed_dictionaries({}, optional={"base": st.just("100ms"), "multiplier": st.just(4.0)}),
            },
        ),
        max_size=3,
    )
    fallback = st.dictionaries(
        st.sampled_from(["claude-opus-*", "claude-*"]),
        st.lists(st.sampled_from(["claude-sonnet-5", "claude-haiku-4-5"]), max_size=2),
        max_size=2,
    )
    part = st.builds(
        lambda chosen, **lists: tree(chosen) | {name: found for name, found in lists.items() if found},
        st.fixed_dictionaries(choices), rules=rules, fallback=fallback,
    )  # fmt: skip
    models = st.dictionaries(st.sampled_from(["claude-*", "claude-haiku-*", "*"]), part, max_size=2)
    return st.builds(
        lambda whole, models, switches: {**whole, "models": models, **switches},
        part,
        models,
        st.fixed_dictionaries({"kill_switch": st.booleans()}, optional={"kill_switch_file": st.just("/run/brake")}),
    )
