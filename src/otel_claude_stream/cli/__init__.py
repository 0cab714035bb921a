"""The command line, ``otel-claude-stream``. Not imported when an application is instrumented."""
