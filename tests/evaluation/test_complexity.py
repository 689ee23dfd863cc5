"""Parameters and multiply-adds against published figures."""

import pytest

from csd.evaluation import count_parameters, multiply_adds
from csd.nets import create_model


@pytest.mark.parametrize(
    ("name", "hyper", "scale", "parameters", "giga"),
    [
        # multiply-adds as published with CARN (ECCV 2018, table 1), in 10^9
        ("carn", {}, 2, 964163, 222.8),
        ("carn", {}, 3, 1148803, 118.8),
        ("carn", {}, 4, 1111875, 90.9),
        # the EDSR baseline as published by its followers
        ("edsr", {"n_feats": 64, "n_resblocks": 16}, 2, 1369859, 316.3),
        ("edsr", {"n_feats": 64, "n_resblocks": 16}, 4, 1517571, 114.2),
    ],
)
def test_published_figures(mindspore_cpu, name, hyper, scale, parameters, giga):
    net = create_model(name, scale=scale, **hyper)
    assert count_parameters(net) == parameters
    assert multiply_adds(net) / 1e9 == pytest.approx(giga, abs=0.06)


def test_students_and_attention(mindspore_cpu):
    net = create_model("rcan", scale=2, n_feats=16, n_resgroups=1, n_resblocks=1, reduction=4)
    assert count_parameters(net, 0.5) < count_parameters(net) / 3
    # by hand, width 0.5, one LR pixel in, four out: 8 features, 2 squeezed
    body = 3 * 8 * 9 + 8 * 8 * 9 * 4  # head; two of the block, one of the group, one of the body
    tail = 8 * 32 * 9 + 4 * 8 * 3 * 9
    attention = 2 * 8 * 2  # once an image, on the means
    assert multiply_adds(net, 0.5, (2, 2)) == body + tail + attention
