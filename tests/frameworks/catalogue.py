"""The frameworks and neighbours under test: packages, environments, ways to stream, and what is special about each.

A framework is one entry here and one adapter in `adapters/`; the tests are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NEWEST = "newest"
OLDER = "older"

ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    # Everything that works with the newest SDK.
    NEWEST: (
        "agno==3.1.10",
        "anthropic==2.14.0",
        "arize-phoenix-otel==0.17.2",
        "celery==5.7.0",
        "ddtrace==4.16.0",
        "django==5.2.19",
        "dspy==3.4.1",
        "fastapi==0.165.0",
        "gevent==26.9.0",
        "gunicorn==27.0.1",
        "langchain-anthropic==1.7.10",
        "langchain==1.5.2",
        "langfuse==5.0.4",
        "langgraph==1.2.24",
        "logfire==5.4.0",
        "openinference-instrumentation-anthropic==3.1.0",
        "opentelemetry-instrumentation-anthropic==0.62.4",
        "opentelemetry-instrumentation-genai-anthropic==1.3b0",
        "pydantic-ai-slim[anthropic]==2.68.0",
        "sentry-sdk==2.75.0",
        "smolagents[litellm]==1.26.0",
        "uvicorn",
    ),
    # Strands pins an older SDK; LlamaIndex allows the newest, and fails with it.
    OLDER: (
        "anthropic==0.125.0",
        "llama-index-llms-anthropic==0.12.3",
        "strands-agents[anthropic]==1.62.0",
    ),
    # agento11y, CrewAI and Instructor pin the SDK, each to its own version.
    "agento11y": ("agento11y-anthropic==0.21.0",),
    "crewai": ("crewai[anthropic]==1.15.30",),
    "instructor": ("instructor[anthropic]==1.17.0",),
}
"""Packages that are installed together. Direct requirements are pinned; `--newest` ignores the pins."""


@dataclass(frozen=True)
class Framework:
    """One row of the table: an adapter, its environment and its ways to stream."""

    name: str
    title: str
    package: str
    """The distribution whose version is shown."""
    ways: Mapping[str, str]
    """The names of the adapter's `WAYS`, with the function or method that streams."""
    adapter: str
    environment: str = NEWEST
    content: str = "{text}"
    """The content of the answers, as `faults.scripts` takes it."""
    tool_before: Mapping[str, str] = field(default_factory=dict)
    """A tool that the model calls first, by way, so that the application sends a second request."""
    left_as: Mapping[str, str | None] = field(default_factory=dict)
    """The abort reason of a stream whose caller leaves, by way. It is `caller_closed` by default.

    `None` means that a caller cannot leave.
    """
    in_worker: bool = False
    """Streams in a server or worker process, which collects its telemetry itself."""
    seen: bool = True
    """Whether streams have spans. They have none without the SDK, and where a neighbour suppresses our spans."""
    through_sdk: bool = True
    """Whether the framework streams through the Anthropic SDK."""
    neighbours: tuple[str, ...] = ()
    ours_first: bool = False
    """Whether our instrumentation is set up before the neighbours."""
    remark: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def table(self) -> str:
        """The table of the page that has this row."""
        if self.neighbours:
            return "neighbours"
        return "servers" if self.in_worker else "frameworks"


def both(sync: str, asynchronous: str) -> Mapping[str, str]:
    """The two ways of a framework that streams to synchronous and to asynchronous callers."""
    return {"sync": sync, "async": asynchronous}


SDK_WAYS: Mapping[str, str] = {
    "sync": "`messages.stream`",
    "async": "`messages.stream` of the async client",
    "create": "`messages.create(stream=True)`",
    "create_async": "`messages.create(stream=True)` of the async client",
}
NEIGHBOUR_WAYS = {way: SDK_WAYS[way] for way in ("sync", "create_async")}
WSGI_WAYS: Mapping[str, str] = {"sync": "a generator"}


def _neighbour(
    name: str,
    title: str,
    package: str,
    *,
    adapter: str = "sdk",
    ways: Mapping[str, str] = NEIGHBOUR_WAYS,
    remark: str = "",
    left_as: Mapping[str, str | None] | None = None,
    **changes: Any,
) -> tuple[Framework, Framework]:
    """Return two rows, because our instrumentation can be set up before the neighbour or after it."""
    return tuple(
        Framework(
            f"{name}-{order}", title, package, ways, adapter, neighbours=(name.replace("-", "_"),),
            ours_first=order == "last", remark=remark, left_as=left_as or {}, **changes,
        )
        for order in ("first", "last")
    )  # fmt: skip


