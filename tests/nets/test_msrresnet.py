"""MSRResNet against BasicSR's definition in PyTorch, with BasicSR's and mmagic's files."""

import numpy as np
import pytest

from csd.checkpoints import load_network, network_state

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("mindspore_cpu")


class ResidualBlockNoBN(torch.nn.Module):
    def __init__(self, num_feat):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv2 = torch.nn.Conv2d(num_feat, num_feat, 3, 1, 1)

    def forward(self, x):
        return x + self.conv2(torch.relu(self.conv1(x)))


class BasicSR(torch.nn.Module):
    """The network as BasicSR has it, for images in 0..1."""

    def __init__(self, num_feat, num_block, upscale):
        super().__init__()
        conv, self.upscale = torch.nn.Conv2d, upscale
        self.conv_first = conv(3, num_feat, 3, 1, 1)
        self.body = torch.nn.Sequential(*[ResidualBlockNoBN(num_feat) for _ in range(num_block)])
        factor = 3 if upscale == 3 else 2
        self.upconv1 = conv(num_feat, num_feat * factor**2, 3, 1, 1)
        if upscale == 4:
            self.upconv2 = conv(num_feat, num_feat * 4, 3, 1, 1)
        self.pixel_shuffle = torch.nn.PixelShuffle(factor)
        self.conv_hr = conv(num_feat, num_feat, 3, 1, 1)
        self.conv_last = conv(num_feat, 3, 3, 1, 1)
        self.lrelu = torch.nn.LeakyReLU(negative_slope=0.1)

    def forward(self, x):
        out = self.body(self.lrelu(self.conv_first(x)))
        out = self.lrelu(self.pixel_shuffle(self.upconv1(out)))
        if self.upscale == 4:
            out = self.lrelu(self.pixel_shuffle(self.upconv2(out)))
        out = self.conv_last(self.lrelu(self.conv_hr(out)))
        return out + torch.nn.functional.interpolate(
            x, scale_factor=self.upscale, mode="bilinear", align_corners=False
        )


@pytest.fixture
def basicsr():
    """Function: a random network whose output is far from its bilinear skip."""

    def build(scale, num_feat=8, num_block=2):
        torch.manual_seed(scale)
        return BasicSR(num_feat, num_block, scale)

    return build


def mmagic_names(state):
    """The names of the same network in mmagic."""
    renames = {"body.": "trunk_net.", "upconv1.": "upsample1.upsample_conv."}
    renames["upconv2."] = "upsample2.upsample_conv."
    found = {}
    for name, value in state.items():
        for before, after in renames.items():
            name = name.replace(before, after)
        found[f"generator.{name}"] = value
    return found


@pytest.mark.parametrize("program", ["BasicSR", "mmagic"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_file_computes_what_basicsr_computes(tmp_path, basicsr, program, scale):
    from mindspore import Tensor

    module = basicsr(scale)
    content = {
        "BasicSR": {"params": module.state_dict()},
        "mmagic": {"state_dict": mmagic_names(module.state_dict())},
    }[program]
    torch.save(content, tmp_path / "x.pth")
    net, meta = load_network(tmp_path / "x.pth")
    assert meta["model"] == {"name": "msrresnet", "scale": scale, "n_feats": 8, "n_resblocks": 2}
    x = np.random.default_rng(0).uniform(0, 255, (2, 3, 6, 7)).astype(np.float32)
    with torch.no_grad():
        wanted = 255 * module(torch.from_numpy(x) / 255).numpy()
    skip = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=scale, mode="bilinear")
    assert np.abs(wanted - skip.numpy()).max() > 1
    np.testing.assert_allclose(net(Tensor(x)).asnumpy(), wanted, rtol=0, atol=1e-3)


def test_biases_are_scaled_and_weights_are_theirs(tmp_path, basicsr):
    module = basicsr(2)
    torch.save({"params": module.state_dict()}, tmp_path / "x.pth")
    ours, theirs = network_state(load_network(tmp_path / "x.pth")[0]), module.state_dict()
    assert ours["hr_conv.weight"].tobytes() == theirs["conv_hr.weight"].numpy().tobytes()
    wanted = theirs["conv_hr.bias"].numpy() * np.float32(255)
    assert ours["hr_conv.bias"].tobytes() == wanted.tobytes()


def test_our_own_file_keeps_its_biases(tmp_path, basicsr):
    """A checkpoint converted and written again is read as it is."""
    from csd.checkpoints.convert import convert

    torch.save({"params": basicsr(3).state_dict()}, tmp_path / "x.pth")
    first = network_state(load_network(tmp_path / "x.pth")[0])
    for source, target in (("x.pth", "a.safetensors"), ("a.safetensors", "b.pth")):
        convert(tmp_path / source, tmp_path / target)
        again = network_state(load_network(tmp_path / target)[0])
        assert {n: v.tobytes() for n, v in again.items()} == {
            n: v.tobytes() for n, v in first.items()
        }
    names = torch.load(tmp_path / "b.pth", weights_only=True)["model_state_dict"]
    assert set(names) == {f"module.{name}" for name in first}  # no mean shift, which it has not


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_is_pytorchs(factor):
    import mindspore as ms

    from csd.nets.layers import Bilinear

    x = np.random.default_rng(factor).uniform(0, 255, (2, 3, 5, 4)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(x), scale_factor=factor, mode="bilinear", align_corners=False
    )
    found = Bilinear(factor)(ms.Tensor(x)).asnumpy()
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-4)


def test_leaky_relu_is_bit_exact():
    import mindspore as ms

    from csd.nets.layers import leaky_relu

    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    wanted = torch.nn.functional.leaky_relu(torch.from_numpy(x), 0.1).numpy()
    np.testing.assert_array_equal(leaky_relu(ms.Tensor(x), 0.1).asnumpy(), wanted)
