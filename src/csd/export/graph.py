"""Networks as ONNX graphs of any height, width and batch.

MindSpore exports ONNX for one size. The example size here is two large primes, so that whatever in
the graph depends on the size is seen: integers, such as those of a shape, that are multiples of one
of them are computed from the shape of the input instead. A pixel shuffle's two reshapes and its
transposition become one DepthToSpace.
"""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from csd.errors import CSDError, InputError, WorkError
from csd.runtime import prepare_protobuf

# Of the graphs that `weightless_graph` makes; part of the names under which they are kept.
GRAPH_VERSION = 1
META_KEY = "csd"
_SHUFFLE = [0, 1, 4, 2, 5, 3]  # of (N, C, r, r, H, W), the transposition of a pixel shuffle
_EXAMPLE = (1009, 1013)  # height and width; nothing is computed at this size


def import_onnx():
    """The `onnx` package; InputError where it is not installed."""
    prepare_protobuf()
    try:
        import onnx
    except ImportError:
        raise InputError(
            "an ONNX graph of any size is made with the package onnx, which is not installed; "
            "`pip install onnx` brings it"
        ) from None
    return onnx


def free_sizes(model) -> None:
    """Make height, width and batch of an `onnx.ModelProto` exported for _EXAMPLE free, in place.

    Raises WorkError where something in it depends on the size in a way that is not known here.
    """
    onnx = import_onnx()
    graph = model.graph
    _merge_shuffles(onnx, graph)
    _compute_sizes(onnx, graph)
    ends = ((graph.input[0], ""), (graph.output[0], "out_"))
    for end, prefix in ends:
        for axis, name in ((0, "batch"), (2, f"{prefix}height"), (3, f"{prefix}width")):
            end.type.tensor_type.shape.dim[axis].dim_param = name
    del graph.value_info[:]
    onnx.checker.check_model(model)


def _compute_sizes(onnx, graph) -> None:
    """Constants that are multiples of the example's sides, computed from the input's shape."""
    make, first = onnx.helper.make_node, graph.input[0].name
    found = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            found.append((node.output[0], node.attribute[0].t))
    nodes, replaced = [], set()
    for name, tensor in found:
        if any(side in tensor.dims for side in _EXAMPLE):
            raise WorkError(f"{name} has a value for every pixel; export with --size HxW")
        if tensor.data_type != onnx.TensorProto.INT64 or len(tensor.dims) != 1:
            continue
        values = onnx.numpy_helper.to_array(tensor).tolist()
        if not any(_side_in(value) for value in values):
            continue
        parts = []
        for i, value in enumerate(values):
            side = _side_in(value)
            factor = value // side if side else value
            parts.append(f"{name}_{i}")
            number = onnx.numpy_helper.from_array(np.array([factor], np.int64), parts[-1])
            graph.initializer.append(number)
            if side:
                parts.append(f"{parts.pop()}_product")
                nodes.append(make("Mul", [f"{name}_{i}", f"side_{side}"], [parts[-1]]))
        nodes.append(make("Concat", parts, [name], axis=0))
        replaced.add(name)
    if not replaced:
        return
    head = [make("Shape", [first], ["input_shape"])]
    for axis, side in zip((2, 3), _EXAMPLE, strict=True):
        index = onnx.numpy_helper.from_array(np.array([axis], np.int64), f"axis_{axis}")
        graph.initializer.append(index)
        head.append(make("Gather", ["input_shape", index.name], [f"side_{side}"], axis=0))
    rest = [_copy(onnx, n) for n in graph.node if n.output[0] not in replaced]
    kept = [_copy(onnx, t) for t in graph.initializer if t.name not in replaced]
    del graph.node[:], graph.initializer[:]
    graph.node.extend([*head, *nodes, *rest])
    graph.initializer.extend(kept)


def _side_in(value: int) -> int | None:
    """The side of the example that divides an integer, or None."""
    if value == 0 or abs(value) >= 1 << 31:  # no end, in a Slice
        return None
    return next((side for side in _EXAMPLE if value % side == 0), None)


def _copy(onnx, message):
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _merge_shuffles(onnx, graph) -> None:
    """Each Reshape, Transpose, Reshape of a pixel shuffle as one DepthToSpace."""
    made = {output: node for node in graph.node for output in node.output}
    used = {name: node for node in graph.node for name in node.input}
    kept, dropped, replaced = [], set(), {}
    for node in graph.node:
        if node.op_type != "Transpose" or list(node.attribute[0].ints) != _SHUFFLE:
            continue
        first, last = made[node.input[0]], used[node.output[0]]
        shape = onnx.numpy_helper.to_array(made[first.input[1]].attribute[0].t)
        merged = onnx.helper.make_node(
            "DepthToSpace", [first.input[0]], [last.output[0]], blocksize=int(shape[2]), mode="CRD"
        )
        dropped |= {id(node), id(first), id(made[first.input[1]]), id(made[last.input[1]])}
        replaced[id(last)] = merged
    for node in graph.node:
        if id(node) not in dropped:
            kept.append(_copy(onnx, replaced.get(id(node), node)))
    del graph.node[:]
    graph.node.extend(kept)


