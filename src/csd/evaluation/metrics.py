"""PSNR and SSIM as the super-resolution field reports them.

Conventions (those of the MATLAB scripts behind the published tables):

- luma is MATLAB's `rgb2ycbcr` (ITU-R BT.601, studio range 16..235), kept in floating point:
  rounding it to uint8 would change PSNR by up to 0.05 dB;
- `shave` pixels are removed on each side first, the scale for Y and scale + 6 for DIV2K's RGB;
- SSIM (Wang et al., IEEE TIP 2004): an 11 x 11 Gaussian window of sigma 1.5, only where it
  fits whole, K1 = 0.01, K2 = 0.03, dynamic range 255.
"""

import math

import cv2
import numpy as np

from csd.errors import InputError

_LUMA = np.array([65.481, 128.553, 24.966]) / 255.0
_LUMA_OFFSET = 16.0
_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


def rgb_to_y(image: np.ndarray) -> np.ndarray:
    """Luma of an RGB image (H, W, 3) in 0..255: float64 (H, W) in 16..235."""
    return image.astype(np.float64) @ _LUMA + _LUMA_OFFSET


def check_pair(sr: np.ndarray, hr: np.ndarray, shave: int, least: int) -> None:
    """Raise InputError unless both are uint8 (H, W, 3) of one size, `least` inside the border."""
    for name, image in (("upscaled", sr), ("true", hr)):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(
                f"the {name} image must be uint8 of shape (H, W, 3), not {image.dtype} of shape "
                f"{image.shape}"
            )
    if sr.shape != hr.shape:
        raise InputError(
            f"the upscaled image is {sr.shape[1]}x{sr.shape[0]} and the true one "
            f"{hr.shape[1]}x{hr.shape[0]}: crop them to equal sizes "
            "(csd.data.load_pair crops an HR image that exceeds by a few rows)"
        )
    if shave < 0:
        raise InputError(f"shave must not be negative, and is {shave}")
    if min(sr.shape[:2]) - 2 * shave < least:
        raise InputError(
            f"an image of {sr.shape[1]}x{sr.shape[0]} pixels is too small for this metric: after "
            f"a border of {shave} it must keep at least {least}x{least}"
        )


def _shave(image: np.ndarray, shave: int) -> np.ndarray:
    return image[shave : image.shape[0] - shave, shave : image.shape[1] - shave]


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(np.mean(np.square(a - b)))
    return math.inf if error == 0.0 else 10.0 * math.log10(255.0**2 / error)


def psnr_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """PSNR of the luma in dB, peak 255; identical images give `inf`.

    sr, hr: uint8 (H, W, 3) RGB of one size; shave: border left out, by convention the scale.
    Raises InputError for other types, different sizes, or nothing left after the border.
    """
    check_pair(sr, hr, shave, 1)
    return _psnr(rgb_to_y(_shave(sr, shave)), rgb_to_y(_shave(hr, shave)))


def psnr_rgb(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """PSNR over the three colour channels in dB, peak 255 (DIV2K: shave = scale + 6).

    Arguments and errors as `psnr_y`.
    """
    check_pair(sr, hr, shave, 1)
    return _psnr(_shave(sr, shave).astype(np.float64), _shave(hr, shave).astype(np.float64))


def _gaussian_mean(plane: np.ndarray) -> np.ndarray:
    """Gaussian-weighted mean of every whole window: (H, W) -> (H - 10, W - 10)."""
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_64F)
    margin = _WINDOW // 2
    blurred = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return blurred[margin:-margin, margin:-margin]


def ssim_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """Mean structural similarity of the luma, at most 1.

    Arguments and errors as `psnr_y`; after the border at least 11 x 11 pixels must remain.
    """
    check_pair(sr, hr, shave, _WINDOW)
    a, b = rgb_to_y(_shave(sr, shave)), rgb_to_y(_shave(hr, shave))
    mean_a, mean_b = _gaussian_mean(a), _gaussian_mean(b)
    var_a = _gaussian_mean(a * a) - mean_a**2
    var_b = _gaussian_mean(b * b) - mean_b**2
    covariance = _gaussian_mean(a * b) - mean_a * mean_b
    similarity = ((2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)) / (
        (mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2)
    )
    return float(similarity.mean())
