"""Networks in their authors' layouts: recognised, converted, equal to PyTorch, and back again."""

import numpy as np
import pytest

from csd.checkpoints import load_network, network_state
from csd.checkpoints.convert import convert
from csd.checkpoints.files import read_tensors
from csd.checkpoints.layouts import recognise, to_our_names, to_their_name
from csd.errors import InputError

pytestmark = pytest.mark.usefixtures("mindspore_cpu")


def outputs(net, module, image):
    import torch
    from mindspore import Tensor

    with torch.no_grad():
        wanted = module(torch.from_numpy(image)).numpy()
    return net(Tensor(image)).asnumpy(), wanted


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("res_scale", [1.0, 0.1])
def test_edsr_pytorch(tmp_path, authors, image, scale, res_scale):
    import torch

    module = authors.edsr(scale=scale, res_scale=res_scale, blocks=3)
    source, ckpt, back = (tmp_path / name for name in ("edsr.pt", "edsr.ckpt", "back.pth"))
    torch.save(module.state_dict(), source)
    convert(source, ckpt, res_scale=res_scale)
    net, meta = load_network(ckpt)
    assert meta["model"] == {
        **{"name": "edsr", "scale": scale, "n_feats": 8, "n_resblocks": 3},
        "res_scale": res_scale,
    }
    found, wanted = outputs(net, module, image)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-3
    convert(ckpt, back)
    saved = torch.load(back, weights_only=True)["model_state_dict"]
    assert all(name.startswith("module.") for name in saved)
    _, layout, tensors = recognise(read_tensors(source).tensors)
    assert layout.label == "EDSR (EDSR-PyTorch)"
    original = to_our_names(layout, tensors, {}, "x")
    assert {name.removeprefix("module.") for name in saved} == set(original)
    for name, value in saved.items():
        assert value.numpy().tobytes() == original[name.removeprefix("module.")].tobytes()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rcan_pytorch(tmp_path, authors, image, scale):
    import torch

    module = authors.rcan(scale=scale, groups=2, blocks=3, reduction=4)
    source, back = tmp_path / "rcan.pt", tmp_path / "back.pth"
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, source)
    net, meta = load_network(source)
    assert meta["model"] == {
        **{"name": "rcan", "scale": scale, "n_feats": 8, "n_resgroups": 2, "n_resblocks": 3},
        **{"reduction": 4, "n_squeezed": 2},
    }
    found, wanted = outputs(net, module, image)
    assert np.abs(found - wanted).max() < 1e-3
    convert(source, back)
    again, _ = load_network(back)
    before, after = network_state(net), network_state(again)
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


@pytest.mark.parametrize("name", ["edsr_x4", "rcan_x3", "carn_x2"])
def test_csd_pth_there_and_back_bit_exact(tmp_path, reference, name):
    import torch
    from mindspore import Tensor

    archive = np.load(reference / f"{name}.npz")
    state = {n.removeprefix("param/"): archive[n] for n in archive.files if n.startswith("param/")}
    source, back = tmp_path / "csd.pth", tmp_path / "back.pth"
    tensors = {f"module.{n}": torch.from_numpy(v) for n, v in state.items()}
    torch.save({"epoch": 1, "model_state_dict": tensors, "best_psnr": 31.2}, source)
    res_scale = 0.1 if name.startswith("edsr") else None
    convert(source, back, res_scale=res_scale, widths=[1.0, 0.5])
    saved = torch.load(back, weights_only=True)["model_state_dict"]
    assert {n: v.numpy().tobytes() for n, v in saved.items()} == {
        f"module.{n}": v.tobytes() for n, v in state.items()
    }
    net, meta = load_network(back)  # our metadata: no --res_scale needed any more
    assert meta["widths"] == [1.0, 0.5]
    found = net(Tensor(archive["input"])).asnumpy()
    assert np.abs(found - archive["output_1"]).max() < 1e-3


def test_dense_student_as_safetensors(tmp_path, reference):
    from mindspore import Tensor
    from safetensors import safe_open

    archive = np.load(reference / "edsr_x2.npz")
    state = {n.removeprefix("param/"): archive[n] for n in archive.files if n.startswith("param/")}
    from safetensors.numpy import save_file

    save_file(state, tmp_path / "teacher.safetensors")
    target = tmp_path / "student.safetensors"
    convert(tmp_path / "teacher.safetensors", target, res_scale=0.1, width=0.5)
    with safe_open(target, framework="numpy") as file:
        assert file.get_tensor("head.weight").shape == (8, 3, 3, 3)
    net, meta = load_network(target)
    assert meta["model"]["n_feats"] == 8 and meta["widths"] == [1.0]
    found = net(Tensor(archive["input"])).asnumpy()
    assert np.abs(found - archive["output_0.5"]).max() < 1e-3


