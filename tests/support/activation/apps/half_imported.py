"""Import the SDK after an import that failed half-way or was partial, or after another wrapper."""

from __future__ import annotations

import importlib
import importlib.abc
import os
import sys


class Broken(importlib.abc.MetaPathFinder):
    """An import hook that makes the first import of one module fail."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            sys.meta_path.remove(self)
            raise ImportError(f"no {name} this time")


if "fails" in sys.argv:
    for name in ("anthropic._base_client", "anthropic.resources"):
        sys.meta_path.insert(0, Broken(name))
        try:
            importlib.import_module("anthropic")
        except ImportError as error:
            print(error)
if "partly" in sys.argv:
    importlib.import_module("anthropic._streaming")
    sys.modules["anthropic._base_client"].marker = True
if "twice" in sys.argv:  # another package wraps the same attribute
    import anthropic._streaming

    original = anthropic._streaming.Stream.__stream__

    def wrapper(self):
        yield from original(self)

    anthropic._streaming.Stream.__stream__ = wrapper
import anthropic  # noqa: E402 - the lines above are the subject of the test

with anthropic.Anthropic(max_retries=0, base_url=os.environ["ANTHROPIC_BASE_URL"]).messages.stream(
    model="claude-sonnet-5", max_tokens=64, messages=[{"role": "user", "content": "Hello?"}]
) as stream:
    print(stream.get_final_text(), flush=True)
