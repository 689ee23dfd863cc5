"""Checkpoints of BasicSR, mmagic, CARN's authors and MindSpore's own callback, however wrapped."""

import numpy as np
import pytest

from csd.checkpoints import load_network
from csd.errors import InputError

pytestmark = pytest.mark.usefixtures("mindspore_cpu")
torch = pytest.importorskip("torch")


def difference(net, module, image):
    from mindspore import Tensor

    with torch.no_grad():
        wanted = module(torch.from_numpy(image)).numpy()
    assert wanted.std() > 1
    return np.abs(net(Tensor(image)).asnumpy() - wanted).max()


@pytest.mark.parametrize(
    ("program", "scale"),
    [("BasicSR", 2), ("BasicSR", 3), ("BasicSR", 4), ("mmagic", 3), ("mmagic", 4)],
)
def test_edsr(tmp_path, authors, image, program, scale):
    module = authors.edsr(blocks=3, scale=scale, res_scale=0.1, program=program)
    wrapped = {
        "BasicSR": {"params": module.state_dict()},
        "mmagic": {
            "meta": {"epoch": 3},
            "state_dict": {f"generator.{k}": v for k, v in module.state_dict().items()},
        },
    }[program]
    torch.save(wrapped, tmp_path / "x.pth")
    net, meta = load_network(tmp_path / "x.pth", res_scale=0.1)
    assert meta["model"] == {
        **{"name": "edsr", "scale": scale, "n_feats": 8, "n_resblocks": 3, "res_scale": 0.1}
    }
    assert difference(net, module, image) < 1e-3


def test_rcan_of_basicsr_prefers_the_averaged_weights(tmp_path, authors, image):
    module, newest = authors.rcan(program="BasicSR"), authors.rcan(program="BasicSR")
    content = {"params": newest.state_dict(), "params_ema": module.state_dict()}
    torch.save(content, tmp_path / "x.pth")
    net, meta = load_network(tmp_path / "x.pth")
    assert (meta["model"]["n_resgroups"], meta["model"]["n_resblocks"]) == (2, 3)
    assert difference(net, module, image) < 1e-3
    assert difference(net, newest, image) > 1


@pytest.mark.parametrize("scale", [3, 4])
def test_carn_of_its_authors(tmp_path, authors, image, scale):
    module = authors.carn(scale=scale)
    torch.save(module.state_dict(), tmp_path / "carn.pth")
    net, meta = load_network(tmp_path / "carn.pth")
    assert meta["model"] == {"name": "carn", "scale": scale, "n_feats": 8, "outer_relu": True}
    assert difference(net, module, image) < 1e-3


def test_carn_of_three_scales_has_to_be_given_one(tmp_path, authors, image):
    module = authors.carn(scale=4, up="up4")
    state = {**authors.carn(scale=2, up="up2").state_dict(), **module.state_dict()}
    torch.save(state, tmp_path / "carn.pth")
    with pytest.raises(InputError, match=r"for the scales 2, 4; write one of them: .*--scale 4"):
        load_network(tmp_path / "carn.pth")
    net, _ = load_network(tmp_path / "carn.pth", scale=4)
    assert difference(net, module, image) < 1e-3


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "model.",
        "net.",
        "_orig_mod.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "network.",
    ],
)
def test_prefixes(tmp_path, authors, image, prefix):
    module = authors.edsr()
    state = {prefix + name: value for name, value in module.state_dict().items()}
    # What else a training program keeps beside its network.
    state["loss.vgg.0.weight"] = torch.ones(4, 3, 3, 3)
    state["step_counter"] = torch.tensor([7])
    torch.save({"state_dict": state, "epoch": 4}, tmp_path / "x.pth")
    net, _ = load_network(tmp_path / "x.pth", res_scale=1.0)
    assert difference(net, module, image) < 1e-3


def test_a_tensor_that_is_not_expected_is_named_inside_the_prefix(tmp_path, authors):
    state = {f"module.{name}": value for name, value in authors.edsr().state_dict().items()}
    state["module.body.0.body.4.weight"] = state["module.body.2.weight"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"'body\.0\.body\.4\.weight' .* is not expected in EDSR"):
        load_network(tmp_path / "x.pth", res_scale=1.0)


