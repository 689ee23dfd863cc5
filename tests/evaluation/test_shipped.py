"""The checkpoints that come with the package: tiles equal the whole, eight runs equal the mean."""

from pathlib import Path

import numpy as np
import pytest

import csd
from csd.data import imresize_bicubic, modcrop, read_image
from csd.evaluation import psnr_y, restore, run_ensemble

pytestmark = pytest.mark.slow


PRETRAINED = Path(csd.__file__).parent / "pretrained"
SCALES = [int(path.stem[-1]) for path in sorted(PRETRAINED.glob("edsr_x*.ckpt"))]


def test_something_is_shipped():
    assert 4 in SCALES


@pytest.fixture(params=SCALES)
def upscaler(request, mindspore_cpu):
    from csd.deploy.upscaler import open_upscaler, shipped_checkpoint

    return open_upscaler(shipped_checkpoint(request.param))


@pytest.fixture
def head(reference):
    return read_image(reference / "benchmark" / "Set5" / "HR" / "head.png")


def test_tiles_equal_the_whole(upscaler, head):
    whole = restore(upscaler.run, head, scale=upscaler.scale, dtype=np.float32)
    tiled = restore(upscaler.run, head, scale=upscaler.scale, tile=64, dtype=np.float32)
    error = np.mean((whole.astype(np.float64) - tiled) ** 2)
    assert error < 255**2 / 1e6  # 60 dB


def test_better_than_bicubic_and_ensemble_better_still(upscaler, reference):
    scale = upscaler.scale
    hr = modcrop(read_image(reference / "benchmark" / "Set5" / "HR" / "woman.png"), scale)
    lr = imresize_bicubic(hr, 1 / scale)
    plain = psnr_y(restore(upscaler.run, lr, scale=scale), hr, scale)
    assert plain > psnr_y(imresize_bicubic(lr, scale), hr, scale) + 0.3
    together = restore(upscaler.run, lr, scale=scale, self_ensemble=True)
    assert psnr_y(together, hr, scale) > plain


def test_self_ensemble_is_the_mean_of_eight_runs(upscaler, head):
    x = head[:30, :41].transpose(2, 0, 1)[None].astype(np.float32)
    runs = []
    for transposed in (False, True):
        for down in (1, -1):
            for across in (1, -1):
                turned = x[:, :, ::down, ::across]
                turned = turned.swapaxes(2, 3) if transposed else turned
                y = upscaler.run(turned)
                y = y.swapaxes(2, 3) if transposed else y
                runs.append(y[:, :, ::down, ::across])
    np.testing.assert_allclose(run_ensemble(upscaler.run, x), np.mean(runs, axis=0), atol=1e-3)
