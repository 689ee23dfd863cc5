"""What depends on the size in an exported ONNX graph is found, and computed from the input."""

import numpy as np
import onnxruntime
import pytest

from csd.errors import WorkError
from csd.export.graph import _EXAMPLE, free_sizes, import_onnx, share_means

onnx = import_onnx()  # in a form beside which MindSpore can be imported
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
HEIGHT, WIDTH = _EXAMPLE


def model_of(nodes, constants=(), out=(1, 3, HEIGHT, WIDTH)):
    """An ONNX model with input `x` and output `y`, as MindSpore exports it for the example."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", (1, 3, HEIGHT, WIDTH)), ("y", out))
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=4)


def run(model, **inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, inputs)


def image(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def constant(name, values):
    tensor = numpy_helper.from_array(np.array(values, np.int64))
    return helper.make_node("Constant", [], [name], value=tensor)


def test_shapes_of_reshapes_are_computed():
    """Rows doubled by reshapes: nearest-neighbour enlargement in one direction."""
    nodes = [
        constant("rows", [-1, 3, HEIGHT, 1, WIDTH]),
        helper.make_node("Reshape", ["x", "rows"], ["a"]),
        helper.make_node("Concat", ["a", "a"], ["b"], axis=3),
        helper.make_node("Reshape", ["b", "flat"], ["y"]),
    ]
    flat = ("flat", np.array([-1, 3, 2 * HEIGHT, WIDTH], np.int64))
    model = model_of(nodes, [flat], (1, 3, 2 * HEIGHT, WIDTH))
    free_sizes(model)
    for shape in ((1, 3, 5, 8), (2, 3, 1, 3)):
        x = image(*shape)
        np.testing.assert_array_equal(run(model, x=x)[0], x.repeat(2, axis=2))


def test_a_pixel_shuffle_is_one_operator():
    shapes = [[-1, 3, 2, 2, HEIGHT, WIDTH], [-1, 3, 2 * HEIGHT, 2 * WIDTH]]
    nodes = [
        helper.make_node("Concat", ["x"] * 4, ["wide"], axis=1),
        constant("first", shapes[0]),
        helper.make_node("Reshape", ["wide", "first"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 1, 4, 2, 5, 3]),
        constant("last", shapes[1]),
        helper.make_node("Reshape", ["b", "last"], ["y"]),
    ]
    model = model_of(nodes, out=(1, 3, 2 * HEIGHT, 2 * WIDTH))
    free_sizes(model)
    assert [node.op_type for node in model.graph.node] == ["Concat", "DepthToSpace"]
    x = image(1, 3, 4, 6)
    wide = np.concatenate([x] * 4, axis=1).reshape(1, 3, 2, 2, 4, 6)
    wanted = wide.transpose(0, 1, 4, 2, 5, 3).reshape(1, 3, 8, 12)
    np.testing.assert_array_equal(run(model, x=x)[0], wanted)


def test_a_value_for_every_pixel_is_refused():
    plane = ("plane", np.zeros((1, 1, HEIGHT, WIDTH), np.float32))
    model = model_of([helper.make_node("Add", ["x", "plane"], ["y"])], [plane])
    with pytest.raises(WorkError, match="plane has a value for every pixel"):
        free_sizes(model)


def test_means_become_inputs_and_outputs():
    """y = x + w * mean(x), once more: two means, each given or own."""
    kernel = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    nodes = []
    for i, (before, after) in enumerate((("x", "a"), ("a", "y"))):
        nodes += [
            helper.make_node("ReduceMean", [before], [f"m{i}"], axes=[2, 3], keepdims=1),
            helper.make_node("Conv", [f"m{i}", "w"], [f"c{i}"]),
            helper.make_node("Add", [before, f"c{i}"], [after]),
        ]
    model = model_of(nodes, [("w", kernel)])
    free_sizes(model)
    assert share_means(model) == (2, 3)
    onnx.checker.check_model(model)
    x, given = image(2, 3, 4, 5), image(2, 1, 3, 1, 1)
    own = x.mean((2, 3), keepdims=True)
    y, means = run(model, x=x, given=given, trust=np.array(0, np.float32))
    np.testing.assert_allclose(means, np.stack([own, 2 * own]), rtol=1e-5)
    np.testing.assert_allclose(y, x + 3 * own, rtol=1e-5)
    y, _ = run(model, x=x, given=given, trust=np.array(1, np.float32))
    np.testing.assert_allclose(y, x + given[0] + given[1], rtol=1e-5)


def test_a_graph_without_means_stays_as_it_is():
    model = model_of([helper.make_node("Relu", ["x"], ["y"])])
    before = model.SerializeToString()
    assert share_means(model) is None and model.SerializeToString() == before
