"""Read answers in this process, and in a child that is forked or started by multiprocessing."""

from __future__ import annotations

import multiprocessing
import os
import sys

import anthropic


def read(model: str) -> None:
    with anthropic.Anthropic(max_retries=0).messages.stream(
        model=model, max_tokens=64, messages=[{"role": "user", "content": "Hello?"}]
    ) as stream:
        stream.get_final_text()


def main() -> None:
    method = sys.argv[1]
    if "before" in sys.argv:  # the stream and the threads of the exporters exist before the fork
        read("parent-before")
        stream = anthropic.Anthropic(max_retries=0).messages.create(
            model="parent-open", max_tokens=64, stream=True, messages=[{"role": "user", "content": "Hello?"}]
        )
        next(stream)
    if method == "fork":
        child = os.fork()
        if child == 0:
            read("child")
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
    else:
        context = multiprocessing.get_context(method.removeprefix("multiprocessing-"))
        process = context.Process(target=read, args=("child",))
        process.start()
        process.join(30)
        assert process.exitcode == 0
    if "before" in sys.argv:
        for _ in stream:
            pass
    read("parent-after")
    print("Hello there.", flush=True)


if __name__ == "__main__":
    main()
