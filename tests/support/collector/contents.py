"""Keys under which other instrumentations record content, keys that must survive, and credentials."""

from __future__ import annotations

SECRET = "The patient's name is Rumpelstiltskin"
"""Content of which no part may arrive anywhere."""

CONTENT_KEYS = (
    # OpenTelemetry's GenAI conventions, current and former.
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.message",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.event.content",
    "gen_ai.content.prompt",
    "gen_ai.content.completion",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "gen_ai.evaluation.explanation",
    # OpenLLMetry.
    "gen_ai.prompt.0.content",
    "gen_ai.prompt.12.tool_calls.0.arguments",
    "gen_ai.completion.0.content",
    "llm.prompts",
    "llm.completions.0.content",
    "llm.request.functions.0.parameters",
    "traceloop.entity.input",
    "traceloop.entity.output",
    # OpenInference.
    "input.value",
    "output.value",
    "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
    "llm.prompt_template.variables",
    "llm.invocation_parameters",
    "retrieval.documents.0.document.content",
    "reranker.query",
    "embedding.text",
    "tool.parameters",
    "message.content",
    "document.content",
    # Langfuse, MLflow, Logfire, the Vercel AI SDK.
    "langfuse.observation.input",
    "langfuse.trace.output",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "request_data",
    "response_data",
    "all_messages_events",
    "final_result",
    "tool_arguments",
    "ai.prompt",
    "ai.prompt.messages",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    # Bodies and credentials of HTTP.
    "http.request.body",
    "http.request.body.content",
    "http.response.body.text",
    "http.request.header.authorization",
    "http.request.header.x-api-key",
    "http.request.header.x_api_key",
    "http.request.header.cookie",
    "http.response.header.set-cookie",
    # Names of instrumentations by hand.
    "prompt",
    "completion",
    "content",
    "thinking",
    "partial_json",
    "messages",
    "system",
    "my.app.prompt",
    "my_app_completion",
    "Content",
)

KEPT_KEYS = (
    "gen_ai.request.model",
    "gen_ai.response.id",
    "gen_ai.usage.input_tokens",
    "gen_ai.prompt_tokens_total",
    "gen_ai.tool.name",
    "gen_ai.tool.call.id",
    "gen_ai.conversation.id",
    "llm.model_name",
    "llm.token_count.prompt_details",
    "http.request.body.size",
    "http.request.header.user-agent",
    "db.query.text",
    "messaging.system",
    "messaging.message.id",
    "content_type",
    "exception.message",
    "url.full",
)
"""Keys that look like content and hold none."""

CREDENTIALS = {
    "Anthropic": "sk-ant-api03-AbCdEf0123456789-_AbCdEf0123456789AA",
    "OpenAI": "sk-proj-AbCdEf0123456789AbCdEf0123456789",
    "bearer": "Bearer AbCdEf0123456789AbCdEf01",
    "bearer, small": "authorization: bearer AbCdEf0123456789AbCdEf01",
    "basic": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    "GitHub": "ghp_AbCdEf0123456789AbCdEf0123456789AbCd",
    "GitHub, fine": "github_pat_11ABCDEFG0AbCdEf0123456789",
    "Slack": "xoxb-123456789012-AbCdEf0123456789",
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "AWS, temporary": "ASIAIOSFODNN7EXAMPLE",
    "Google": "AIzaSyAbCdEf0123456789AbCdEf0123456789",
    "Google, OAuth": "ya29.AbCdEf0123456789AbCdEf0123456789",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.AbCdEf0123456789",
    "Stripe": "sk_live_AbCdEf0123456789AbCdEf01",
    "URL": "https://user:hunter2hunter2@proxy.example:8080/",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAabcdef0123456789\n-----END RSA PRIVATE KEY-----",
}
"""Invented credentials, by their kind."""

MARKS = (
    "AbCdEf0123456789",
    "QWxhZGRpbjpvcGVu",
    "IOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9",
    "hunter2",
    "MIIEpAIBAAKCAQEA",
)
"""A part of each credential."""
