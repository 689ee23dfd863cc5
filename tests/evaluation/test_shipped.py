"""The checkpoints that come with the package: as good as documented, tiles as the whole."""

from pathlib import Path

import numpy as np
import pytest

import csd
from csd.data import benchmark_pairs, read_image
from csd.evaluation import psnr_y
from csd.inference import upscale

pytestmark = pytest.mark.slow

PRETRAINED = Path(csd.__file__).parent / "pretrained"
SCALES = [int(path.stem[-1]) for path in sorted(PRETRAINED.glob("edsr_x*.ckpt"))]
WIDTHS = (0.25, 0.5, 1.0)
# Gain over bicubic on Set5, dB on Y, of student and teacher; the table in csd/pretrained/README.md
# has a little more.
GAIN = {
    2: {0.25: 3.2, 0.5: 3.5, 1.0: 3.7},
    3: {0.25: 2.7, 0.5: 2.9, 1.0: 3.2},
    4: {0.25: 2.4, 0.5: 2.6, 1.0: 2.8},
}


def test_what_is_shipped_is_what_is_offered():
    from csd.inference.opening import SHIPPED_SCALES

    assert SCALES == list(SHIPPED_SCALES) == [2, 3, 4]


@pytest.fixture(params=[(scale, width) for scale in SCALES for width in (0.25, 1.0)], ids=str)
def upscaler(request, mindspore_cpu):
    from csd.inference import open_upscaler, shipped_checkpoint

    scale, width = request.param
    return open_upscaler(shipped_checkpoint(scale), width=width)


@pytest.fixture
def head(reference):
    """uint8 (140, 260, 3): wider than a tile and its overlaps."""
    return read_image(reference / "benchmark" / "Set5" / "HR" / "head.png")[:140, :260]


def psnr(a, b):
    with np.errstate(divide="ignore"):  # the same image: infinite
        return 10 * np.log10(255**2 / np.mean((a - b) ** 2, dtype=np.float64))


def test_tiles_equal_the_whole(upscaler, head):
    whole = upscale(upscaler.engine, head, scale=upscaler.scale, dtype=np.float32)
    for tile in (100, 192):
        tiled = upscale(upscaler.engine, head, scale=upscaler.scale, tile=tile, dtype=np.float32)
        assert psnr(tiled, whole) > 60


def test_self_ensemble_is_the_mean_of_eight_runs(upscaler, head):
    def run(image, **options):
        return upscale(upscaler.engine, image, scale=upscaler.scale, dtype=np.float32, **options)

    image = head[60:90, 100:141]
    runs = []
    for transposed in (False, True):
        for down in (1, -1):
            for across in (1, -1):
                turned = image[::down, ::across]
                y = run(turned.swapaxes(0, 1)).swapaxes(0, 1) if transposed else run(turned)
                runs.append(y[::down, ::across])
    assert np.std(runs, axis=0).max() > 0.1  # the eight differ
    together = run(image, self_ensemble=True)
    np.testing.assert_allclose(together, np.mean(runs, axis=0), atol=1e-3)


def test_ensemble_is_better(upscaler, reference):
    from csd.data import load_pair

    scale = upscaler.scale
    pairs = benchmark_pairs(reference / "benchmark", "Set5", scale)
    hr, lr = load_pair(next(pair for pair in pairs if pair.name == "woman"), scale)
    plain = upscale(upscaler.engine, lr, scale=scale)
    together = upscale(upscaler.engine, lr, scale=scale, self_ensemble=True)
    assert psnr_y(together, hr, scale) > psnr_y(plain, hr, scale)


def _gains(data_dir, scale, *names):
    """Set -> name of each image -> width -> PSNR-Y over bicubic; the mean of a set under ""."""
    from csd.evaluation import bicubic_method, evaluate, network_methods
    from csd.inference import open_upscaler, shipped_checkpoint

    upscaler = open_upscaler(shipped_checkpoint(scale))
    methods = [bicubic_method(scale), *network_methods(upscaler, WIDTHS)]
    sets = {name: benchmark_pairs(data_dir, name, scale) for name in names}
    bicubic, *networks = (run["sets"] for run in evaluate(methods, sets, scale)["runs"])
    return {name: _over(bicubic[name], [run[name] for run in networks]) for name in sets}


def _over(base, others):
    """Image -> width -> how far the scores of one set are above those of `base`."""
    images = {"": (base["psnr_y"], [other["psnr_y"] for other in others])}
    for image, scores in base["images"].items():
        images[image] = (scores["psnr_y"], [s["images"][image]["psnr_y"] for s in others])
    return {
        image: dict(zip(WIDTHS, np.subtract(found, least), strict=True))
        for image, (least, found) in images.items()
    }


@pytest.mark.parametrize("scale", SCALES)
def test_every_image_gains(mindspore_cpu, reference, scale):
    gains = _gains(reference / "benchmark", scale, "Set5")["Set5"]
    assert set(gains) == {"", "head", "woman"}
    for name, gain in gains.items():
        assert 0.15 < gain[0.25] < gain[0.5] < gain[1.0], (name, gain)


@pytest.mark.parametrize("scale", SCALES)
def test_the_benchmarks_gain_what_is_published(mindspore_cpu, shared_data, scale):
    """The mean of Set5 what the table says, every image of both sets something at every width."""
    gains = _gains(shared_data / "benchmark", scale, "Set5", "Set14")
    assert {name: len(images) - 1 for name, images in gains.items()} == {"Set5": 5, "Set14": 14}
    for width, least in GAIN[scale].items():
        assert gains["Set5"][""][width] > least
    worst = min(
        (gain, width, image)
        for images in gains.values()
        for image, of_width in images.items()
        for width, gain in of_width.items()
    )
    print(f"x{scale}: least gain {worst[0]:.3f} dB, width {worst[1]}, {worst[2]}")
    assert worst[0] > 0, worst
