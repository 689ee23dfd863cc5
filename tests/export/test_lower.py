"""MINDIR version 3 -> 1."""

import pytest
from mindspore.train.mind_ir_pb2 import ModelProto

from csd.errors import InputError, WorkError
from csd.export.exporter import export_network
from csd.export.lower import lower_mindir


def parse(path):
    model = ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


@pytest.mark.parametrize("label", ["edsr_x2", "rcan_x2", "carn_x2"])
def test_primitives_are_the_old_ones(reference_net, tmp_path, label):
    net, _, _ = reference_net(label)
    (made,) = export_network(net, 0.25, tmp_path, sizes=[(8, 8)])
    target = tmp_path / "lowered"
    lower_mindir(made.path, target)
    assert parse(made.path).mind_ir_version == 3
    model = parse(target)
    assert model.mind_ir_version == 1
    assert {primitive.prim_type for primitive in model.primitives} == {1}
    attributes = {p.op_type: {a.name: a for a in p.attribute} for p in model.primitives}
    inputs = {}
    kinds = {"REF::" + p.name: p.op_type for p in model.primitives}
    for node in model.graph.node:
        inputs.setdefault(kinds.get(node.op_type), set()).add(len(node.input))
    assert attributes["BiasAdd"]["format"].s == b"NCHW" and inputs["BiasAdd"] == {2}
    if net.name == "carn":
        assert attributes["Concat"]["axis"].i == 1 and inputs["Concat"] == {1}
    if net.name == "rcan":
        assert attributes["ReduceMean"]["keep_dims"].i == 1 and inputs["ReduceMean"] == {2}


def test_dynamic_is_refused(reference_net, tmp_path):
    net, _, _ = reference_net("edsr_x2")
    (made,) = export_network(net, 0.25, tmp_path)
    with pytest.raises(InputError, match="dynamic size"):
        lower_mindir(made.path, tmp_path / "lowered")
    assert not (tmp_path / "lowered").exists()


def test_what_is_not_a_mindir(tmp_path):
    text = tmp_path / "text.mindir"
    for content in (b"", b"not a model", b"\x00" * 100):
        text.write_bytes(content)
        with pytest.raises(InputError, match="not a MINDIR"):
            lower_mindir(text, tmp_path / "lowered")
    with pytest.raises(InputError, match="does not exist"):
        lower_mindir(tmp_path / "none.mindir", tmp_path / "lowered")


def test_unknown_operators_and_unwritable_targets(reference_net, tmp_path):
    net, _, _ = reference_net("edsr_x2")
    (made,) = export_network(net, 0.25, tmp_path, sizes=[(8, 8)])
    with pytest.raises(WorkError, match="cannot write"):
        lower_mindir(made.path, tmp_path / "no" / "lowered")
    model = parse(made.path)
    model.primitives[-1].op_type = "Muls"
    strange = tmp_path / "strange.mindir"
    strange.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="Muls"):
        lower_mindir(strange, tmp_path / "lowered")
