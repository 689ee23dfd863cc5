"""The dot pattern of a pixel shuffle: the measure, its limit, and the networks that are shipped."""

from pathlib import Path

import numpy as np
import pytest
from evaluation.checkerboard import PERIODS, Checkerboard, checkerboard, periodic_energy, pooled

import csd
from csd.data import benchmark_pairs, imresize_bicubic, load_pair
from csd.errors import InputError

PRETRAINED = Path(csd.__file__).parent / "pretrained"
LUMA = (65.481 + 128.553 + 24.966) / 255  # of a grey level

# The 0.25 students of the first networks that came with the package, whose dots are plain to see,
# on the five images of Set5: {scale: {period: (output, HR)}}.
DOTTED_STUDENTS = {2: {2: (0.0858, 0.0101)}, 4: {2: (0.0478, 0.0101), 4: (0.1861, 0.1210)}}


def _image(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[:, :, None], 3, axis=2).astype(np.uint8)


def _dots(shape: tuple[int, ...], period: int, height: int) -> np.ndarray:
    dots = np.zeros(shape, np.int32)
    dots[::period, ::period] = height
    return dots


@pytest.mark.parametrize("period", [2, 3, 4])
def test_energy_of_dots_is_their_variance(period):
    sr = _image(100 + _dots((32, 48), period, 6))
    measured = {c.period: c for c in checkerboard(sr, _image(np.full((32, 48), 100)), period)}
    share = 1 / period**2
    expected = (6 * LUMA) ** 2 * share * (1 - share)
    # The plane that is fitted takes a few hundredths of the pattern with it.
    assert measured[period].sr == pytest.approx(expected, rel=0.03)
    assert measured[period].hr < 1e-20 and measured[period].blocks == 6


def test_period_of_four_is_not_seen_at_two_where_it_cancels():
    columns = np.tile([10, 0, -10, 0], 8)  # period 4 only: equal phases of two cancel
    sr = _image(100 + np.broadcast_to(columns, (32, 32)))
    two, four = checkerboard(sr, _image(np.full((32, 32), 100)), 4)
    assert two.sr < 0.02 and four.sr == pytest.approx(50 * LUMA**2, rel=0.05)


def test_gradients_and_other_periods_do_not_count():
    y, x = np.mgrid[0:16, 0:16].astype(np.float64)
    for period in (2, 3, 4):
        assert periodic_energy((0.7 * x - 0.2 * y + 5)[None], period) == pytest.approx(0, abs=1e-20)
    waves = np.sin(2 * np.pi * x / 8)[None]  # whole waves of period 8
    assert periodic_energy(waves, 2) < 0.02 * waves.var()
    noise = np.random.default_rng(0).normal(0, 2, (4000, 16, 16))
    # Independent noise of variance 4: each phase is a mean of 64, three of four are free.
    assert periodic_energy(noise, 2) == pytest.approx(4 / 64 * 3 / 4, rel=0.05)


def test_only_blocks_that_are_flat_in_hr_count():
    hr = np.full((32, 32), 90)
    hr[:16, :16] += _dots((16, 16), 2, 40)  # not flat: deviates by 17
    sr = hr.copy()
    sr[:16, :16] += _dots((16, 16), 2, 100)
    sr[16:, 16:] += _dots((16, 16), 2, 4)
    (measured,) = checkerboard(_image(sr), _image(hr), 2)
    assert measured.blocks == 3 and measured.hr < 1e-20
    assert measured.sr == pytest.approx((4 * LUMA) ** 2 * 3 / 16 / 3, rel=0.03)


def test_image_without_a_flat_block():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32))
    assert checkerboard(_image(noise), _image(noise), 2) == [Checkerboard(2, 0.0, 0.0, 0)]
    with pytest.raises(InputError, match="too small"):
        checkerboard(_image(noise[:15]), _image(noise[:15]), 2)


def test_several_images_count_by_their_blocks():
    one, other = Checkerboard(2, 1.0, 0.5, 1), Checkerboard(2, 4.0, 2.0, 2)
    assert pooled([[one], [other]]) == [Checkerboard(2, 3.0, 1.5, 3)]


@pytest.mark.parametrize("scale", DOTTED_STUDENTS)
def test_dots_that_one_sees_exceed_the_limit(scale):
    for period, (sr, hr) in DOTTED_STUDENTS[scale].items():
        assert sr > Checkerboard(period, sr, hr, 422).limit


def _measure(folder, scale, enlarge):
    pairs = [load_pair(pair, scale) for pair in benchmark_pairs(folder, "Set5", scale)]
    return pooled([checkerboard(enlarge(lr), hr, scale) for hr, lr in pairs])


@pytest.mark.parametrize("scale", PERIODS)
def test_dots_on_a_bicubic_image_exceed_the_limit(reference, scale):
    """At every period of the scale, on the two images that come with the tests."""

    def enlarge(lr):
        image = imresize_bicubic(lr, scale).astype(np.int32)
        dots = sum(_dots(image.shape[:2], period, 2) for period in PERIODS[scale])
        return np.clip(image + dots[:, :, None], 0, 255).astype(np.uint8)

    for measured in _measure(reference / "benchmark", scale, enlarge):
        assert measured.blocks > 50 and measured.sr > measured.limit


@pytest.mark.parametrize("scale", PERIODS)
def test_bicubic_has_no_dots(shared_data, scale):
    for measured in _measure(
        shared_data / "benchmark", scale, lambda lr: imresize_bicubic(lr, scale)
    ):
        assert measured.blocks > 300 and measured.sr < measured.limit


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(PRETRAINED.glob("*.ckpt")), ids=lambda file: file.stem)
def test_shipped_networks_have_no_dots(mindspore_cpu, shared_data, file):
    """Every trained width of every network in the package, on Set5."""
    from csd.evaluation import network_methods
    from csd.inference import open_upscaler

    upscaler = open_upscaler(file)
    for method in network_methods(upscaler, upscaler.widths):
        for measured in _measure(shared_data / "benchmark", upscaler.scale, method.enlarge):
            assert measured.sr < measured.limit, (method.label, measured)
