"""Run the command line by ``python -m otel_claude_stream``, for example where its script is not on the path."""

from __future__ import annotations

import sys

from otel_claude_stream.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
