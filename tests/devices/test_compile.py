"""Every training step compiles with the branches of Ascend and of GPU. No kernel of these runs.

The code asks `csd.ops.device` which device it builds for; here it is answered Ascend or GPU, and
the framework's front end derives, differentiates and simplifies the graph and infers every type.
"""

import itertools

import pytest
from devices.graphs import BACKBONES, LEVELS, METHODS, OPTIONS, batch, count, create_step
from mindspore import ops

from benchmarks.graph import FLOAT16, FLOAT32, compile_graph

# Every method and every level, each backbone at the default level, each option.
ALWAYS = {
    ("teacher", "edsr", "auto", "plain"),
    ("teacher", "rcan", "auto", "plain"),
    ("teacher", "carn", "auto", "plain"),
    ("teacher", "msrresnet", "auto", "plain"),
    ("student", "edsr", "O0", "dynamic"),
    ("joint", "edsr", "O2", "clipping"),
    ("csd", "edsr", "O0", "plain"),
    ("csd", "edsr", "auto", "dynamic"),
    ("csd", "edsr", "O2", "plain"),
    ("csd", "edsr", "O3", "clipping"),
    ("joint", "rcan", "O2", "dynamic"),
    ("csd", "edsr", "auto", "cropped"),
    ("csd", "rcan", "auto", "dynamic"),
    ("csd", "carn", "auto", "plain"),
    ("joint", "carn", "auto", "dynamic"),
}
CASES = list(itertools.product(METHODS, BACKBONES, LEVELS, OPTIONS))
DEVICES = ("Ascend", "GPU")


def _parameters():
    for device, case in itertools.product(DEVICES, CASES):
        if case[3] == "cropped" and case[0] != "csd":
            continue
        # Each device has half of what runs always; the graphs differ in the finite check alone.
        often = case in ALWAYS and (device == "Ascend") == (case[3] != "plain")
        marks = [pytest.mark.slow] if often else [pytest.mark.nightly]
        yield pytest.param(device, *case, marks=marks, id="-".join((device, *case)))


@pytest.mark.parametrize(("device", "method", "backbone", "level", "option"), list(_parameters()))
def test_compiles(device, method, backbone, level, option, pretend, record_property):
    pretend(device)
    nodes = compile_graph(create_step(method, backbone, level, option), *batch(method, option))
    names = count(nodes)
    assert names["Adam"] > 0 and names["Conv2D"] > 0
    assert not {"Cdist", "CdistGrad", "Custom"} & set(names)  # the portable loss, not the CPU's
    assert names["Switch"] == 0  # no branch on what the device computes
    assert names["Col2Im"] == 0  # the CPU's pixel shuffle
    # MSRResNet's interpolation has fixed kernels and is no layer.
    fixed = {node.output for node in nodes if node.primitive == "Constant"}
    convolved = {
        kind
        for node in nodes
        if node.primitive == "Conv2D" and node.inputs[1] not in fixed
        for kind, _ in node.outputs
    }
    assert convolved == {FLOAT32 if level == "O0" else FLOAT16}
    _assert_float32(nodes)
    record_property("compiled", (method, backbone, level, f"{device} ({option})"))


def _assert_float32(nodes):
    """Sums, quotients and the update are float32 at every level."""
    for node in nodes:
        if node.primitive in ("ReduceSum", "ReduceMean", "RealDiv", "Div", "Adam", "SumExt"):
            kinds = {kind for kind, _ in node.outputs}
            assert FLOAT16 not in kinds, node


def _bias_in_its_own_precision(x, bias):
    return ops.bias_add(x, bias)


@pytest.mark.slow
def test_a_bias_read_past_its_cast_does_not_compile(pretend, monkeypatch):
    """A float32 bias beside float16 is what the encoder once had at O2 and O3."""
    from csd.nets import vgg

    pretend("GPU")
    monkeypatch.setattr(vgg, "add_bias", _bias_in_its_own_precision)
    with pytest.raises(TypeError, match="BiasAdd"):
        compile_graph(create_step("csd", "edsr", "O2"), *batch("csd"))


@pytest.mark.slow
def test_a_branch_is_seen(pretend):
    """What `test_compiles` forbids is there in the form for the CPU."""
    pretend("GPU")
    step = create_step("teacher", "edsr", "O0")
    step.branches = True
    assert count(compile_graph(step, *batch("teacher")))["Switch"] > 0
