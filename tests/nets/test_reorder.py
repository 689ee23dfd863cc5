"""Channels reordered: the same teacher, and students that begin with its best part."""

import numpy as np
import pytest

from csd.errors import InputError

SMALL = {
    "edsr": {"n_feats": 16, "n_resblocks": 2, "res_scale": 0.5},
    "msrresnet": {"n_feats": 16, "n_resblocks": 2},
    "rcan": {"n_feats": 16, "n_resgroups": 2, "n_resblocks": 2, "reduction": 4},
}


def smooth_images(count=6, side=24):
    """Colours that change slowly, uint8 (3, side, side)."""
    random, t = np.random.default_rng(0), np.linspace(0, 3, side)
    for _ in range(count):
        a, b, c = random.uniform(0.5, 2.0, (3, 3, 1, 1))
        waves = np.sin(a * t[:, None] + c) * np.cos(b * t + c)
        yield (127 + 120 * waves).astype(np.uint8)


def outputs(net, x, widths=(1.0, 0.5, 0.25)):
    import mindspore as ms

    ms.set_context(mode=ms.PYNATIVE_MODE)  # no graph to compile for each
    try:
        return [net(ms.Tensor(x), width).asnumpy() for width in widths]
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)


def scramble(net):
    """Put the channels of every space into a random order."""
    from csd.nets import reorder

    random = np.random.default_rng(1)
    for space in net.spaces():
        order = np.eye(space.readers[0].in_channels)[
            random.permutation(space.readers[0].in_channels)
        ]
        for conv in space.writers:
            reorder._rotate_outputs(conv, order)
        for conv in space.readers:
            reorder._set(conv.weight, np.einsum("ik,oihw->okhw", order, conv.weight.asnumpy()))


@pytest.mark.parametrize(
    ("name", "scale"), [("edsr", 2), ("edsr", 3), ("edsr", 4), ("msrresnet", 4), ("rcan", 2)]
)
def test_the_teacher_computes_what_it_did_and_its_students_come_nearer(mindspore_cpu, name, scale):
    import mindspore as ms

    from csd.nets import create_model, reorder_channels, start_as_interpolation

    ms.set_seed(3)
    net = create_model(name, scale=scale, **SMALL[name])
    if name != "msrresnet":  # its skip carries the image
        start_as_interpolation(net.image_path())  # so that three channels matter most
    scramble(net)
    x = np.stack(list(smooth_images())[-2:]).astype(np.float32)
    before = outputs(net, x)
    mode = ms.get_context("mode")
    reorder_channels(net, smooth_images())
    assert ms.get_context("mode") == mode
    after = outputs(net, x)
    np.testing.assert_allclose(after[0], before[0], atol=2e-3)
    limit = {"edsr": 0.3, "rcan": 0.5, "msrresnet": 0.95}[name]
    for old, new in zip(before[1:], after[1:], strict=True):
        assert np.abs(new - after[0]).mean() < limit * np.abs(old - before[0]).mean()


def test_first_channels_hold_the_most_of_a_linear_space(mindspore_cpu):
    """EDSR's stream and its up-sampled channels: energy falls, and directions are uncorrelated."""
    from csd.nets import create_model, reorder_channels
    from csd.nets.reorder import _second_moments

    net = create_model("edsr", scale=4, **SMALL["edsr"])
    images = list(smooth_images())
    reorder_channels(net, images)
    for space in [space for space in net.spaces() if space.linear]:
        moments = _second_moments(net, list(space.readers), images)
        total = sum(moments[id(conv)] for conv in space.readers)
        energy = np.diag(total)
        assert (np.diff(energy) <= 1e-5 * energy[0]).all()
        assert np.abs(total - np.diag(energy)).max() < 1e-4 * energy[0]


def test_every_convolution_of_a_space_has_its_channels(mindspore_cpu):
    from csd.nets import create_model

    for name, hyper in SMALL.items():
        net = create_model(name, scale=4, **hyper)
        spaces = net.spaces()
        for space in spaces:
            (size,) = {conv.in_channels for conv in space.readers}
            assert {conv.out_channels // size for conv in space.writers} <= {1, 4}
        for kind in ("readers", "writers"):
            convs = [conv for space in spaces for conv in getattr(space, kind)]
            assert len(convs) == len({id(conv) for conv in convs})
            assert len(convs) == len(net.convolutions()) - 1  # the head reads, the tail writes RGB


def test_carn_says_that_it_cannot(mindspore_cpu):
    from csd.nets import create_model

    with pytest.raises(InputError, match="channels of carn cannot be reordered"):
        create_model("carn", scale=2, n_feats=8).spaces()
