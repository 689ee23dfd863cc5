"""The grid that every convolution says it works on is the one that it meets."""

import numpy as np
import pytest

from csd.backbones import BACKBONES

TINY = {
    "edsr": {"n_feats": 4, "n_resblocks": 1},
    "rcan": {"n_feats": 4, "n_resgroups": 1, "n_resblocks": 1, "reduction": 2},
    "carn": {"n_feats": 4},
    "msrresnet": {"n_feats": 4, "n_resblocks": 1},
}


@pytest.fixture
def eager(mindspore_cpu):
    """Run cells operator by operator, so that hooks see what they get."""
    import mindspore as ms

    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", BACKBONES)
def test_resolution(eager, name, scale):
    import mindspore as ms

    from csd.nets import create_model

    net = create_model(name, scale=scale, **TINY[name])
    met = {}
    for convolution in net.convolutions():
        convolution.register_forward_pre_hook(
            lambda cell, inputs: met.__setitem__(id(cell), inputs[0].shape[2:])
        )
    net(ms.Tensor(np.zeros((1, 3, 5, 6), np.float32)))
    found = {id(c): (5 * c.resolution or 1, 6 * c.resolution or 1) for c in net.convolutions()}
    assert met == found and len(found) > 3
