"""Layers whose width is an argument of the call, not a state of the layer.

A layer holds the weight of the whole network and uses a prefix of both weight axes
("channel splitting", CSD, section 3.1). Widths are Python constants while a graph is compiled, so
one graph may hold any number of them.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from mindspore.common.initializer import Uniform, initializer

from csd.ops import device
from csd.ops.convolution import Convolution

# Mean of the DIV2K training images, RGB, 0..255: every published EDSR, RCAN and CARN uses it.
RGB_MEAN = (0.4488 * 255.0, 0.4371 * 255.0, 0.4040 * 255.0)

# For the `__init__` of a block that a network repeats: its graph is derived and simplified once and
# then inlined wherever it occurs. The block's `construct` must not have default values.
compiled_once = ms.lazy_inline(policy="front")


def per_channel(values: tuple[float, ...]) -> ms.Tensor:
    """Constants shaped (1, C, 1, 1), float32, that broadcast over images (N, C, H, W)."""
    return ms.Tensor(np.array(values, np.float32).reshape(1, -1, 1, 1))


class SlimConv2d(nn.Cell):
    """Zero-padded convolution with bias that runs on a prefix of its input and output channels.

    Initialised as U(-b, b), b = 1 / sqrt(fan in), weight and bias alike.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.padding = kernel_size // 2
        self.convolution = Convolution(in_channels, out_channels)
        bound = 1.0 / math.sqrt(in_channels * kernel_size**2)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = ms.Parameter(initializer(Uniform(bound), shape), name="weight")
        self.bias = ms.Parameter(initializer(Uniform(bound), (out_channels,)), name="bias")

    def construct(self, x, in_channels, out_channels):
        """Convolve x (N, in_channels, H, W) to (N, out_channels, H, W); both at most the full."""
        weight, bias = self.weight, self.bias
        if out_channels < self.out_channels:
            weight, bias = weight[:out_channels], bias[:out_channels]
        if in_channels < self.in_channels:
            weight = weight[:, :in_channels]
        return self.convolution(x, weight, bias)


def pixel_shuffle(x, channels: int, factor: int):
    """Rearrange (N, channels * factor^2, H, W) to (N, channels, factor * H, factor * W)."""
    _, _, height, width = x.shape
    # -1, not the batch: an exported network of a fixed size then still takes any batch.
    x = ops.reshape(x, (-1, channels, factor, factor, height, width))
    x = ops.transpose(x, (0, 1, 4, 2, 5, 3))
    return ops.reshape(x, (-1, channels, height * factor, width * factor))


def fold_shuffle(x, channels: int, factor: int):
    """`pixel_shuffle` of tensors whose shape is known, as one `fold` of factor x factor patches.

    The CPU's transposition of five or six axes keeps an index of eight bytes for every element, for
    as long as its graph lives; fold keeps nothing, takes as long, and compiles faster.
    """
    batch, _, height, width = x.shape
    size = ms.Tensor((height * factor, width * factor), ms.int32)
    x = ops.reshape(x, (batch, channels * factor * factor, height * width))
    return ops.fold(x, size, factor, 1, 0, factor)


def channel_means(x):
    """Means over the image of x (N, C, H, W), float32: (N, C, 1, 1).

    A reduction of rows; over two axes of four it and its gradient take twice the time on the CPU.
    """
    batch, channels, height, width = x.shape
    means = ops.mean(ops.reshape(x, (batch * channels, height * width)), 1, True)
    return ops.reshape(means, (batch, channels, 1, 1))


def scale_channels(x, gates):
    """x (N, C, H, W) times gates (N, C, 1, 1).

    Where it broadcasts, the CPU's product keeps two indices of eight bytes for every element of x,
    for as long as its graph lives, and its gradient two more; of equal shapes it keeps none. In an
    RCAN of 200 blocks a tile of 240 x 240 pixels costs 12 GB of indices.
    """
    batch, channels, height, width = x.shape
    shape = (batch * channels, height * width)
    gates = ops.broadcast_to(ops.reshape(gates, (batch * channels, 1)), shape)
    return ops.reshape(ops.reshape(x, shape) * gates, (batch, channels, height, width))


class Upsampler(nn.Cell):
    """Sub-pixel up-sampling without activation: x2 once or twice, or x3 once."""

    def __init__(self, n_feats: int, scale: int):
        super().__init__()
        self.folds = device.is_cpu()
        self.factors = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
        self.blocks = nn.CellList([SlimConv2d(n_feats, f * f * n_feats) for f in self.factors])

    def construct(self, x, m):
        """(N, m, H, W) -> (N, m, scale * H, scale * W)."""
        for i, factor in enumerate(self.factors):
            x = self.blocks[i](x, m, factor * factor * m)
            if self.training and self.folds:
                x = fold_shuffle(x, m, factor)
            else:
                x = pixel_shuffle(x, m, factor)
        return x