def wrapped(net, attribute):
    """A cell as users write it, which holds the network under some name; or the network itself."""
    from mindspore import nn

    class Train(nn.Cell):
        def __init__(self):
            super().__init__()
            setattr(self, attribute, net)

    return Train() if attribute else net


@pytest.mark.parametrize("attribute", ["", "network", "_backbone"])
@pytest.mark.parametrize("optimizer", ["Adam", "Momentum"])
def test_mindspores_own_checkpoints(tmp_path, image, attribute, optimizer):
    """Optimizer moments beside the weights, and what `ModelCheckpoint` appends."""
    import mindspore as ms
    from mindspore import nn

    from csd.checkpoints import network_state
    from csd.nets import create_model

    net = create_model("edsr", scale=2, n_feats=8, n_resblocks=1, res_scale=0.1)
    cell = wrapped(net, attribute)
    weights = cell.trainable_params()
    if optimizer == "Adam":
        made = nn.Adam(weights, learning_rate=[1e-3, 1e-4, 1e-5])
    else:
        made = nn.Momentum(weights, 1e-3, 0.9)
    step = nn.TrainOneStepCell(cell, made)
    path = str(tmp_path / "edsr-1_5.ckpt")
    ms.save_checkpoint(step, path, append_dict={"epoch_num": 1, "step_num": 5})
    stored = set(ms.load_checkpoint(path))
    assert any(name.startswith(("moment1.", "moments.")) for name in stored)
    assert {"epoch_num", "step_num"} <= stored
    found, meta = load_network(path, res_scale=0.1)
    assert meta["model"]["n_resblocks"] == 1
    own, loaded = network_state(net), network_state(found)
    assert all(own[name].tobytes() == loaded[name].tobytes() for name in own)
    np.testing.assert_array_equal(
        found(ms.Tensor(image)).asnumpy(), net(ms.Tensor(image)).asnumpy()
    )


@pytest.mark.parametrize("legacy", [False, True])
def test_numpy_scalars_are_read(tmp_path, authors, image, legacy):
    module = authors.edsr()
    content = {"state_dict": module.state_dict(), "best_psnr": np.float64(31.5)}
    content |= {"epoch": np.int64(3), "lr": np.float32(1e-4), "done": np.bool_(True)}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    net, _ = load_network(tmp_path / "x.pth", res_scale=1.0)
    assert difference(net, module, image) < 1e-3


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def test_numpy_objects_and_arrays_are_not(tmp_path):
    from csd.checkpoints.files import read_tensors

    victim = tmp_path / "victim"
    for value in (
        np.array([Evil(victim)], object),
        np.array([1.0, 2.0]),
        np.datetime64("2026-01-01"),
    ):
        torch.save({"a": torch.ones(2), "b": value}, tmp_path / "x.pth")
        with pytest.raises(InputError, match=r"x\.pth holds Python objects.*refused"):
            read_tensors(tmp_path / "x.pth")
    assert not victim.exists()


def test_our_own_files_are_believed_not_recognised(tmp_path, mindspore_cpu):
    """Also where their tensors look like another program's, or like nothing that is known."""
    from csd.checkpoints import network_state, save_checkpoint
    from csd.nets import create_model

    net = create_model("carn", scale=2, n_feats=4)
    save_checkpoint(tmp_path / "a.ckpt", network_state(net), {"model": net.describe()})
    found, meta = load_network(tmp_path / "a.ckpt")
    assert found.describe() == net.describe() == meta["model"]
    save_checkpoint(
        tmp_path / "b.ckpt", network_state(net), {"model": {"name": "srcnn", "scale": 2}}
    )
    with pytest.raises(
        InputError, match=r"b\.ckpt says it holds .*srcnn.*; the networks here are edsr"
    ):
        load_network(tmp_path / "b.ckpt")
    state = network_state(create_model("edsr", scale=2, n_feats=4, n_resblocks=1))
    save_checkpoint(tmp_path / "c.ckpt", state, {"model": net.describe()})
    with pytest.raises(
        InputError, match=r"c\.ckpt: tensor 'entry\.weight'.* is expected and missing"
    ):
        load_network(tmp_path / "c.ckpt")
