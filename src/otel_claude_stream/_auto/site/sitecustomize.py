# Run by the interpreter at its start, where this folder is on its path: `otel-claude-stream path` prints the folder.
#
# Children inherit the path, and may run another interpreter or environment. Hence plain syntax, the standard library
# alone, and silence where the package is not installed.
import os
import sys

OURS = os.path.join("otel_claude_stream", "_auto", "site")  # of any installation: two would call each other forever
OFF = ("false", "0", "no", "off")


def run_next() -> None:
    """Run the `sitecustomize` that would have run without this one, if there is one; it takes the module's name."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    others = [entry for entry in sys.path if not os.path.abspath(entry).endswith(OURS)]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def start() -> None:
    """Start the instrumentation, unless it is switched off or not installed here."""
    if os.environ.get("OTEL_CLAUDE_STREAM_AUTO", "").strip().lower() in OFF:
        return
    try:
        from otel_claude_stream._auto.start import start as start_here
    except ImportError:
        return
    start_here()


try:
    run_next()  # first, as it may set what OpenTelemetry reads; what it raises is told by the interpreter, as always
finally:
    start()
