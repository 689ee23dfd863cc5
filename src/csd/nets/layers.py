"""Layers whose width is an argument of the call, not a state of the layer.

A layer holds the weight of the full-width network and uses a prefix of both weight axes
("channel splitting", CSD, section 3.1). Widths are Python constants while a graph is compiled, so
one graph may hold any number of them.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from mindspore.common.initializer import Uniform, initializer

from csd.ops.convolution import Convolution
from csd.ops.shuffle import PixelShuffle

# Mean of the DIV2K training images, RGB, 0..255: every published EDSR, RCAN and CARN uses it.
RGB_MEAN = (0.4488 * 255.0, 0.4371 * 255.0, 0.4040 * 255.0)

# For the `__init__` of a block that a network repeats: its graph is derived and simplified once and
# then inlined wherever it occurs. The block's `construct` must not have default values.
compiled_once = ms.lazy_inline(policy="front")


def compile_each(net: nn.Cell) -> None:
    """Undo `compiled_once` in a network that two training steps share.

    The second step's graph sometimes took a block's graph from the first one (MindSpore 2.8: "The
    parameters number of the function is 6, but the number of provided arguments is 5").
    """
    for _, cell in net.cells_and_names():
        if hasattr(cell, "_cell_init_args"):
            del cell._cell_init_args, cell.no_inline


def per_channel(values: tuple[float, ...]) -> ms.Tensor:
    """Constants shaped (1, C, 1, 1), float32, that broadcast over images (N, C, H, W)."""
    return ms.Tensor(np.array(values, np.float32).reshape(1, -1, 1, 1))


class SlimConv2d(nn.Cell):
    """Zero-padded convolution with bias that runs on a prefix of its input and output channels.

    Initialised as U(-b, b), b = 1 / sqrt(fan in), weight and bias alike. `resolution` says on what
    grid it works, for counting its work and how far the network sees: the side over that of the
    LR image, or 0 where it sees one value an image.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, resolution: int = 1
    ):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.resolution = resolution
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


def leaky_relu(x, slope: float):
    """x where it is positive, slope * x elsewhere: bit-exact, and four operators that all have."""
    if slope == 1.0:
        return x
    positive = ops.relu(x)
    return positive if slope == 0.0 else positive - ops.relu(x * -slope)


def bilinear_kernels(factor: int) -> np.ndarray:
    """Float32 (factor^2, 3, 3): the weights of a pixel's neighbours, rows of its cell first."""
    offsets = (np.arange(factor) + 0.5) / factor - 0.5
    taps = np.maximum(0.0, 1.0 - np.abs(offsets[:, None] - np.array([-1.0, 0.0, 1.0])))
    kernels = taps[:, None, :, None] * taps[None, :, None, :]
    return kernels.reshape(factor**2, 3, 3).astype(np.float32)


class Bilinear(nn.Cell):
    """RGB upscaled by a factor, as PyTorch's `interpolate(mode="bilinear", align_corners=False)`.

    A sub-pixel convolution with fixed kernels, float32 at every level of mixed precision. Behind
    zero padding the weights inside the image are divided by their sum, which repeats the border.
    No operator here depends on the size of the image, so that an exported graph need not either.
    """

    def __init__(self, factor: int):
        super().__init__()
        self.factor, self.shuffle = factor, PixelShuffle()
        kernels = np.zeros((3, factor**2, 3, 3, 3), np.float32)
        for channel in range(3):
            kernels[channel, :, channel] = bilinear_kernels(factor)
        self.kernels = ms.Tensor(kernels.reshape(3 * factor**2, 3, 3, 3))

    def construct(self, x):
        """(N, 3, H, W) -> (N, 3, factor * H, factor * W)."""
        inside = ops.conv2d(x * 0.0 + 1.0, self.kernels, None, 1, "pad", 1)
        x = ops.conv2d(x, self.kernels, None, 1, "pad", 1) / inside
        return self.shuffle(x, 3, self.factor)


class Upsampler(nn.Cell):
    """Sub-pixel up-sampling: x2 once or twice, or x3 once.

    Behind each step a leaky ReLU of `slope`; 1 is none, 0 a ReLU.
    """

    def __init__(self, n_feats: int, scale: int, slope: float = 1.0):
        super().__init__()
        self.shuffle, self.slope = PixelShuffle(), slope
        self.factors = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
        self.blocks = nn.CellList(
            [
                # The second convolution works on an image twice as large.
                SlimConv2d(n_feats, f * f * n_feats, resolution=1 if i == 0 else self.factors[0])
                for i, f in enumerate(self.factors)
            ]
        )

    def construct(self, x, m):
        """(N, m, H, W) -> (N, m, scale * H, scale * W)."""
        for i, factor in enumerate(self.factors):
            x = self.shuffle(self.blocks[i](x, m, factor * factor * m), m, factor)
            x = leaky_relu(x, self.slope)
        return x
