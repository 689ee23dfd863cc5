"""Runtimes of a network: MindSpore on any device, OpenVINO and ONNX Runtime on the CPU.

Which file runs in which:

    checkpoint   MindSpore, OpenVINO (the default on the CPU), ONNX Runtime
    .mindir      MindSpore
    .onnx        OpenVINO (the default), ONNX Runtime
    .xml         OpenVINO
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from csd import runtime
from csd.errors import InputError
from csd.inference.engines.base import Compiled, Engine, EngineMissing, graph_engine
from csd.inference.engines.graphs import Graph

__all__ = [
    "ENGINES",
    "Engine",
    "EngineMissing",
    "Machine",
    "compile_graph",
    "open_engine",
    "open_file",
]

ENGINES = ("auto", "mindspore", "openvino", "onnxruntime")
_log = logging.getLogger("csd.inference")


@dataclass(frozen=True)
class Machine:
    """What to run networks with.

    engine: one of ENGINES. device: "auto", "Ascend", "GPU" or "CPU". jit_level, precision_mode: of
    MindSpore, as in the configuration. cache_dir: None for the default one. log: takes a line about
    the choice.
    """

    engine: str = "auto"
    device: str = "auto"
    jit_level: str = "default"
    precision_mode: str = "default"
    cache_dir: str | Path | None = None
    log: Callable[[str], None] = _log.warning

    def target(self) -> str:
        """The device: "Ascend", "GPU" or "CPU".

        MindSpore is imported only where it alone can say. Raises InputError for a device that is
        not there, for settings that it does not have, and for an engine that does not run on it.
        """
        if self.engine not in ENGINES:
            raise InputError(f"unknown engine {self.engine!r}; use one of {', '.join(ENGINES)}")
        others = self.engine in ("openvino", "onnxruntime")
        if others and self.device not in ("auto", "CPU"):
            raise InputError(
                f"engine {self.engine} runs on the CPU, not on {self.device}; leave --engine or "
                "--device_target out"
            )
        target = "CPU" if others else runtime.choose_without_mindspore(self.device)
        if target is None:
            runtime.prepare_environment()
            target = runtime.choose_device(self.device, runtime.available_devices())
        runtime.check_device_keys(target, self.jit_level, self.precision_mode)
        return target

    def set_up_mindspore(self) -> None:
        """Make MindSpore ready on the device; its random numbers are left alone."""
        runtime.setup(
            self.device, None, jit_level=self.jit_level, precision_mode=self.precision_mode
        )

    def order(self, suffix: str) -> list[str]:
        """The engines to try for a file, the first that is there being taken.

        suffix: ".mindir", ".onnx", ".xml", or anything else for a checkpoint. Raises InputError
        where the engine that was asked for does not read it.
        """
        able = _READERS.get(suffix, ("openvino", "mindspore", "onnxruntime"))
        if self.engine != "auto":
            if self.engine not in able:
                raise InputError(
                    f"engine {self.engine} does not read {suffix} files; leave --engine out"
                )
            return [self.engine]
        if suffix in _READERS:
            return list(able)
        return ["openvino", "mindspore"] if self.target() == "CPU" else ["mindspore"]


_READERS = {
    ".mindir": ("mindspore",),
    ".onnx": ("openvino", "onnxruntime"),
    ".xml": ("openvino",),
}


def compile_graph(name: str, model: bytes | Path) -> Compiled:
    """A model compiled by "openvino" or "onnxruntime".

    Raises EngineMissing where the engine cannot be used here, InputError for an unreadable model.
    """
    if name == "openvino":
        from csd.inference.engines.openvino import compile_model
    else:
        from csd.inference.engines.onnxruntime import compile_model
    return compile_model(model)


def open_engine(name: str, graph: Graph) -> Engine:
    """An engine of a graph with its weights; raises as `compile_graph`."""
    return graph_engine(name, compile_graph(name, graph.onnx), graph.means)


def open_file(name: str, path: Path, *, whole_image: bool = False) -> Engine:
    """An engine of an exported file.

    whole_image: the network averages over the whole image; of an ONNX file of any size the engine
    then takes the averages of another image as well, else each tile has its own.

    Raises EngineMissing where it cannot be used here, InputError for a file that it cannot read.
    """
    if name == "mindspore":
        from csd.export.verify import open_file as open_mindir

        return Engine(name, open_mindir(path))
    if whole_image and path.suffix.lower() == ".onnx":
        from csd.export.graph import with_shared_means

        model, means = with_shared_means(path)
        return graph_engine(name, compile_graph(name, model), means)
    return graph_engine(name, compile_graph(name, path))
