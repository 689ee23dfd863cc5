"""Open whatever holds a network, a checkpoint or an exported file, ready to upscale images."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from csd.errors import InputError
from csd.export.description import check_digest, read_description
from csd.files import exists, open_regular
from csd.inference.engines import Engine, EngineMissing, Machine, open_engine, open_file
from csd.inference.engines.graphs import Graph, open_graph
from csd.inference.engines.trial import check_engine
from csd.inference.upscaler import Upscaler

EXPORTED_SUFFIXES = (".mindir", ".onnx", ".xml")
SHIPPED_SCALES = (2, 3, 4)

_Opened = TypeVar("_Opened")
_AT_ENGINES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "mindspore": "MindSpore"}


@dataclass(frozen=True)
class _Checkpoint:
    """What engines need of a checkpoint. net: gives the MindSpore network, built once."""

    path: Path
    model: dict[str, Any]
    weights: dict[str, np.ndarray]
    widths: tuple[float, ...]
    net: Callable[[], Any]


def shipped_checkpoint(scale: int = 4) -> Path:
    """The trained checkpoint that comes with the package.

    Raises:
        InputError: none for this scale.
    """
    path = Path(__file__).resolve().parents[1] / "pretrained" / f"edsr_x{scale}.ckpt"
    if not path.is_file():
        raise InputError(
            f"no trained checkpoint for scale {scale} comes with this package; name one with "
            "--ckpt FILE, such as the best.ckpt of train.py"
        )
    return path


def open_upscaler(
    path: str | Path,
    *,
    width: float | None = None,
    scale: int | None = None,
    machine: Machine | None = None,
) -> Upscaler:
    """Open a checkpoint or an exported model.

    A checkpoint is any that `csd.checkpoints.load_network` reads; a `.mindir`, `.onnx` or OpenVINO
    `.xml` file has its description beside it.

    Args:
        width: None: the narrowest width that was trained.
        scale: None, or the scale that the caller expects.
        machine: engine and device; None: as `Machine()` chooses them.

    Raises:
        InputError: a missing, foreign or damaged file, a width or a scale that it does not have, or
            an engine or a device that is not there.
    """
    path, machine = Path(path), machine or Machine()
    if not exists(path):
        raise InputError(f"no checkpoint {path}; train.py writes best.ckpt and last.ckpt")
    with open_regular(path, "a checkpoint"):
        pass
    machine.target()  # a device that is not there is said first
    opener = _open_exported if path.suffix.lower() in EXPORTED_SUFFIXES else _open_checkpoint
    upscaler = opener(path, width, machine)
    if scale is not None and scale != upscaler.scale:
        raise InputError(
            f"{path} was trained for scale {upscaler.scale}, not {scale}; "
            "leave --scale out or give the checkpoint of that scale"
        )
    return upscaler


def _open_checkpoint(path: Path, width: float | None, machine: Machine) -> Upscaler:
    names = machine.order("")
    if names[0] == "mindspore":
        machine.set_up_mindspore()
    checkpoint = _read_checkpoint(path)
    width = checkpoint.widths[0] if width is None else width

    @functools.cache
    def at(other: float) -> Engine:
        engine = _first_that_works(
            names, machine, lambda name: _engine(name, checkpoint, other, machine)
        )
        del names[: names.index(engine.name)]  # another width is not tried where this one failed
        return engine

    engine = at(width)
    return Upscaler(
        engine, checkpoint.model, int(checkpoint.model["scale"]), width, checkpoint.widths,
        whole_image=engine.pooled_over is not None, at=at,
    )  # fmt: skip


def _read_checkpoint(path: Path) -> _Checkpoint:
    """Ours without MindSpore; others are recognised by `load_network`."""
    from csd.checkpoints.files import read_tensors
    from csd.checkpoints.meta import check_size

    file = read_tensors(path)
    model = file.meta.get("model")
    if isinstance(model, dict) and {"name", "scale"} <= set(model) and file.tensors:
        check_size(model, file.tensors, str(path))
        widths = tuple(sorted(float(w) for w in file.meta.get("widths") or [1.0]))
        return _Checkpoint(path, model, file.tensors, widths, _network_loader(path))
    return _load_checkpoint(path)


def _load_checkpoint(path: Path) -> _Checkpoint:
    """Any checkpoint, in MindSpore."""
    from csd import runtime
    from csd.checkpoints import load_network, network_state

    runtime.setup_once()
    net, meta = load_network(path)
    widths = tuple(sorted(float(w) for w in meta.get("widths") or [1.0]))
    return _Checkpoint(path, net.describe(), network_state(net), widths, lambda: net)


def _network_loader(path: Path) -> Callable[[], Any]:
    @functools.cache
    def load():
        from csd.checkpoints import load_network

        return load_network(path)[0]

    return load


def _engine(name: str, checkpoint: _Checkpoint, width: float, machine: Machine) -> Engine:
    """The checkpoint in one engine; EngineMissing where that cannot be used for it here."""
    if name == "mindspore":
        from csd.inference.engines.mindspore import make_runner

        return make_runner(checkpoint.net(), width)
    compiled = functools.cache(functools.partial(_compiled, name))

    def graph_of(origin: _Checkpoint) -> Graph:
        return open_graph(
            origin.model, width, origin.weights, source=str(origin.path),
            cache_dir=machine.cache_dir,
            accept=lambda graph: check_engine(compiled(graph), origin.net(), width),
        )  # fmt: skip

    try:
        graph = graph_of(checkpoint)
    except EngineMissing:
        raise
    except InputError:  # names of somebody else's program; or a file that this rejects as well
        graph = graph_of(_load_checkpoint(checkpoint.path))
    return compiled(graph)


def _compiled(name: str, graph: Graph) -> Engine:
    try:
        return open_engine(name, graph)
    except EngineMissing:
        raise
    except InputError as error:  # not the user's file, but the graph that was made of it
        raise EngineMissing(f"there is no graph of this network ({error})") from None


def _first_that_works(
    names: Sequence[str], machine: Machine, attempt: Callable[[str], _Opened]
) -> _Opened:
    """The first engine that can be used here; a line says why an earlier one cannot."""
    for name, following in zip(names, [*names[1:], None], strict=True):
        try:
            return attempt(name)
        except EngineMissing as error:
            if following is None:
                raise InputError(f"{error}; or use another --engine") from None
            machine.log(f"note: {error}; {_AT_ENGINES[following]} is used")
            if following == "mindspore":
                machine.set_up_mindspore()
    raise AssertionError("an order of engines is never empty")


def _open_exported(path: Path, width: float | None, machine: Machine) -> Upscaler:
    facts = read_description(path)
    check_digest(path, facts)
    height, across = facts["input"]["shape"][2:]
    size = None if height is None or across is None else (height, across)
    made_at = float(facts["width"])
    if width is not None and width != made_at:
        raise InputError(
            f"{path} was exported at width {made_at:g}, not {width:g}; leave --width out"
        )

    def attempt(name: str) -> Upscaler:
        if name == "mindspore":
            machine.set_up_mindspore()
        try:
            shares = facts["receptive_field"]["whole_image"] and size is None
            engine = open_file(name, path, whole_image=shares)
        except InputError:
            raise
        except Exception as error:  # runtimes have their own, of several types
            raise InputError(f"{path} cannot be loaded, it is damaged; export it again") from error
        return Upscaler(
            _as_described(engine, path, facts["scale"]), facts["architecture"], facts["scale"],
            made_at, (made_at,), size=size, whole_image=facts["receptive_field"]["whole_image"],
            precision=facts.get("precision", "float32"),
        )  # fmt: skip

    return _first_that_works(machine.order(path.suffix.lower()), machine, attempt)


def _as_described(engine: Engine, path: Path, scale: int) -> Engine:
    """The engine, which must take what the description says and give what follows from it."""

    def run(image: np.ndarray) -> np.ndarray:
        shape = image.shape
        try:
            output = engine(image)
        except MemoryError:
            raise
        except Exception as error:  # runtimes have their own, of several types
            raise InputError(
                f"{path} does not take an input of {shape}, which its description says; "
                "export it again"
            ) from error
        if output.shape != (*shape[:2], scale * shape[2], scale * shape[3]):
            raise InputError(
                f"{path} makes {output.shape} of {shape}, which is not scale {scale} of its "
                "description; export it again"
            )
        return output

    return replace(engine, run=run)
