"""Means of channels and products with one number a channel, in the form that suits the device.

Where it broadcasts, the CPU's product keeps two indices of eight bytes for every element, for as
long as its graph lives, and its gradient two more; of equal shapes it keeps none. In an RCAN of 200
blocks a tile of 240 x 240 pixels costs 12 GB of indices. A mean over two axes of four and its
gradient take twice the time of a mean over rows.
"""

import mindspore as ms
from mindspore import nn, ops

from csd.ops import device


def mean_of_rows(x):
    """Means over the image of x (N, C, H, W): (N, C, 1, 1), as a reduction of rows."""
    batch, channels, height, width = x.shape
    means = ops.mean(ops.reshape(x, (batch * channels, height * width)), 1, True)
    return ops.reshape(means, (batch, channels, 1, 1))


def scale_rows(x, factors):
    """x (N, C, H, W) times factors (N, C, 1, 1), as a product of equal shapes."""
    batch, channels, height, width = x.shape
    shape = (batch * channels, height * width)
    factors = ops.broadcast_to(ops.reshape(factors, (batch * channels, 1)), shape)
    return ops.reshape(ops.reshape(x, shape) * factors, (batch, channels, height, width))


class ChannelMean(nn.Cell):
    """`construct(x)`: (N, C, H, W) -> its means over the image, float32 (N, C, 1, 1)."""

    def __init__(self):
        super().__init__()
        self.by_rows = device.is_cpu()

    def construct(self, x):
        x = ops.cast(x, ms.float32)  # thousands of float16 values would overflow their sum
        return mean_of_rows(x) if self.by_rows else ops.mean(x, (2, 3), True)


class _Product(nn.Cell):
    """x * factors. The gradient of the factors is a sum over the image, float32 like every sum."""

    def construct(self, x, factors):
        return x * ops.cast(factors, x.dtype)

    def bprop(self, x, factors, out, dout):
        products = ops.cast(dout, ms.float32) * ops.cast(x, ms.float32)
        gradient = ops.reduce_sum(products, (2, 3))
        gradient = ops.cast(ops.reshape(gradient, factors.shape), factors.dtype)
        return dout * ops.cast(factors, dout.dtype), gradient


class ChannelScale(nn.Cell):
    """`construct(x, factors)`: (N, C, H, W) times (N, C, 1, 1), in the precision of x."""

    def __init__(self):
        super().__init__()
        self.by_rows, self.product = device.is_cpu(), _Product()

    def construct(self, x, factors):
        if self.by_rows:
            return scale_rows(x, ops.cast(factors, x.dtype))
        return self.product(x, factors)


def use_plain_forms(root: nn.Cell) -> None:
    """Let the cells below `root` reduce and broadcast: what other runtimes know and do well."""
    for _, cell in root.cells_and_names():
        if isinstance(cell, ChannelMean | ChannelScale):
            cell.by_rows = False
