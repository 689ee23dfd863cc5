"""OpenVINO's core, one for the process, and the settings of its CPU."""

import functools
import os
from typing import Any


def openvino_core():
    """The `openvino.Core` of this process, kept to its end.

    Each core gives the calling thread a signal stack, takes it back when it is dropped, and points
    the thread at the one before it. Dropped in another order than made, two cores leave the thread
    with a stack that is gone, and the next Ctrl-C is a segmentation fault.

    Raises:
        ImportError, OSError, RuntimeError: OpenVINO is missing or cannot be loaded.
    """
    import openvino

    return _kept(openvino)


@functools.cache
def _kept(openvino):
    return openvino.Core()


def cpu_settings() -> dict[str, Any]:
    """Float32 where the model has it, also on processors whose default is bfloat16.

    The threads are those of OMP_NUM_THREADS, else all.
    """
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads):
        settings["INFERENCE_NUM_THREADS"] = int(threads)
    return settings
