"""Whole images, tiles, self-ensemble, and the runner that is compiled once."""

import numpy as np
import pytest
from networks import upscaler_of

from csd.errors import InputError, WorkError
from csd.evaluation import psnr_rgb
from csd.inference import (
    Engine,
    ImageFile,
    count_tiles,
    to_uint8,
    upscale,
)


def repeat(x):
    """Nearest-neighbour x2: sees no neighbour, so that tiles must fit without any overlap."""
    return x.repeat(2, axis=2).repeat(2, axis=3)


def blurring(x):
    """x2 with a 5 x 5 box blur and zero padding, like a network of two convolutions."""
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    height, width = x.shape[2:]
    shifts = [padded[:, :, i : i + height, j : j + width] for i in range(5) for j in range(5)]
    return repeat(np.mean(shifts, axis=0, dtype=np.float64).astype(np.float32))


def lopsided(x):
    """x2 that treats directions differently, so that the eight runs differ."""
    y = repeat(x)
    return y + np.linspace(0, 9, y.shape[3], dtype=np.float32)


def test_whole_image_keeps_channels_and_orientation(sample_image):
    out = upscale(repeat, sample_image, scale=2)
    np.testing.assert_array_equal(out, sample_image.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("tile", [1, 7, 16, 60, 61, 83, 500])
def test_tiles_equal_the_whole(sample_image, tile):
    whole = upscale(blurring, sample_image, scale=2)
    np.testing.assert_array_equal(
        upscale(blurring, sample_image, scale=2, tile=tile, overlap=2), whole
    )
    if tile < 40:  # too little context must show, or the test above proves nothing
        assert (upscale(blurring, sample_image, scale=2, tile=tile, overlap=0) != whole).any()


def test_tiles_bound_what_the_network_sees(sample_image):
    seen = []

    def run(x):
        seen.append(x.shape)
        return repeat(x)

    calls = []
    upscale(run, sample_image, scale=2, tile=16, overlap=4, progress=calls.append)
    assert set(seen) == {(1, 3, 24, 24)}
    assert len(seen) == sum(calls) == count_tiles(61, 83, 16) == 4 * 6


def test_rounding_is_half_up_and_clipped():
    values = np.array([-3.0, -0.5, 0.49, 0.5, 1.5, 2.5, 254.5, 255.4, 300.0], np.float32)
    np.testing.assert_array_equal(to_uint8(values), [0, 0, 0, 1, 2, 3, 255, 255, 255])


def test_self_ensemble_is_the_mean_of_eight_explicit_runs(sample_image):
    x = sample_image.astype(np.float32).transpose(2, 0, 1)[None]
    explicit = []
    for transpose in (False, True):
        for vertical in (False, True):
            for horizontal in (False, True):
                v = x[:, :, ::-1] if vertical else x
                v = v[:, :, :, ::-1] if horizontal else v
                v = v.swapaxes(2, 3) if transpose else v
                y = lopsided(v)
                y = y.swapaxes(2, 3) if transpose else y
                y = y[:, :, :, ::-1] if horizontal else y
                explicit.append(y[:, :, ::-1] if vertical else y)
    assert np.abs(np.mean(explicit, axis=0) - lopsided(x)).max() > 1
    whole = upscale(lopsided, sample_image, scale=2, self_ensemble=True, dtype=np.float32)
    np.testing.assert_allclose(whole.transpose(2, 0, 1), np.mean(explicit, axis=0)[0], atol=1e-3)


def left_mean(x):
    """Mean of the left half: an average over the image that a flip changes."""
    return x[:, :, :, : -(-x.shape[3] // 2)].mean(axis=(2, 3), keepdims=True)


pooling = Engine(
    "test", lambda x: repeat(x) - left_mean(x), lambda small: lambda x: repeat(x) - left_mean(small)
)


@pytest.fixture
def bright_half():
    """Dark on the left, bright on the right, a line across: no tile's average is the image's."""
    image = np.full((90, 120, 3), 20, np.float32)
    image[:, 60:] = 220
    image[30] += 15
    return image


@pytest.mark.parametrize("self_ensemble", [False, True])
def test_tiles_take_the_averages_of_the_whole_image(bright_half, self_ensemble):
    def run(runner, tile):
        return upscale(runner, bright_half, scale=2, tile=tile, overlap=8, dtype=np.float32,
                       self_ensemble=self_ensemble)  # fmt: skip

    whole = run(pooling, None)
    np.testing.assert_array_equal(run(pooling, 112), whole)  # one window: nothing to approximate
    assert np.abs(run(pooling, 24) - whole).max() < 2
    assert np.abs(run(pooling.run, 24) - whole).max() > 50
    if self_ensemble:
        np.testing.assert_allclose(whole, repeat(bright_half.T[None])[0].T - 120, atol=1)


def test_grey_takes_the_averages_of_the_whole_image(bright_half):
    grey = ImageFile(bright_half[:, :, 0].astype(np.uint8) + np.uint8(20))
    whole = upscaler_of(pooling, tile=0).upscale_file(grey).pixels
    tiled = upscaler_of(pooling, tile=24).upscale_file(grey).pixels
    assert whole.ndim == 2 and whole.std() > 50
    assert np.abs(tiled.astype(int) - whole).max() < 5


def test_wrong_input_is_named(sample_image):
    with pytest.raises(InputError, match=r"\(H, W, 3\)"):
        upscale(repeat, sample_image[:, :, 0], scale=2)
    with pytest.raises(InputError, match="not scale 3"):
        upscale(repeat, sample_image, scale=3)
    with pytest.raises(InputError, match="tile"):
        upscale(repeat, sample_image, scale=2, tile=-1)
    with pytest.raises(WorkError, match="undefined"):
        upscale(lambda x: repeat(x) * np.float32("nan"), sample_image, scale=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["edsr", "rcan", "carn", "msrresnet"])
def test_one_compiled_graph_serves_every_size(mindspore_cpu, name):
    import mindspore as ms

    from csd.inference import make_runner
    from csd.nets import create_model, extract_student

    hyper = {"n_feats": 8}
    if name != "carn":
        hyper["n_resblocks"] = 1
    if name == "rcan":
        hyper.update(n_resgroups=1, reduction=4)
    net = create_model(name, scale=2, **hyper)
    run = make_runner(net, 0.5)
    dense = extract_student(net, 0.5)
    for height, width in ((9, 14), (16, 5)):
        x = np.random.default_rng(height).uniform(0, 255, (1, 3, height, width)).astype(np.float32)
        wanted = dense(ms.Tensor(x)).asnumpy()
        np.testing.assert_allclose(run(x), wanted, atol=1e-3)
    with pytest.raises(InputError, match="width"):
        make_runner(net, 0.01)


def test_runner_follows_the_weights(mindspore_cpu):
    import mindspore as ms

    from csd.inference import make_runner
    from csd.nets import create_model

    net = create_model("edsr", scale=2, n_feats=4, n_resblocks=1)
    run = make_runner(net, 0.5)
    x = np.full((1, 3, 6, 7), 100, np.float32)
    before = run(x)
    bias = net.tail_conv.bias
    bias.set_data(ms.Tensor(bias.asnumpy() + np.array([1, 2, 3], np.float32)))
    moved = (run(x) - before).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(moved, [1, 2, 3], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "hyper"),
    [("edsr", {"n_resblocks": 4, "res_scale": 0.1}), ("msrresnet", {"n_resblocks": 4})],
)
def test_tiles_of_a_network_equal_its_whole(mindspore_cpu, sample_image, name, hyper):
    from csd.inference import make_runner
    from csd.nets import create_model

    net = create_model(name, scale=2, n_feats=8, **hyper)
    run = make_runner(net)
    whole = upscale(run, sample_image, scale=2)
    # windows of 64 do not cover the 83 columns: neighbours and borders are both exercised
    assert psnr_rgb(upscale(run, sample_image, scale=2, tile=16), whole, 0) > 60


@pytest.mark.slow
@pytest.mark.parametrize("width", [1.0, 0.5])
def test_tiles_of_channel_attention_come_near_its_whole(mindspore_cpu, reference, width):
    import json

    from csd.checkpoints import load_csd_state
    from csd.data import read_image
    from csd.inference import make_runner
    from csd.nets import create_model

    hyper = json.loads((reference / "config.json").read_text())["models"]["rcan_x2"]
    net = create_model("rcan", scale=2, **hyper)
    with np.load(reference / "rcan_x2.npz") as file:
        state = {k[6:]: file[k] for k in file.files if k.startswith("param/")}
    # Gates that a change of the averages moves a lot.
    state = {k: v * 5 if "conv_du" in k else v for k, v in state.items()}
    load_csd_state(net, state)
    run = make_runner(net, width)
    image = read_image(reference / "benchmark" / "Set5" / "HR" / "woman.png")

    def psnr(runner):
        tiled = upscale(runner, image, scale=2, tile=64, dtype=np.float32)
        return 10 * np.log10(255**2 / np.mean((tiled - whole) ** 2, dtype=np.float64))

    whole = upscale(run, image, scale=2, dtype=np.float32)
    assert psnr(run) > max(60, psnr(run.run) + 10)
