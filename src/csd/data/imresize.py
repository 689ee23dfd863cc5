"""Bicubic resizing as the field's low-resolution images were made with it: MATLAB's `imresize`.

Every published LR image of DIV2K and of the benchmarks comes from MATLAB's antialiased bicubic on
uint8, and other bicubic filters differ from it in 10 to 16 % of the pixels. What makes the result
exact: Keys' cubic (a = -0.5) widened by the scale when shrinking, indices outside the image clamped
to its border, rows first, and the intermediate image rounded (half up) and clipped to uint8.
"""

import math

import numpy as np
from PIL import Image

_BICUBIC_SUPPORT = 4.0  # the cubic kernel is zero outside [-2, 2]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5 (IEEE TASSP 29, 1981, equation 15)."""
    a = np.abs(x)
    near = 1.5 * a**3 - 2.5 * a**2 + 1.0
    far = -0.5 * a**3 + 2.5 * a**2 - 4.0 * a + 2.0
    return np.where(a <= 1, near, np.where(a <= 2, far, 0.0))


def resized_length(length: int, scale: float) -> int:
    """MATLAB's output size `ceil(length * scale)`; 15 * 0.2 counts as 3, whatever its last bit."""
    return max(1, math.ceil(length * scale - 1e-9))


def _taps(in_len: int, out_len: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Input indices and weights, int64 and float64 (out_len, taps), of every output position."""
    shrink = min(scale, 1.0)  # antialiasing: the kernel grows with the step between outputs
    width = _BICUBIC_SUPPORT / shrink
    centre = (np.arange(out_len) + 0.5) / scale - 0.5
    left = np.floor(centre - width / 2).astype(np.int64)
    index = left[:, None] + np.arange(math.ceil(width) + 2)
    weight = shrink * _cubic(shrink * (centre[:, None] - index))
    weight /= weight.sum(axis=1, keepdims=True)
    used = weight.any(axis=0)
    return np.clip(index[:, used], 0, in_len - 1), weight[:, used]


def resize_matrix(in_len: int, out_len: int, scale: float) -> np.ndarray:
    """The 1-D bicubic weights as a matrix, float32 (out_len, in_len), rows summing to 1.

    `resize_matrix(h, s * h, s) @ x` up-scales the columns of `x` as `imresize_bicubic` does before
    its rounding; the training graph up-scales negatives with two of these products.
    """
    index, weight = _taps(in_len, out_len, scale)
    matrix = np.zeros((out_len, in_len))
    np.add.at(matrix, (np.arange(out_len)[:, None], index), weight)
    return matrix.astype(np.float32)


def _resize_rows(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize axis 0 of uint8 (H, K) and round to uint8 (ceil(H * scale), K)."""
    index, weight = _taps(len(image), resized_length(len(image), scale), scale)
    out = np.empty((len(index), image.shape[1]), np.uint8)
    # A few output rows at a time keep the float64 working set in the processor's cache. The taps
    # are added in index order, never by a matrix product: its order of summation, which decides
    # how ties round, changes with the linear-algebra library.
    step = max(1, (1 << 15) // max(1, image.shape[1]))
    for start in range(0, len(index), step):
        rows, w = index[start : start + step], weight[start : start + step]
        total = w[:, :1] * image[rows[:, 0]]
        for tap in range(1, rows.shape[1]):
            total += w[:, tap : tap + 1] * image[rows[:, tap]]
        out[start : start + step] = np.clip(np.floor(total + 0.5), 0, 255)
    return out


def imresize_bicubic(image: np.ndarray, scale: float) -> np.ndarray:
    """MATLAB's `imresize(image, scale, 'bicubic')`, bit exact on uint8.

    Args:
        image: uint8 (H, W) or (H, W, C).
        scale: factor, such as 1/4 or 4.0; the output measures ceil(H * scale) x ceil(W * scale).

    Returns:
        uint8 array of as many dimensions as `image`.

    Raises:
        TypeError, ValueError: not a uint8 image, an empty one, or a scale that is not positive.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"imresize_bicubic takes uint8, not {image.dtype}")
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"imresize_bicubic takes (H, W) or (H, W, C), not {image.shape}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be positive, not {scale}")
    planes = image.reshape(*image.shape[:2], -1)
    height, width, channels = planes.shape
    rows = _resize_rows(planes.reshape(height, -1), scale)
    across = rows.reshape(-1, width, channels).transpose(1, 0, 2)  # columns become rows
    across = _resize_rows(np.ascontiguousarray(across).reshape(width, -1), scale)
    result = across.reshape(len(across), len(rows), channels).transpose(1, 0, 2)
    return np.ascontiguousarray(result).reshape(*result.shape[:2], *image.shape[2:])


def imresize_pillow(image: np.ndarray, scale: float) -> np.ndarray:
    """Pillow's bicubic, for comparison with numbers made with it; shapes as `imresize_bicubic`.

    Pillow drops the taps outside the image and computes in fixed point: up to 15 of 255 away.
    """
    height, width = image.shape[:2]
    size = (resized_length(width, scale), resized_length(height, scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def modcrop(image: np.ndarray, scale: int) -> np.ndarray:
    """Crop (H, W, ...) at the bottom and right to a multiple of `scale`; a view, nothing copied."""
    height, width = (n - n % scale for n in image.shape[:2])
    return image[:height, :width]
