"""The pixel shuffle, in the form that needs the least memory on the device."""

import mindspore as ms
from mindspore import nn, ops

from csd.ops import device


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


class PixelShuffle(nn.Cell):
    """`construct(x, channels, factor)`: as `pixel_shuffle`; folds where the CPU trains."""

    def __init__(self):
        super().__init__()
        self.folds = device.is_cpu()

    def construct(self, x, channels, factor):
        if self.training and self.folds:
            return fold_shuffle(x, channels, factor)
        return pixel_shuffle(x, channels, factor)
