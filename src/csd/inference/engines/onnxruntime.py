"""ONNX Runtime on the CPU."""

import os
from pathlib import Path

import numpy as np

from csd.errors import InputError, WorkError
from csd.inference.engines.base import Compiled, EngineMissing


def compile_model(model: bytes | Path) -> Compiled:
    """An ONNX file's bytes, or its path, as a session of ONNX Runtime.

    The threads are those of OMP_NUM_THREADS, else all.

    Raises:
        EngineMissing: ONNX Runtime is not installed.
        InputError: the model cannot be read.
    """
    try:
        import onnxruntime
    except ImportError:
        raise EngineMissing(
            "ONNX Runtime is not installed (`pip install onnxruntime` brings it)"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads):
        options.intra_op_num_threads = int(threads)
    try:
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:  # of several types of its own
        raise InputError(f"ONNX Runtime cannot read the model: {error}") from None
    names = [item.name for item in session.get_inputs()]

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        values = [inputs[name] if name in inputs else inputs["x"] for name in names]
        try:
            return session.run(None, dict(zip(names, values, strict=True)))
        except Exception as error:
            raise WorkError(f"ONNX Runtime failed: {error}") from None

    return run
