"""The deployed network: same values, one width, no scalar left; how far it sees."""

import itertools

import mindspore as ms
import numpy as np
import pytest

from csd.errors import InputError
from csd.export.dense import dense_network, receptive_radius
from csd.nets import create_model


@pytest.mark.parametrize("width", [1.0, 0.5, 0.25])
def test_residual_scale_is_folded(reference_net, width):
    net, image, outputs = reference_net("edsr_x2")
    assert net.hyper["res_scale"] == 0.1
    dense = dense_network(net, width)
    assert dense.hyper["res_scale"] == 1.0
    assert dense.hyper["n_feats"] == int(16 * width)
    np.testing.assert_allclose(dense(ms.Tensor(image)).asnumpy(), outputs[width], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["edsr_x4", "rcan_x2", "carn_x3"])
def test_each_student_is_its_slice(reference_net, label):
    """Also at widths that the reference knows nothing of, and of one and the same checkpoint."""
    net, image, outputs = reference_net(label)
    seen = []
    for width in (1.0, 0.75, 0.5, 0.375, 0.25):
        dense = dense_network(net, width)
        found = dense(ms.Tensor(image[:1])).asnumpy()
        np.testing.assert_allclose(found, net(ms.Tensor(image[:1]), width).asnumpy(), atol=1e-3)
        if width in outputs:
            np.testing.assert_allclose(found, outputs[width][:1], atol=1e-3)
        seen.append(found)
    assert all((a != b).any() for a, b in itertools.pairwise(seen))


def test_the_origin_is_not_changed(reference_net):
    net, _, _ = reference_net("edsr_x2")
    before = {k: v.asnumpy().copy() for k, v in net.parameters_dict().items()}
    dense_network(net, 1.0)
    for name, value in net.parameters_dict().items():
        np.testing.assert_array_equal(value.asnumpy(), before[name])


def test_impossible_width(reference_net):
    net, _, _ = reference_net("edsr_x2")
    with pytest.raises(InputError, match="width"):
        dense_network(net, 0.01)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("edsr", {"n_feats": 4, "n_resblocks": 2}),
        ("carn", {"n_feats": 2}),
    ],
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_radius_is_how_far_a_changed_pixel_reaches(mindspore_cpu, name, hyper, scale):
    net = create_model(name, scale=scale, **hyper)
    for parameter in net.trainable_params():
        # Positive weights, no biases, no mean: what is black answers exactly 0, nothing cancels.
        value = 0.0 if parameter.name.endswith("bias") else 0.3
        parameter.set_data(ms.Tensor(np.full(parameter.shape, value, np.float32)))
    dense = dense_network(net, 1.0)
    dense.rgb_mean = dense.minus_mean = ms.Tensor(np.zeros((1, 3, 1, 1), np.float32))
    radius = receptive_radius(dense)
    side = 2 * int(np.ceil(radius)) + 5
    image = np.zeros((1, 3, 1, side), np.float32)
    middle = side // 2
    image[:, :, :, middle] = 1.0
    difference = dense(ms.Tensor(image)).asnumpy()
    columns = np.flatnonzero(np.abs(difference).max(axis=(0, 1, 2)))
    # Output columns of the changed pixel itself: scale of them.
    reach_left = middle * scale - columns[0]
    reach_right = columns[-1] - (middle * scale + scale - 1)
    # A pixel shuffle spreads what it gets over whole pixels, so the reach is a whole small pixel
    # or a fraction of one: the sum, give or take the last.
    assert max(reach_left, reach_right) <= np.ceil(radius) * scale
    assert max(reach_left, reach_right) >= np.floor(radius) * scale


def test_known_radius(mindspore_cpu):
    net = create_model("edsr", scale=4, n_feats=4, n_resblocks=8)
    # head 1, 8 blocks of 2, body 1, up-sampler 1 + 1/2, tail 1/4
    assert receptive_radius(net) == 19.75


def test_only_channel_attention_sees_the_whole_image(mindspore_cpu):
    rcan = create_model("rcan", scale=2, n_feats=4, n_resgroups=1, n_resblocks=1, reduction=2)
    assert rcan.pools
    assert not create_model("carn", scale=2, n_feats=2).pools
