"""Entry point of the command line, also for ``python -m otel_claude_stream``. Ctrl-C may come during its imports."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from otel_claude_stream.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("otel-claude-stream: interrupted\n")
        return 130  # as in a shell


if __name__ == "__main__":
    sys.exit(main())