def share_means(model) -> tuple[int, int] | None:
    """Make the means over the image (RCAN's attention) inputs and outputs of the graph, in place.

    Inputs beside the image: `given`, float32 (K, 1, m, 1, 1), and `trust`, a scalar. Where trust is
    1, the given means replace those of the image. Second output: `means`, (K, N, m, 1, 1).

    Returns (K, m), or None, with nothing changed, where the graph has no mean over the image.
    """
    onnx = import_onnx()
    graph, helper = model.graph, onnx.helper
    pools = [node for node in graph.node if _averages_image(node)]
    if not pools:
        return None
    channels = {t.name: t.dims for t in graph.initializer}
    width = next(
        channels[node.input[1]][1]
        for node in graph.node
        if node.op_type == "Conv" and node.input[0] == pools[0].output[0]
    )
    nodes, rows = [], []
    constants = [("one", np.float32(1.0)), ("first_axis", np.array([0], np.int64))]
    for name, value in constants:
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    nodes.append(helper.make_node("Sub", ["one", "trust"], ["distrust"]))
    for node in graph.node:
        copy = _copy(onnx, node)
        nodes.append(copy)
        if not _averages_image(node):
            continue
        result, k = node.output[0], len(rows)
        own = copy.output[0] = f"mean_{k}"
        index = onnx.numpy_helper.from_array(np.asarray(k, np.int64), f"index_{k}")
        graph.initializer.append(index)
        nodes += [
            helper.make_node("Gather", ["given", f"index_{k}"], [f"given_{k}"], axis=0),
            helper.make_node("Mul", [f"given_{k}", "trust"], [f"trusted_{k}"]),
            helper.make_node("Mul", [own, "distrust"], [f"distrusted_{k}"]),
            helper.make_node("Add", [f"trusted_{k}", f"distrusted_{k}"], [result]),
            helper.make_node("Unsqueeze", [own], [f"row_{k}"], axes=[0]),
        ]
        rows.append(f"row_{k}")
    nodes.append(helper.make_node("Concat", rows, ["means"], axis=0))
    del graph.node[:]
    graph.node.extend(nodes)
    kind, count = onnx.TensorProto.FLOAT, len(rows)
    graph.input.extend(
        [
            helper.make_tensor_value_info("given", kind, [count, 1, width, 1, 1]),
            helper.make_tensor_value_info("trust", kind, []),
        ]
    )
    shape = [count, "batch", width, 1, 1]
    graph.output.append(helper.make_tensor_value_info("means", kind, shape))
    onnx.checker.check_model(model)
    return count, width


def _averages_image(node) -> bool:
    axes = [list(a.ints) for a in node.attribute if a.name == "axes"]
    return node.op_type == "ReduceMean" and [sorted(i % 4 for i in a) for a in axes] == [[2, 3]]


def weightless_graph(model: Mapping[str, Any], width: float) -> bytes:
    """The ONNX graph of a network at a width, without its weights, for images of any size.

    Args:
        model: what `SlimmableSR.describe` gives: name, scale and hyper-parameters.
        width: in (0, 1].

    Returns:
        An ONNX file. Input `x`, float32 (N, 3, H, W), RGB 0..255; first output the upscaled image;
        see `share_means` for the others. The initializers that are parameters of the network have
        its names and no data: their shapes are the prefixes that the width takes. Its metadata, key
        `csd`: JSON of the model, the width, the parameters' shapes at full width, and the means
        ([K, m] or null).

    Raises:
        InputError: an unknown model, or a width that leaves a layer no channel.
        WorkError: MindSpore cannot export it, or the graph depends on the size.
    """
    from csd.export.dense import dense_network
    from csd.nets import create_model

    onnx = import_onnx()
    net = create_model(**model)
    shapes = {name: list(p.shape) for name, p in net.parameters_and_names()}
    dense = dense_network(net, width, fold=False)
    with tempfile.TemporaryDirectory() as folder:
        made = onnx.load(str(export_any_size(dense, Path(folder) / "graph")))
    with _explained("its averages cannot be shared"):
        means = share_means(made)
    for tensor in made.graph.initializer:
        if tensor.name in shapes:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    facts = {"model": dict(model), "width": width, "shapes": shapes, "means": means}
    made.metadata_props.add(key=META_KEY, value=json.dumps(facts, sort_keys=True))
    return made.SerializeToString()


def export_any_size(dense, stem: Path) -> Path:
    """Write a dense network as ONNX of any height, width and batch to `stem`.onnx; its path.

    Raises WorkError where MindSpore cannot export it, or the graph depends on the size, and OSError
    where it cannot be written.
    """
    import mindspore as ms

    example = ms.Tensor(np.zeros((1, 3, *_EXAMPLE), np.float32))
    path = export_example(dense, example, stem, "ONNX")
    onnx = import_onnx()
    model = onnx.load(str(path))
    with _explained("its size cannot be freed"):
        free_sizes(model)
    path.chmod(0o644)
    onnx.save(model, str(path))
    return path


@contextlib.contextmanager
def _explained(what: str):
    """Rewriting meets graphs that nobody has thought of: any error is the graph's."""
    try:
        yield
    except CSDError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise WorkError(f"{what}: {type(error).__name__} {reason}") from error


def export_example(dense, example, stem: Path, file_format: str) -> Path:
    """Let MindSpore export for an example input to `stem` plus the format's suffix; that path.

    Raises WorkError where it cannot, and OSError where the file cannot be written.
    """
    import mindspore as ms

    try:
        ms.export(dense, example, file_name=str(stem), file_format=file_format)
    except OSError:
        raise
    except Exception as error:  # of any type: the network's own code runs in it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WorkError(f"MindSpore could not export {file_format}: {reason}") from error
    made = stem.with_name(f"{stem.name}.{file_format.lower()}")
    if not made.is_file():
        raise WorkError(f"MindSpore wrote no {made.name}; see its messages above")
    return made


def with_shared_means(path: Path) -> tuple[bytes, tuple[int, int] | None]:
    """An exported ONNX file with `share_means` done to it, and (K, m) or None."""
    model = import_onnx().load(str(path))
    means = share_means(model)
    return model.SerializeToString(), means
