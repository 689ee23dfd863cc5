"""MATLAB's bicubic, pixel for pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csd.data import (
    benchmark_pairs,
    imresize_bicubic,
    imresize_pillow,
    load_pair,
    modcrop,
    read_image,
    resize_matrix,
)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_published_lr_images(reference, scale):
    pairs = benchmark_pairs(reference, "Set5", scale)
    assert [pair.name for pair in pairs] == ["head", "woman"]
    for pair in pairs:
        hr = modcrop(read_image(pair.hr), scale)
        np.testing.assert_array_equal(imresize_bicubic(hr, 1 / scale), read_image(pair.lr))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name, count", [("Set5", 5), ("Set14", 14)])
def test_equals_every_published_lr_image(shared_data, name, count, scale):
    pairs = benchmark_pairs(shared_data, name, scale)
    assert len(pairs) == count
    for pair in pairs:
        hr, lr = load_pair(pair, scale)
        assert np.count_nonzero(imresize_bicubic(hr, 1 / scale) != lr) == 0, pair.name


@pytest.mark.parametrize("scale, size", [(1 / 3, (17, 14)), (2.0, (100, 82)), (0.37, (19, 16))])
def test_output_size_is_the_ceiling(sample_image, scale, size):
    crop = sample_image[:50, :41]
    assert imresize_bicubic(crop, scale).shape == (*size, 3)
    assert imresize_bicubic(crop[:, :, 0], scale).shape == size
    assert imresize_pillow(crop, scale).shape == (*size, 3)


def test_rounding_of_the_scale_adds_no_row():
    for s in range(1, 60):
        assert imresize_bicubic(np.zeros((3 * s, 7 * s), np.uint8), 1 / s).shape == (3, 7)


def test_channels_do_not_mix(sample_image):
    small = imresize_bicubic(sample_image, 1 / 4)
    for channel in range(3):
        plane = imresize_bicubic(np.ascontiguousarray(sample_image[:, :, channel]), 1 / 4)
        np.testing.assert_array_equal(small[:, :, channel], plane)


@given(value=st.integers(0, 255), scale=st.sampled_from([0.25, 1 / 3, 0.5, 2, 3, 4]))
@settings(max_examples=20, deadline=None)
def test_constant_stays_constant(value, scale):
    image = np.full((24, 36), value, np.uint8)
    assert set(np.unique(imresize_bicubic(image, scale))) == {value}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_matrix_is_the_same_filter(sample_image, scale):
    lr = imresize_bicubic(modcrop(sample_image, scale), 1 / scale)[:, :, 1]
    rows = resize_matrix(lr.shape[0], lr.shape[0] * scale, scale)
    columns = resize_matrix(lr.shape[1], lr.shape[1] * scale, scale)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    up = np.clip(np.clip(rows @ lr, 0, 255) @ columns.T, 0, 255)
    # What is left is the rounding of the two passes: half a level, weighted by at most 1.25, twice.
    assert np.abs(up - imresize_bicubic(lr, scale)).max() <= 1.2


def test_pillow_differs_as_documented(sample_image):
    ours, theirs = imresize_bicubic(sample_image, 0.25), imresize_pillow(sample_image, 0.25)
    assert 0.02 < np.mean(ours != theirs) < 0.4


def test_refuses_other_types():
    with pytest.raises(TypeError, match="uint8"):
        imresize_bicubic(np.zeros((4, 4)), 0.5)
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        imresize_bicubic(np.zeros((4,), np.uint8), 0.5)
    with pytest.raises(ValueError, match="positive"):
        imresize_bicubic(np.zeros((4, 4), np.uint8), 0.0)


def test_modcrop_cuts_bottom_and_right():
    image = np.arange(7 * 8).reshape(7, 8)
    np.testing.assert_array_equal(modcrop(image, 3), image[:6, :6])