FRAMEWORKS: tuple[Framework, ...] = (
    Framework("sdk", "The SDK itself", "anthropic", SDK_WAYS, "sdk"),
    Framework(
        "tool-runner",
        "The SDK's tool runner",
        "anthropic",
        both("`tool_runner(stream=True)`", "`tool_runner(stream=True)` of the async client"),
        "tool_runner",
        tool_before={"sync": "echo", "async": "echo_async"},
        left_as={"sync": "abandoned"},
    ),
    Framework(
        "langchain-anthropic",
        "LangChain",
        "langchain-anthropic",
        both("`stream`", "`astream`"),
        "langchain_anthropic_model",
        left_as={"sync": "abandoned", "async": "abandoned"},
    ),
    Framework(
        "langgraph",
        "LangGraph",
        "langgraph",
        both("`agent.stream`", "`agent.astream`"),
        "langgraph_agent",
        left_as={"sync": None, "async": "cancelled"},
    ),
    Framework(
        "pydantic-ai",
        "Pydantic AI",
        "pydantic-ai-slim",
        both("`run_stream_sync`", "`run_stream`"),
        "pydantic_ai_agent",
    ),
    Framework(
        "instructor",
        "Instructor",
        "instructor",
        both("`create_partial`", "`create_partial` of the async client"),
        "instructor_partial",
        environment="instructor",
        content="tool",
        left_as={"sync": None, "async": "abandoned"},
    ),
    Framework(
        "llama-index",
        "LlamaIndex",
        "llama-index-llms-anthropic",
        both("`stream_chat`", "`astream_chat`"),
        "llama_index_chat",
        environment=OLDER,
        left_as={"sync": "abandoned", "async": "abandoned"},
    ),
    Framework(
        "strands",
        "Strands Agents",
        "strands-agents",
        both("`agent()`", "`stream_async`"),
        "strands_agent",
        environment=OLDER,
        left_as={"sync": None},
    ),
    Framework("agno", "Agno", "agno", both("`run(stream=True)`", "`arun(stream=True)`"), "agno_agent"),
    Framework(
        "crewai",
        "CrewAI",
        "crewai",
        both("`LLM(stream=True).call`", "`LLM(stream=True).acall`"),
        "crewai_llm",
        environment="crewai",
        left_as={"sync": None, "async": None},
    ),
    Framework(
        "agento11y",
        "Grafana's agento11y",
        "agento11y-anthropic",
        both("`messages.stream`", "`messages.stream_async`"),
        "agento11y_messages",
        environment="agento11y",
        left_as={"sync": None, "async": None},
    ),
    Framework(
        "smolagents",
        "smolagents",
        "smolagents",
        {"sync": "`generate_stream`"},
        "smolagents_litellm",
        seen=False,
        through_sdk=False,
    ),
    Framework(
        "dspy",
        "DSPy",
        "dspy",
        {"async": "`streamify`"},
        "dspy_predict",
        content="[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]",
        seen=False,
        through_sdk=False,
    ),
    Framework(
        "fastapi",
        "FastAPI, uvicorn",
        "fastapi",
        both("a generator", "an async generator"),
        "fastapi_uvicorn",
        in_worker=True,
        left_as={"async": "cancelled", "sync": "abandoned"},
    ),
    Framework(
        "django",
        "Django, uvicorn",
        "django",
        {"async": "`StreamingHttpResponse` of an async view"},
        "django_uvicorn",
        in_worker=True,
        left_as={"async": "cancelled"},
    ),
    Framework("gunicorn-gthread", "gunicorn, gthread", "gunicorn", WSGI_WAYS, "gunicorn_gthread", in_worker=True),
    Framework("gunicorn-gevent", "gunicorn, gevent", "gunicorn", WSGI_WAYS, "gunicorn_gevent", in_worker=True),
    Framework(
        "celery",
        "Celery, prefork",
        "celery",
        {"sync": "a task with a soft time limit"},
        "celery_worker",
        in_worker=True,
        left_as={"sync": "cancelled"},
    ),
    *_neighbour("genai", "OpenTelemetry's GenAI instrumentation", "opentelemetry-instrumentation-genai-anthropic"),
    *_neighbour("openllmetry", "OpenLLMetry (Traceloop)", "opentelemetry-instrumentation-anthropic"),
    *_neighbour("openinference", "OpenInference", "openinference-instrumentation-anthropic"),
    *_neighbour("phoenix", "Arize Phoenix", "arize-phoenix-otel"),
    *_neighbour("langfuse", "Langfuse, with OpenInference", "langfuse"),
    *_neighbour("logfire", "Logfire", "logfire", seen=False, remark="It suppresses other instrumentations by default."),
    *_neighbour("logfire-open", "Logfire, `suppress_other_instrumentation=False`", "logfire"),
    *_neighbour("sentry", "Sentry", "sentry-sdk"),
    *_neighbour("datadog", "Datadog", "ddtrace"),
    *_neighbour(
        "pydantic-ai-instrumented",
        "Pydantic AI, instrumented",
        "pydantic-ai-slim",
        adapter="pydantic_ai_agent",
        ways={"async": "`run_stream`"},
    ),
    *_neighbour(
        "logfire-pydantic-ai",
        "Pydantic AI, instrumented by Logfire",
        "logfire",
        adapter="pydantic_ai_agent",
        ways={"async": "`run_stream`"},
    ),
)
