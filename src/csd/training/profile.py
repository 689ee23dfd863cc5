"""A look at some steps with MindSpore's profiler."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import mindspore as ms
from mindspore import profiler

UNPROFILED = 10  # steps at the start: compilation, caches that fill


def profiled(outputs: Iterator[ms.Tensor], folder: Path, count: int) -> Iterator[ms.Tensor]:
    """The same outputs; the steps of `count` of them, behind the first, are profiled into `folder`.

    A step runs when its output is asked for, and on an accelerator continues behind it: its value
    is waited for at both ends.
    """
    if count:
        for output in islice(outputs, UNPROFILED):
            yield output
        output.asnumpy()
        trace = profiler.tensorboard_trace_handler(str(folder))
        tool = profiler.profile(start_profile=False, on_trace_ready=trace)
        tool.start()
        try:
            for output in islice(outputs, count):
                yield output
            output.asnumpy()
        finally:
            tool.stop()
    yield from outputs