@pytest.mark.parametrize(
    ("blocks", "feats", "scale"), [(16, 64, 1.0), (32, 256, 0.1), (3, 8, None)]
)
def test_residual_scale_is_known_for_the_published_networks_alone(blocks, feats, scale):
    from csd.nets import backbone

    names = [f"body.{i}.conv1.weight" for i in range(blocks)]
    state = {name: np.zeros((feats, 1, 1, 1)) for name in ("head.weight", *names)}
    state["upsampler.blocks.0.weight"] = np.zeros((4 * feats, 1, 1, 1))
    infer = backbone("edsr").infer
    if scale is not None:
        assert infer(state, {}, "x.pt")["res_scale"] == scale
        return
    with pytest.raises(InputError, match=r"x\.pt holds an EDSR of 3 blocks x 8.*--res_scale"):
        infer(state, {}, "x.pt")
    assert infer(state, {"res_scale": 0.5}, "x.pt") == {
        "scale": 2, "n_feats": 8, "n_resblocks": 3, "res_scale": 0.5,
    }  # fmt: skip


def test_a_residual_scale_that_contradicts_the_file(tmp_path):
    from csd.checkpoints import save_checkpoint
    from csd.nets import create_model

    net = create_model("edsr", scale=2, n_feats=4, n_resblocks=1, res_scale=0.1)
    save_checkpoint(tmp_path / "a.ckpt", network_state(net), {"model": net.describe()})
    assert load_network(tmp_path / "a.ckpt", res_scale=0.1)[1]["model"]["res_scale"] == 0.1
    with pytest.raises(InputError, match=r"says its residual scale is 0\.1, not 0\.5"):
        load_network(tmp_path / "a.ckpt", res_scale=0.5)


def test_baseline_edsr_needs_no_flag(tmp_path, authors):
    import torch

    torch.save(authors.edsr(c=64, blocks=16, scale=4).state_dict(), tmp_path / "b.pt")
    net, meta = load_network(tmp_path / "b.pt")
    assert meta["model"]["res_scale"] == 1.0
    assert sum(v.size for v in network_state(net).values()) == 1517571


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("body.1.body.2.bias"),
            r"'body\.1\.body\.2\.bias' of shape \(8,\) is expected and missing",
        ),
        (lambda s: s.pop("tail.0.0.weight"), r"upsampler\.blocks\.0\.weight' is expected"),
        (
            lambda s: s.update({"tail.1.weight": s["tail.1.weight"][:2]}),
            r"'tail\.1\.weight' should have shape \(3, 8, 3, 3\), found \(2, 8, 3, 3\)",
        ),
        (
            lambda s: s.update({"body.2.weight": s.pop("body.2.weight")[:, :4]}),
            r"'body\.2\.weight' should have shape \(8, 8, 3, 3\)",
        ),
        (lambda s: s.update(other=s["head.0.bias"]), r"'other' of shape \(8,\) is not expected"),
        (
            lambda s: s.update({"body.7.weight": s["body.2.weight"]}),
            r"'body\.7\.weight' is not expected.*body_conv",
        ),
        (
            lambda s: s.update({"sub_mean.bias": s["sub_mean.bias"] * 0}),
            r"'sub_mean\.bias' should be \[-114",
        ),
        (lambda s: s.pop("head.0.weight"), r"holds no super-resolution network.*tensors: 'sub_"),
    ],
)
def test_wrong_tensors_are_named_as_in_the_file(tmp_path, authors, change, message):
    import torch

    state = dict(authors.edsr().state_dict())
    change(state)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(InputError, match=message) as caught:
        load_network(tmp_path / "x.pt", res_scale=1.0)
    assert str(tmp_path / "x.pt") in str(caught.value)


def test_res_scale_for_a_network_without_one(tmp_path, authors):
    import torch

    torch.save(authors.rcan().state_dict(), tmp_path / "r.pt")
    with pytest.raises(InputError, match="rcan, which has no residual scale"):
        load_network(tmp_path / "r.pt", res_scale=0.1)


@pytest.mark.parametrize(
    ("name", "program", "options"),
    [
        ("edsr", "EDSR-PyTorch", {"blocks": 12}),
        ("edsr", "BasicSR", {"scale": 4}),
        ("edsr", "mmagic", {"scale": 4}),
        ("rcan", "RCAN-PyTorch", {}),
        ("rcan", "BasicSR", {}),
    ],
)
def test_names_go_there_and_back(authors, name, program, options):
    module = getattr(authors, name)(program=program, **options)
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    backbone, layout, tensors = recognise(state)
    assert (backbone.name, layout.label) == (name, f"{name.upper()} ({program})")
    ours = to_our_names(layout, tensors, {}, "x")
    assert {to_their_name(layout, name, module.hyper) for name in ours} == set(state)
