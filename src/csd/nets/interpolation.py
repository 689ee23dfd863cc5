"""Initial weights with which a network interpolates: every width starts at bicubic quality.

The first three channels carry the image: delta kernels up to the up-sampler, interpolating
sub-pixel kernels in it, delta kernels to the output; the residual branches begin near zero. The
up-sampler's other channels get the same kernel for each pixel of a cell (ICNR, Aitken et al.,
arXiv 1707.02937), so that they show no dot pattern either. A sub-network is a prefix of the
channels, so that it carries the image as well, if it has three channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mindspore as ms
import numpy as np

from csd.nets.layers import SlimConv2d, Upsampler

RGB = 3  # the channels that carry the image
# Factors on the usual initial weights of what would disturb the image. Adam moves a weight by the
# learning rate a step, whatever its size: small branches grow in some hundred steps.
_BRANCH = 0.1
_LEAK = 0.01


@dataclass(frozen=True)
class ImagePath:
    """The layers of a network through which its first three channels carry the image.

    head, tail: the first and the last convolution; carriers: convolutions in between that must
    pass the channels on; branches: the last convolution of every residual branch that is added to
    them; offset: a constant that keeps the image positive between head and tail, where an
    activation stands between them, else 0.
    """

    head: SlimConv2d
    branches: Sequence[SlimConv2d]
    upsampler: Upsampler
    tail: SlimConv2d
    carriers: Sequence[SlimConv2d] = ()
    offset: float = 0.0


def start_as_interpolation(path: ImagePath) -> None:
    """Set the weights of the layers of `path`; what they do not decide keeps its initial value."""
    _carry(path.head, path.offset)
    for conv in path.carriers:
        _carry(conv)
    for conv in path.branches:
        _set(conv, *(_quieten(values) for values in _get(conv)))
    for conv, factor in zip(path.upsampler.blocks, path.upsampler.factors, strict=True):
        _interpolate(conv, factor)
    _carry(path.tail, -path.offset)


def interpolating_kernels(factor: int) -> np.ndarray:
    """float32 (factor^2, 3, 3): the kernel of each pixel of a cell, rows first, pixel centres.

    A pixel is the value of the parabolas through its 3 x 3 LR neighbours. On the Set5 images `head`
    and `woman` that reaches 33.67, 30.76, 29.13 dB at x2, x3, x4; bicubic 33.52, 30.74, 29.04;
    bilinear kernels, which would fit as well, 32.36, 30.04, 27.99.
    """
    t = (np.arange(factor) + 0.5) / factor - 0.5
    taps = np.stack([t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2], axis=1)
    kernels = taps[:, None, :, None] * taps[None, :, None, :]
    return kernels.reshape(factor**2, 3, 3).astype(np.float32)


def _carry(conv: SlimConv2d, offset: float = 0.0) -> None:
    """Make the first three outputs of `conv` the first three inputs plus `offset`, hardly more."""
    weight, bias = _get(conv)
    weight[:RGB] *= _LEAK
    weight[:RGB, :RGB], bias[:RGB] = 0.0, offset
    centre = weight.shape[2] // 2
    weight[range(RGB), range(RGB), centre, centre] = 1.0
    _set(conv, weight, bias)


def _quieten(values: np.ndarray) -> np.ndarray:
    """Weights or biases of a branch's end: small, and smaller where they meet the image."""
    values = values * np.float32(_BRANCH)
    values[:RGB] *= _LEAK
    return values


def _interpolate(conv: SlimConv2d, factor: int) -> None:
    """Interpolating kernels for three channels of a sub-pixel stage, ICNR for the others."""
    weight, bias = _get(conv)
    cell = factor**2
    weight = np.repeat(weight[::cell], cell, axis=0)
    bias = np.repeat(bias[::cell], cell)
    weight[: RGB * cell], bias[: RGB * cell] = 0.0, 0.0
    for channel in range(RGB):
        weight[channel * cell : (channel + 1) * cell, channel] = interpolating_kernels(factor)
    _set(conv, weight, bias)


def _get(conv: SlimConv2d) -> tuple[np.ndarray, np.ndarray]:
    return conv.weight.asnumpy().copy(), conv.bias.asnumpy().copy()


def _set(conv: SlimConv2d, weight: np.ndarray, bias: np.ndarray) -> None:
    conv.weight.set_data(ms.Tensor(weight))
    conv.bias.set_data(ms.Tensor(bias))
