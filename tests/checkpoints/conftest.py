"""Networks as other programs name their layers and scale their images, computed by PyTorch."""

import numpy as np
import pytest

STAGES = {2: 1, 3: 1, 4: 2}


def _stages(scale, theirs, ours):
    return {theirs.format(k): f"{ours}.blocks.{k}" for k in range(STAGES[scale])}


def _edsr_pytorch(blocks, scale, **_):
    names = {"head.0": "head", f"body.{blocks}": "body_conv", "tail.1": "tail_conv"}
    for i in range(blocks):
        names |= {f"body.{i}.body.0": f"body.{i}.conv1", f"body.{i}.body.2": f"body.{i}.conv2"}
    return names | {f"tail.0.{2 * k}": f"upsampler.blocks.{k}" for k in range(STAGES[scale])}


def _edsr_basicsr(blocks, scale, **_):
    names = {"conv_first": "head", "conv_after_body": "body_conv", "conv_last": "tail_conv"}
    for i in range(blocks):
        names |= {f"body.{i}.conv{n}": f"body.{i}.conv{n}" for n in (1, 2)}
    return names | {f"upsample.{2 * k}": f"upsampler.blocks.{k}" for k in range(STAGES[scale])}


def _edsr_mmagic(blocks, scale, **_):
    names = {n: o for n, o in _edsr_basicsr(blocks, scale).items() if "upsample" not in n}
    return names | _stages(scale, "upsample.{}.upsample_conv", "upsampler")


def _rcan_pytorch(groups, blocks, scale, **_):
    names = {"head.0": "head_conv", f"body.{groups}": "body_conv", "tail.1": "tail_conv"}
    for i in range(groups):
        names[f"body.{i}.body.{blocks}"] = f"body.{i}.conv"
        for j in range(blocks):
            theirs, ours = f"body.{i}.body.{j}.body", f"body.{i}.body.{j}"
            names |= {f"{theirs}.0": f"{ours}.body.0", f"{theirs}.2": f"{ours}.body.1"}
            names[f"{theirs}.3.conv_du.0"] = f"{ours}.caLayer.conv_du.0"
            names[f"{theirs}.3.conv_du.2"] = f"{ours}.caLayer.conv_du.1"
    return names | {f"tail.0.{2 * k}": f"upsampler.blocks.{k}" for k in range(STAGES[scale])}


def _rcan_basicsr(groups, blocks, scale, **_):
    names = {"conv_first": "head_conv", "conv_after_body": "body_conv", "conv_last": "tail_conv"}
    for i in range(groups):
        names[f"body.{i}.conv"] = f"body.{i}.conv"
        for j in range(blocks):
            theirs, ours = f"body.{i}.residual_group.{j}.rcab", f"body.{i}.body.{j}"
            names |= {f"{theirs}.0": f"{ours}.body.0", f"{theirs}.2": f"{ours}.body.1"}
            names[f"{theirs}.3.attention.1"] = f"{ours}.caLayer.conv_du.0"
            names[f"{theirs}.3.attention.3"] = f"{ours}.caLayer.conv_du.1"
    return names | {f"upsample.{2 * k}": f"upsampler.blocks.{k}" for k in range(STAGES[scale])}


def _carn(scale, up="up", **_):
    names = {"entry": "entry", "exit": "exit"}
    for i in (1, 2, 3):
        names[f"c{i}.body.0"] = f"c{i}.conv"
        for j in (1, 2, 3):
            names[f"b{i}.c{j}.body.0"] = f"b{i}.c{j}.conv"
            names[f"b{i}.b{j}.body.0"] = f"b{i}.b{j}.conv1"
            names[f"b{i}.b{j}.body.2"] = f"b{i}.b{j}.conv2"
    steps = {f"upsample.{up}.body.{3 * k}": f"upsample.blocks.{k}" for k in range(STAGES[scale])}
    return names | steps


class ForeignNetwork:
    """A network of another program: `state_dict()` under its names, and its output for 0..255."""

    def __init__(self, model, names, rgb_range=255, **hyper):
        import torch

        from benchmarks.torch_networks import NETWORKS
        from csd.checkpoints import network_state
        from csd.nets import create_model

        known = {k: v for k, v in model.items() if k != "outer_relu"}
        net = create_model(**known)
        self.state = {n: torch.from_numpy(v) for n, v in network_state(net).items()}
        self.forward, self.names = NETWORKS[model["name"]], names
        self.hyper = {**net.hyper, **model, "rgb_range": rgb_range}

    def state_dict(self):
        """Tensors by the names of the other program."""
        return {
            f"{theirs}.{part}": self.state[f"{ours}.{part}"]
            for theirs, ours in self.names.items()
            for part in ("weight", "bias")
        }

    def __call__(self, x):
        share = self.hyper["rgb_range"] / 255
        return self.forward(self.state, self.hyper, x * share, 1.0) / share


@pytest.fixture
def authors(mindspore_cpu):
    """Builders of networks: EDSR, RCAN and CARN under the names of several programs."""
    torch = pytest.importorskip("torch")

    def mean_shift(sign, rgb_range):
        mean = torch.tensor([0.4488, 0.4371, 0.4040])
        return {"weight": torch.eye(3).view(3, 3, 1, 1), "bias": sign * rgb_range * mean}

    def with_mean(network, rgb_range, layers=("sub_mean", "add_mean")):
        plain = {}
        for layer, sign in zip(layers, (-1, 1), strict=True):
            shift = mean_shift(sign, rgb_range)
            plain |= {f"{layer}.{part}": value for part, value in shift.items()}
        plain |= network.state_dict()
        network.state_dict = lambda: dict(plain)
        return network

    def edsr(c=8, blocks=2, scale=2, res_scale=1.0, program="EDSR-PyTorch"):
        model = {"name": "edsr", "scale": scale, "n_feats": c, "n_resblocks": blocks}
        model["res_scale"] = res_scale
        if program == "BasicSR":
            return ForeignNetwork(model, _edsr_basicsr(blocks, scale))
        if program == "mmagic":
            return ForeignNetwork(model, _edsr_mmagic(blocks, scale), rgb_range=1)
        return with_mean(ForeignNetwork(model, _edsr_pytorch(blocks, scale)), 255)

    def rcan(c=8, groups=2, blocks=3, reduction=4, scale=2, program="RCAN-PyTorch"):
        model = {"name": "rcan", "scale": scale, "n_feats": c, "n_resgroups": groups}
        model |= {"n_resblocks": blocks, "reduction": reduction}
        if program == "BasicSR":
            return ForeignNetwork(model, _rcan_basicsr(groups, blocks, scale))
        return with_mean(ForeignNetwork(model, _rcan_pytorch(groups, blocks, scale)), 255)

    def carn(c=8, scale=2, up="up"):
        model = {"name": "carn", "scale": scale, "n_feats": c, "outer_relu": True}
        shifters = ("sub_mean.shifter", "add_mean.shifter")
        return with_mean(ForeignNetwork(model, _carn(scale, up), rgb_range=1), 1, shifters)

    builders = {"edsr": edsr, "rcan": rcan, "carn": carn}
    return type("Authors", (), {name: staticmethod(f) for name, f in builders.items()})


@pytest.fixture
def image():
    """A small batch, float32 (1, 3, 7, 9), 0..255."""
    return np.random.default_rng(3).uniform(0, 255, (1, 3, 7, 9)).astype(np.float32)
