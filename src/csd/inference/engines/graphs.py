"""The graph of a network for engines that read ONNX: found, or made once, and given its weights.

A graph depends on the architecture and the width, not on the weights: a checkpoint that is trained
further, or another one of the same kind, needs no new one. The graphs of the shipped networks come
with the package (`tools/engine_graphs.py` makes them); others are made by MindSpore, once, and kept
in the cache folder.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csd.checkpoints.protobuf import field, fields, numbers
from csd.checkpoints.state import check_shapes
from csd.errors import InputError, WorkError
from csd.export.graph import GRAPH_VERSION, META_KEY
from csd.files import write_bytes
from csd.inference.engines.base import EngineMissing
from csd.runtime import cache_folder

PACKAGE = Path(__file__).resolve().parents[2]
SHIPPED = PACKAGE / "pretrained" / "graphs"

# Field numbers of ONNX's messages.
_GRAPH, _METADATA = 7, 14  # ModelProto
_INITIALIZER = 5  # GraphProto
_DIMS, _NAME, _RAW_DATA = 1, 8, 9  # TensorProto


@dataclass(frozen=True)
class Graph:
    """An ONNX file with its weights, and the shape [K, m] of the means that it shares, or None."""

    onnx: bytes
    means: tuple[int, int] | None = None


def open_graph(
    model: Mapping[str, Any],
    width: float,
    weights: Mapping[str, np.ndarray],
    *,
    source: str = "the weights",
    cache_dir: str | Path | None = None,
    accept: Callable[[Graph], None] | None = None,
) -> Graph:
    """The graph of `model` at `width` with the weights of a checkpoint.

    MindSpore is needed only where the graph is neither shipped nor cached.

    Args:
        model: name, scale and hyper-parameters, as a checkpoint says them.
        weights: the full-width parameters by name.
        source: where the weights come from, for messages.
        cache_dir: None: the default cache folder.
        accept: called with a graph that had to be made, before it is kept; what it raises is
            raised, and the graph is not kept.

    Raises:
        EngineMissing: there is no graph of this network, and none can be made here.
        InputError: a width that the model does not have, or weights that are not the model's.
    """
    found = _find(model, width, cache_dir)
    graph = found or _make(model, width)
    facts = metadata(graph)
    check_shapes({name: tuple(shape) for name, shape in facts["shapes"].items()}, weights, source)
    means = facts["means"]
    filled = Graph(fill(graph, weights), None if means is None else tuple(means))
    if found is None:
        if accept is not None:
            accept(filled)
        _keep(graph, model, width, cache_dir)
    return filled


def graph_name(model: Mapping[str, Any], width: float) -> str:
    """File name of a graph: readable, and a digest of all that decides it."""
    key = json.dumps([GRAPH_VERSION, dict(model), float(width)], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return f"{model['name']}_x{model['scale']}_w{width:g}_{digest}.onnx"


def metadata(onnx: bytes) -> dict[str, Any]:
    """What `csd.export.graph.weightless_graph` wrote into a graph: model, width, shapes, means."""
    for number, value in fields(onnx):
        if number == _METADATA:
            entry = dict(fields(value))
            if bytes(entry[1]).decode() == META_KEY:
                return json.loads(bytes(entry[2]))
    raise ValueError("the file is no graph of this program")


def fill(onnx: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
    """An ONNX file with the leading part of each weight put into the initializer of its name."""
    out = []
    for number, value in fields(onnx):
        if number == _GRAPH:
            value = b"".join(
                field(n, _with_data(v, weights) if n == _INITIALIZER else v)
                for n, v in fields(value)
            )
        out.append(field(number, value))
    return b"".join(out)


def _with_data(tensor: memoryview, weights: Mapping[str, np.ndarray]) -> bytes:
    shape: list[int] = []
    name = ""
    for number, value in fields(tensor):
        if number == _DIMS:
            shape += numbers(value)
        elif number == _NAME:
            name = str(value, "utf-8")
    if name not in weights:  # a constant, with its data
        return bytes(tensor)
    prefix = weights[name][tuple(slice(0, side) for side in shape)]
    return bytes(tensor) + field(_RAW_DATA, np.ascontiguousarray(prefix, "<f4").tobytes())


def _find(model: Mapping, width: float, cache_dir: str | Path | None) -> bytes | None:
    """The graph in the package, or in the cache; None where there is none that is whole."""
    name = graph_name(model, width)
    for folder in (SHIPPED, _cached(cache_dir)):
        if folder is None:
            continue
        try:
            graph = (folder / name).read_bytes()
            facts = metadata(graph)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if facts["model"] == dict(model) and facts["width"] == width:
            return graph
    return None


def _make(model: Mapping, width: float) -> bytes:
    from csd import runtime

    runtime.setup_once()
    from csd.export.graph import import_onnx, weightless_graph

    try:
        import_onnx()
    except InputError as error:
        raise EngineMissing(str(error)) from None
    try:
        return weightless_graph(model, width)
    except (WorkError, OSError) as error:
        raise EngineMissing(f"there is no ONNX graph of this network ({error})") from None


def _keep(graph: bytes, model: Mapping, width: float, cache_dir: str | Path | None) -> None:
    folder = _cached(cache_dir)
    if folder is not None:
        try:
            write_bytes(folder / graph_name(model, width), graph)
        except WorkError as error:
            logging.getLogger(__name__).info("the graph is not kept: %s", error)


def _cached(cache_dir: str | Path | None) -> Path | None:
    """Where graphs that this code makes are kept; None without a home folder."""
    try:
        return cache_folder(cache_dir) / "graphs" / _code_digest()
    except InputError:
        if cache_dir:
            raise
        return None


@functools.cache
def _code_digest() -> str:
    """Of the code that defines the networks: another version's graphs are not taken."""
    digest = hashlib.sha256()
    files = [*PACKAGE.glob("nets/*.py"), *PACKAGE.glob("ops/*.py"), *PACKAGE.glob("export/*.py")]
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
