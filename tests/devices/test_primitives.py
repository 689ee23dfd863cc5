"""Every operator of a training step is one that Ascend and GPU are known to have.

Known from the framework's own documentation, or from `REVIEWED`, which names a source for each of
the others. A new operator that is in neither fails here, by its name.
"""

import inspect
import re

import pytest
from devices.graphs import batch, count, create_step

from benchmarks.graph import compile_graph

# Why an operator without documented platforms is there on both.
STRUCTURE = "of the graph itself: order, tuples and parameters; no kernel"
EXPANDED = "the framework's operator of a tensor and a number; expands to the documented "
GRADIENT = "the framework's own gradient of the documented "
REVIEWED = {
    "Depend": STRUCTURE,
    "Load": STRUCTURE,
    "MakeTuple": STRUCTURE,
    "TupleGetItem": STRUCTURE,
    "UpdateState": STRUCTURE,
    "TensorMove": "a copy; registered by both plug-ins of the 2.8.0 wheel",
    "Muls": EXPANDED + "Mul",
    "BiasAddGrad": GRADIENT + "BiasAdd",
    "Conv2DBackpropFilter": GRADIENT + "Conv2D",
    "Conv2DBackpropInput": GRADIENT + "Conv2D",
    "MaxPoolGrad": GRADIENT + "MaxPool",
    "ReluGrad": GRADIENT + "ReLU",
    "SigmoidGrad": GRADIENT + "Sigmoid",
    "SplitWithSize": GRADIENT + "Concat",
    "StridedSliceGrad": GRADIENT + "StridedSlice",
    "SumExt": GRADIENT + "Mul of tensors of different shapes",
    "RemainderTensorScalar": "of mindspore.amp.DynamicLossScaler, documented for both",
}
PLATFORMS = re.compile(r"Supported Platforms:\s*\n\s*(.*)")
STEPS = [
    ("Ascend", "csd", "edsr", "auto", "dynamic"),
    ("GPU", "csd", "rcan", "O2", "dynamic"),
    ("Ascend", "joint", "carn", "O3", "clipping"),
]


def documented(primitive: str) -> str:
    """What the framework's documentation says of the platforms of a primitive, or nothing."""
    from mindspore import ops
    from mindspore.ops import auto_generate, operations

    for module in (operations, auto_generate):
        text = inspect.getdoc(getattr(module, primitive, None)) or ""
        referred = re.findall(r"mindspore\.ops\.(?:operations\.)?(\w+)", text)
        for source in (
            text,
            *(inspect.getdoc(getattr(ops, name, None)) or "" for name in referred),
        ):
            if found := PLATFORMS.search(source):
                return found.group(1)
    return ""


def unknown(primitives) -> list[str]:
    """Those that are neither documented for both devices nor reviewed."""
    known = (("Ascend" in (where := documented(name)) and "GPU" in where) for name in primitives)
    return [n for n, yes in zip(primitives, known, strict=True) if not yes and n not in REVIEWED]


def test_an_operator_of_neither_list_is_named(mindspore_cpu):
    assert unknown(["Conv2D", "TensorMove", "NoSuchOperator"]) == ["NoSuchOperator"]


@pytest.mark.slow
@pytest.mark.parametrize("case", STEPS, ids="-".join)
def test_primitives(case, pretend):
    device, method, backbone, level, option = case
    pretend(device)
    nodes = compile_graph(create_step(method, backbone, level, option), *batch(method))
    assert unknown(sorted(count(nodes))) == []
