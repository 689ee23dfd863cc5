"""OpenVINO: the fastest float32 on a CPU."""

from pathlib import Path

import numpy as np

from csd.errors import InputError, WorkError
from csd.inference.engines.base import Compiled, EngineMissing
from csd.openvino_core import cpu_settings, openvino_core


def compile_model(model: bytes | Path) -> Compiled:
    """An ONNX file's bytes, or the path of an `.onnx` or OpenVINO `.xml`, compiled for the CPU.

    Raises:
        EngineMissing: OpenVINO is not installed, or does not support the processor.
        InputError: the model cannot be read.
    """
    core = _core()
    try:
        read = core.read_model(model if isinstance(model, bytes) else str(model))
    except RuntimeError as error:
        raise InputError(f"OpenVINO cannot read the model: {_first_line(error)}") from None
    try:
        request = core.compile_model(read, "CPU", cpu_settings()).create_infer_request()
    except RuntimeError as error:
        raise EngineMissing(f"OpenVINO cannot use this processor ({_first_line(error)})") from None
    names = [port.get_any_name() for port in read.inputs]

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        # An exported file may call its only input something else.
        values = [inputs[name] if name in inputs else inputs["x"] for name in names]
        try:
            results = request.infer(values, share_inputs=True)
        except RuntimeError as error:
            raise WorkError(f"OpenVINO failed: {_first_line(error)}") from None
        return [results[i] for i in range(len(results))]

    return run


def _core():
    try:
        core = openvino_core()
        if core.get_versions("CPU"):  # `available_devices` would load the plugins of GPUs, too
            return core
    except ImportError:
        raise EngineMissing(
            "OpenVINO is not installed (`pip install openvino` brings it)"
        ) from None
    except (OSError, RuntimeError) as error:
        raise EngineMissing(f"OpenVINO cannot be loaded ({_first_line(error)})") from None
    raise EngineMissing("OpenVINO does not support this processor")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")
