"""Metrics against stored values and against what follows from their definition."""

import json
import math

import numpy as np
import pytest

from csd.data import benchmark_pairs, imresize_bicubic, imresize_pillow, load_pair
from csd.errors import InputError
from csd.evaluation import psnr_rgb, psnr_y, rgb_to_y, ssim_y


def test_luma_is_matlabs_studio_range():
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(rgb_to_y(image)[0], [16.0, 235.0, 81.481], atol=1e-9)


def test_psnr_of_a_known_error(sample_image):
    dark = np.clip(sample_image, 0, 245).astype(np.uint8)
    assert psnr_rgb(dark + np.uint8(10), dark, 0) == pytest.approx(20 * math.log10(255 / 10))
    # ten of 255 of RGB are 10 * 219 / 255 levels of studio-range luma
    expected = 20 * math.log10(255 / (10 * 219 / 255))
    assert psnr_y(dark + np.uint8(10), dark, 0) == pytest.approx(expected)


def test_identical_images_are_infinitely_good(sample_image):
    assert psnr_y(sample_image, sample_image, 2) == math.inf
    assert psnr_rgb(sample_image, sample_image, 2) == math.inf
    assert ssim_y(sample_image, sample_image, 2) == pytest.approx(1.0)


def test_shave_leaves_the_border_out(sample_image):
    other = sample_image.copy()
    other[:4] = 0
    other[:, -4:] = 255
    assert psnr_y(other, sample_image, 4) == math.inf
    assert psnr_y(other, sample_image, 3) < 40
    assert ssim_y(other, sample_image, 4) == pytest.approx(1.0)


def test_ssim_equals_its_definition_window_by_window(sample_image):
    rng = np.random.default_rng(3)
    noisy = np.clip(sample_image + rng.normal(0, 12, sample_image.shape), 0, 255).astype(np.uint8)
    a, b = rgb_to_y(noisy), rgb_to_y(sample_image)
    axis = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / np.outer(axis, axis).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp = (window * (p - mp) ** 2).sum()
            vq = (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append(
                (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
            )
    assert ssim_y(noisy, sample_image, 0) == pytest.approx(np.mean(values), abs=1e-9)


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y])
def test_wrong_input_is_named(metric, sample_image):
    with pytest.raises(InputError, match=r"82x61 .* 83x61"):
        metric(np.ascontiguousarray(sample_image[:, 1:]), sample_image, 2)
    with pytest.raises(InputError, match="float32"):
        metric(sample_image.astype(np.float32), sample_image, 2)
    with pytest.raises(InputError, match="too small"):
        metric(sample_image, sample_image, 31)
    with pytest.raises(InputError, match="negative"):
        metric(sample_image, sample_image, -1)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("set_name", ["Set5", "Set14"])
def test_bicubic_of_the_benchmarks(reference, shared_data, set_name, scale):
    pillow = json.loads((reference / "bicubic_metrics.json").read_text())
    matlab = json.loads((reference / "bicubic_matlab_psnr_y.json").read_text())
    key = f"{set_name}/X{scale}"
    pairs = benchmark_pairs(shared_data, set_name, scale)
    assert {p.name for p in pairs} == set(matlab[key])
    for pair in pairs:
        hr, lr = load_pair(pair, scale)
        wanted = pillow[key]["images"][pair.name]
        sr = imresize_pillow(lr, scale)
        assert psnr_y(sr, hr, scale) == pytest.approx(wanted["psnr_y"], abs=1e-4)
        assert ssim_y(sr, hr, scale) == pytest.approx(wanted["ssim_y"], abs=1e-4)
        assert psnr_rgb(sr, hr, scale + 6) == pytest.approx(wanted["psnr_rgb_shave6"], abs=1e-4)
        sr = imresize_bicubic(lr, scale)
        assert psnr_y(sr, hr, scale) == pytest.approx(matlab[key][pair.name], abs=1e-4)
