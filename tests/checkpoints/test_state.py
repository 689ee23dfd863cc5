"""Parameters into a network and out of it, with the names of the paper's code."""

import numpy as np
import pytest

from csd.checkpoints import load_csd_state, network_state
from csd.checkpoints.state import mean_shift_state
from csd.errors import InputError
from csd.nets import create_model


@pytest.fixture
def edsr(reference, mindspore_cpu):
    archive = np.load(reference / "edsr_x2.npz")
    state = {n.removeprefix("param/"): archive[n] for n in archive.files if n.startswith("param/")}
    return create_model("edsr", scale=2, n_feats=16, n_resblocks=2, res_scale=0.1), state, archive


@pytest.mark.parametrize("prefix", ["", "module."])
def test_reference_weights_give_the_reference_output(edsr, prefix):
    from mindspore import Tensor

    net, state, archive = edsr
    load_csd_state(net, {prefix + name: value for name, value in state.items()})
    found = net(Tensor(archive["input"])).asnumpy()
    assert np.abs(found - archive["output_1"]).max() < 1e-3


def test_state_comes_back_bit_exact_also_as_part_of_another_cell(edsr):
    from mindspore import nn

    net, state, _ = edsr
    load_csd_state(net, state)

    class Outer(nn.Cell):
        def __init__(self):
            super().__init__()
            self.inner = net

    Outer()
    found = network_state(net)
    assert set(state) - set(found) == set(mean_shift_state())
    assert all(found[name].tobytes() == state[name].tobytes() for name in found)


def test_mean_shift_constants_are_the_papers_bit_exact(edsr):
    _, state, _ = edsr
    for name, value in mean_shift_state().items():
        assert value.tobytes() == state[name].tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.bias"), r"'head\.bias' of shape \(16,\) is expected and missing"),
        (lambda s: s.update(extra=np.ones(3)), r"'extra' of shape \(3,\) is not expected"),
        (
            lambda s: s.update({"head.weight": s["head.weight"][:8]}),
            r"'head\.weight' should have shape \(16, 3, 3, 3\), found \(8, 3, 3, 3\)",
        ),
        (
            lambda s: s.update({"head.bias": np.ones(16, int)}),
            r"'head\.bias' should be float, found int64",
        ),
        (lambda s: s.update({"head.bias": np.full(16, np.nan)}), r"'head\.bias'.*finite"),
        (
            lambda s: s.update({"sub_mean.bias": s["sub_mean.bias"] / 255}),
            r"'sub_mean\.bias' should be \[-114\.4",
        ),
        (lambda s: s.update({"add_mean.weight": np.zeros((3, 3, 1, 1))}), r"'add_mean\.weight'"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(edsr, change, message):
    net, state, _ = edsr
    before = network_state(net)
    change(state)
    with pytest.raises(InputError, match=message):
        load_csd_state(net, state)
    after = network_state(net)
    assert all(np.array_equal(before[name], after[name]) for name in before)
