# The interpreter runs this module when it starts, if this folder is on `PYTHONPATH`. `otel-claude-stream path` prints
# the folder.
#
# Child processes inherit the path, and may run another interpreter or environment. The module therefore uses plain
# syntax and the standard library only, and does nothing if the package is not installed.
import os
import sys

# Matches this folder in any installation: modules of two installations would run each other forever.
OURS = os.path.join("otel_claude_stream", "_auto", "site")
OFF = ("false", "0", "no", "off")


def run_next() -> None:
    """Run the next `sitecustomize` on the path, if there is one, under that module name."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    path = [entry for entry in sys.path if not os.path.abspath(entry).endswith(OURS)]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def start() -> None:
    """Start the instrumentation, unless it is switched off or not installed."""
    if os.environ.get("OTEL_CLAUDE_STREAM_AUTO", "").strip().lower() in OFF:
        return
    try:
        from otel_claude_stream._auto.start import start as start_instrumentation
    except ImportError:
        return
    start_instrumentation()


try:
    run_next()  # first, as it may set variables that OpenTelemetry reads; the interpreter reports its exception
finally:
    start()
