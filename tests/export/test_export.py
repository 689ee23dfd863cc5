"""Exported files compute what the paper's code computes, with no operator but those listed."""

import numpy as np
import pytest

from csd.errors import InputError, WorkError
from csd.export import exporter as export
from csd.export.exporter import export_network
from csd.export.verify import open_file, operators

COMMON = {"Conv2D", "BiasAdd", "ReLU", "Add", "Reshape", "Transpose"}
ATTENTION = {"ReduceMean", "Sigmoid", "Mul"}
EXTRA = {"edsr": set(), "rcan": ATTENTION, "carn": {"Concat"}}
# A dynamic graph also computes the shapes that its pixel shuffle reshapes to.
SHAPES = {"Shape", "TupleGetItem", "ScalarMul"}
ONNX = {"Conv2D": "Conv", "ReLU": "Relu"}

LABELS = [f"{name}_x{scale}" for name in ("edsr", "rcan", "carn") for scale in (2, 3, 4)]
CASES = [pytest.param(label, width) for label in LABELS for width in (1.0, 0.25)]
CASES += [pytest.param(label, 0.5, marks=pytest.mark.nightly) for label in LABELS]


@pytest.mark.slow
@pytest.mark.parametrize(("label", "width"), CASES)
def test_files_agree_with_the_reference(reference_net, tmp_path, label, width):
    net, image, outputs = reference_net(label)
    image, wanted = image[:1], outputs[width][:1]
    allowed = COMMON | EXTRA[net.name]
    size = [image.shape[2:]]
    found = {}
    for file_format, sizes in (("MINDIR", size), ("MINDIR", None), ("ONNX", size)):
        (made,) = export_network(net, width, tmp_path, file_format=file_format, sizes=sizes)
        assert made.difference <= 1e-3  # from the checkpoint's own network
        if file_format == "ONNX":  # once is enough, and a MINDIR would be compiled again
            np.testing.assert_allclose(open_file(made.path)(image), wanted, atol=1e-3)
        found[made.path.suffix, made.size] = made.path
    fixed, dynamic, onnx_file = found.values()
    assert set(operators(fixed)) == allowed
    assert set(operators(dynamic)) == allowed | SHAPES

    import onnx

    nodes = {node.op_type for node in onnx.load(onnx_file).graph.node} - {"Constant"}
    assert nodes == {ONNX.get(name, name) for name in allowed - {"BiasAdd"}}


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_msrresnet_and_its_interpolation(mindspore_cpu, tmp_path, scale):
    import mindspore as ms

    from csd.nets import create_model

    net = create_model("msrresnet", scale=scale, n_feats=8, n_resblocks=1)
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 9, 12)).astype(np.float32)
    wanted = net(ms.Tensor(image), 0.5).asnumpy()
    for file_format, sizes in (("MINDIR", [(9, 12)]), ("MINDIR", None), ("ONNX", [(9, 12)])):
        (made,) = export_network(net, 0.5, tmp_path, file_format=file_format, sizes=sizes)
        assert made.difference <= 1e-3
        np.testing.assert_allclose(open_file(made.path)(image), wanted, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_a_dynamic_onnx_file_takes_any_size_and_batch(reference_net, tmp_path, label):
    """In ONNX Runtime and in OpenVINO; one export, no operator that knows a size."""
    import mindspore as ms
    import onnx

    from csd.inference.engines import compile_graph

    net, image, outputs = reference_net(label)
    (made,) = export_network(net, 0.25, tmp_path, file_format="ONNX")
    assert made.path.name == f"{label}_w0.25_dynamic.onnx" and made.difference <= 1e-3
    graph = onnx.load(made.path).graph
    nodes = {node.op_type for node in graph.node}
    assert nodes - {"Concat", "ReduceMean", "Sigmoid", "Mul"} == {
        "Conv", "Relu", "Add", "DepthToSpace",
    }  # fmt: skip
    assert [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [
        "batch", 3, "height", "width",
    ]  # fmt: skip
    for engine in ("onnxruntime", "openvino"):
        run = compile_graph(engine, made.path)
        np.testing.assert_allclose(run({"x": image})[0], outputs[0.25], atol=1e-3)
        for shape in ((1, 3, 1, 1), (2, 3, 19, 8), (1, 3, 40, 33)):
            x = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
            wanted = net(ms.Tensor(x), 0.25).asnumpy()
            np.testing.assert_allclose(run({"x": x})[0], wanted, atol=1e-3)


def test_dynamic_file_takes_other_sizes(reference_net, tmp_path):
    net, _, _ = reference_net("edsr_x2")
    (made,) = export_network(net, 0.25, tmp_path)
    for height, width in ((1, 1), (7, 30)):
        image = np.full((1, 3, height, width), 128.0, np.float32)
        assert open_file(made.path)(image).shape == (1, 3, 2 * height, 2 * width)


@pytest.mark.parametrize("label", ["edsr_x2", "rcan_x3", "carn_x2"])
@pytest.mark.parametrize("sizes", [None, [(9, 12)]])
def test_files_take_other_batches(reference_net, tmp_path, label, sizes):
    import mindspore as ms

    net, _, _ = reference_net(label)
    (made,) = export_network(net, 0.25, tmp_path, sizes=sizes)
    images = np.random.default_rng(0).uniform(0, 255, (3, 3, 9, 12)).astype(np.float32)
    wanted = net(ms.Tensor(images), 0.25).asnumpy()
    np.testing.assert_allclose(open_file(made.path)(images), wanted, atol=1e-3)


def test_several_sizes_in_one_call(reference_net, tmp_path):
    net, _, _ = reference_net("edsr_x2")
    made = export_network(net, 0.25, tmp_path, sizes=[(8, 12), (16, 8)])
    assert [item.size for item in made] == ["8x12", "16x8"]
    names = sorted(path.name for path in tmp_path.iterdir())
    stems = ("edsr_x2_w0.25_16x8.mindir", "edsr_x2_w0.25_8x12.mindir")
    assert names == sorted([*stems, *(f"{stem}.json" for stem in stems)])


def test_a_file_that_differs_is_removed(reference_net, tmp_path, monkeypatch):
    import mindspore as ms

    real = export.dense_network

    def wrong(net, width):
        dense = real(net, width)
        bias = dense.tail_conv.bias
        bias.set_data(ms.Tensor(bias.asnumpy() + 0.01))
        return dense

    monkeypatch.setattr(export, "dense_network", wrong)
    net, _, _ = reference_net("edsr_x2")
    with pytest.raises(WorkError, match=r"differs from the checkpoint by 0\.01"):
        export_network(net, 0.25, tmp_path / "out", sizes=[(8, 8)])
    assert list((tmp_path / "out").iterdir()) == []


def test_an_earlier_file_survives_a_failure(reference_net, tmp_path, monkeypatch):
    net, _, _ = reference_net("edsr_x2")
    (made,) = export_network(net, 0.25, tmp_path, sizes=[(8, 8)])
    before = made.path.read_bytes()
    monkeypatch.setattr(export, "largest_difference", lambda *_: float("nan"))
    with pytest.raises(WorkError, match="differs"):
        export_network(net, 0.25, tmp_path, sizes=[(8, 8)])
    assert made.path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"file_format": "AIR", "sizes": [(8, 8)]}, "Ascend"),
        ({"file_format": "TFLITE"}, "MINDIR, AIR, ONNX"),
    ],
)
def test_what_cannot_be_had(reference_net, tmp_path, options, sentence):
    net, _, _ = reference_net("edsr_x2")
    with pytest.raises(InputError, match=sentence):
        export_network(net, 0.25, tmp_path, **options)


def test_onnx_without_its_runtime(reference_net, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    net, _, _ = reference_net("edsr_x2")
    with pytest.raises(InputError, match="pip install onnxruntime"):
        export_network(net, 0.25, tmp_path, file_format="ONNX", sizes=[(8, 8)])
    assert list(tmp_path.iterdir()) == []
