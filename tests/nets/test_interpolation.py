"""Networks that start as an interpolation, at every width."""

import numpy as np
import pytest

from csd.data import benchmark_pairs, imresize_bicubic, load_pair
from csd.errors import InputError
from csd.evaluation import psnr_y

TINY = {
    "edsr": {"n_feats": 16, "n_resblocks": 2},
    "rcan": {"n_feats": 16, "n_resgroups": 2, "n_resblocks": 1, "reduction": 4},
    "carn": {"n_feats": 16},
}


def _start(name: str, scale: int):
    from csd.nets import create_model, start_as_interpolation

    net = create_model(name, scale=scale, **TINY[name])
    start_as_interpolation(net.image_path())
    return net


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", TINY)
def test_every_width_starts_at_bicubic_quality(mindspore_cpu, reference, name, scale):
    """Within 0.3 dB, and so 0.4 dB above bilinear."""
    import cv2

    from csd.inference import make_runner, upscale

    rows, columns = 280 // scale, 220 // scale  # one size: compiled once a width
    pairs = [
        (hr[: rows * scale, : columns * scale], lr[:rows, :columns])
        for hr, lr in (
            load_pair(pair, scale)
            for pair in benchmark_pairs(reference / "benchmark", "Set5", scale)
        )
    ]

    def score(enlarge):
        return np.mean([psnr_y(enlarge(lr), hr, scale) for hr, lr in pairs])

    bicubic = score(lambda lr: imresize_bicubic(lr, scale))
    bilinear = score(lambda lr: cv2.resize(lr, None, fx=scale, fy=scale))
    net = _start(name, scale)
    for width in (1.0, 0.5, 0.25):
        run = make_runner(net, width)
        psnr = score(lambda lr, run=run: upscale(run, lr, scale=scale))
        assert abs(psnr - bicubic) < 0.3 and psnr > bilinear + 0.4, (width, psnr)


@pytest.mark.parametrize("factor", [2, 3])
def test_kernels_reproduce_parabolas(factor):
    from csd.nets.interpolation import interpolating_kernels

    def plane(x, y):
        return 3 + 2 * x - y + 0.5 * x**2 - 0.3 * x * y + 0.2 * y**2

    y, x = np.mgrid[-1:2, -1:2]
    values = np.einsum("kij,ij->k", interpolating_kernels(factor), plane(x, y))
    t = (np.arange(factor) + 0.5) / factor - 0.5
    expected = plane(t[None, :], t[:, None]).ravel()
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_other_channels_start_without_a_pattern(mindspore_cpu):
    """ICNR: a pixel shuffle of constant features is constant in each channel, and they differ."""
    import mindspore as ms

    net = _start("edsr", 4)
    x = ms.Tensor(np.random.default_rng(0).normal(size=(1, 16, 1, 1)).repeat(9, 2).repeat(9, 3),
                  ms.float32)  # fmt: skip
    y = net.upsampler(x, 16).asnumpy()[0, :, 8:-8, 8:-8]
    assert np.ptp(y, axis=(1, 2)).max() < 1e-5
    assert np.ptp(y[3:].mean(axis=(1, 2))) > 0.1


def test_branches_stay_trainable(mindspore_cpu):
    """Small, not zero, are the ends of the branches and what the tail takes from their channels."""
    net = _start("edsr", 2)
    for weights in (
        *(block.conv2.weight.asnumpy() for block in net.body),
        net.tail_conv.weight.asnumpy()[:, 3:],
    ):
        assert np.abs(weights).min() > 0 and np.abs(weights).max() < 0.01
    assert np.abs(net.body[0].conv1.weight.asnumpy()).max() > 0.05  # as always


def test_a_network_without_a_path_is_an_input_error(mindspore_cpu):
    from csd.nets import SlimmableSR

    with pytest.raises(InputError, match="cannot start as an interpolation"):
        SlimmableSR(2).image_path()
