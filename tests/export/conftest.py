"""Networks with the reference weights, and checkpoints of them."""

import json

import numpy as np
import pytest


@pytest.fixture
def reference_net(reference, mindspore_cpu):
    """A function: `edsr_x4` -> (network, input, {width: output}), as the paper's code computed."""
    from csd.checkpoints import load_csd_state
    from csd.nets import create_model

    def build(label: str):
        name, scale = label.split("_x")
        hyper = json.loads((reference / "config.json").read_text())["models"][label]
        net = create_model(name, scale=int(scale), **hyper)
        with np.load(reference / f"{label}.npz") as file:
            arrays = dict(file)
        weights = {k.removeprefix("param/"): v for k, v in arrays.items() if k[:6] == "param/"}
        load_csd_state(net, weights)
        outputs = {w: arrays[f"output_{w:g}"] for w in (1.0, 0.5, 0.25)}
        return net, arrays["input"], outputs

    return build


@pytest.fixture
def make_ckpt(reference_net, tmp_path):
    """A function: label -> path of a checkpoint, trained (it says) at 1.0 and 0.25."""
    from csd.checkpoints import network_state, save_checkpoint

    def make(label: str = "edsr_x2"):
        net, _, _ = reference_net(label)
        path = tmp_path / f"{label}.ckpt"
        save_checkpoint(path, network_state(net), {"model": net.describe(), "widths": [1.0, 0.25]})
        return path

    return make
