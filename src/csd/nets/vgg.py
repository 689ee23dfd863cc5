"""The frozen VGG encoder (Simonyan & Zisserman, arXiv 1409.1556) of the contrastive loss."""

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from csd.errors import InputError
from csd.nets.layers import per_channel
from csd.ops.convolution import Convolution, add_bias

# Output channels of each 3x3 convolution; "M" halves the resolution and begins a stage.
VGG16_LAYERS = (
    *(64, 64, "M", 128, 128, "M", 256, 256, 256, "M"),
    *(512, 512, 512, "M", 512, 512, 512, "M"),
)
VGG19_LAYERS = (
    *(64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M"),
    *(512, 512, 512, 512, "M", 512, 512, 512, 512, "M"),
)
VGG_LAYERS = {"vgg16": VGG16_LAYERS, "vgg19": VGG19_LAYERS}


def _plan(layers: Sequence[int | str]) -> list[tuple[int, int, bool, bool]]:
    """(in, out, pool before, tap after) of every convolution up to the last tap."""
    plan, channels, first, pool = [], 3, True, False
    for layer in layers:
        if layer == "M":
            first = pool = True
            continue
        plan.append((channels, int(layer), pool, first))
        channels, first, pool = int(layer), False, False
    last_tap = max(i for i, step in enumerate(plan) if step[3])
    return plan[: last_tap + 1]


class FrozenConv2d(nn.Cell):
    """3x3 convolution whose weights are never trained; `activate` is left to the caller."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        shape = (out_channels, in_channels, 3, 3)
        zeros = ms.Tensor(np.zeros(shape, np.float32)), ms.Tensor(np.zeros(shape[0], np.float32))
        self.weight = ms.Parameter(zeros[0], name="weight", requires_grad=False)
        self.bias = ms.Parameter(zeros[1], name="bias", requires_grad=False)
        # Beside the weight, because it need not be made anew in every step.
        adjoint = ms.Tensor(np.zeros((in_channels, out_channels, 3, 3), np.float32))
        self.adjoint = ms.Parameter(adjoint, name="adjoint", requires_grad=False)
        self.convolution = Convolution(in_channels, out_channels)

    def load(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Set weight (out, in, 3, 3) and bias (out,)."""
        weight = np.asarray(weight, np.float32)
        self.weight.set_data(ms.Tensor(weight))
        self.adjoint.set_data(ms.Tensor(weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1].copy()))
        self.bias.set_data(ms.Tensor(np.asarray(bias, np.float32)))

    def construct(self, x):
        return self.convolution(x, self.weight, None, self.adjoint)

    def activate(self, x):
        """Add the bias, ReLU. A method: a parent that reads `bias` would read it past any cast."""
        return ops.relu(add_bias(x, self.bias))


class VGGEncoder(nn.Cell):
    """Activations after the first ReLU of every stage; nothing is built behind the last of them.

    Args:
        layers: such as VGG19_LAYERS.
        mean, std: RGB, 0..255; (x - mean) / std is applied first where they are given. Without
            them the input is used as it is, which is what the paper's code does with VGG-19.

    `encoder(x)`: x float32 (N, 3, H, W), RGB 0..255 -> tuple of (N, C_i, H / 2^i, W / 2^i).
    """

    def __init__(
        self,
        layers: Sequence[int | str],
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        plan = _plan(layers)
        self.convs = nn.CellList([FrozenConv2d(i, o) for i, o, _, _ in plan])
        self.pools = tuple(pool for _, _, pool, _ in plan)
        self.taps = tuple(tap for _, _, _, tap in plan)
        ends = [i for i, tap in enumerate(self.taps) if tap]
        # First and last convolution of each stage.
        self.bounds = tuple(zip((0, *(end + 1 for end in ends)), ends, strict=False))
        self.mean = per_channel(tuple(mean)) if mean is not None else None
        self.std = per_channel(tuple(std)) if std is not None else None
        # Not ops.max_pool2d: on the CPU its gradient takes forty times as long.
        self.pool = ops.MaxPool(kernel_size=2, strides=2, pad_mode="valid")
        self.loaded = False

    def load_conv_weights(self, convs: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Set the weights, in the order of the layers.

        Args:
            convs: (weight (out, in, 3, 3) for RGB input, bias (out,)) of each convolution; those
                behind the last tap may be absent.

        Raises:
            InputError: too few convolutions, or a shape that does not fit.
        """
        if len(convs) < len(self.convs):
            raise InputError(
                f"the VGG encoder needs {len(self.convs)} convolutions, the file holds {len(convs)}"
            )
        for i, (cell, (weight, bias)) in enumerate(zip(self.convs, convs, strict=False)):
            if tuple(weight.shape) != tuple(cell.weight.shape):
                raise InputError(
                    f"VGG convolution {i}: expected a weight of shape {tuple(cell.weight.shape)}, "
                    f"found {tuple(weight.shape)}"
                )
            cell.load(weight, bias)
        self.loaded = True

    def load_random_weights(self, seed: int = 0) -> None:
        """He-normal weights: features of nothing, for tests and benchmarks alone."""
        rng = np.random.default_rng(seed)
        convs = []
        for cell in self.convs:
            shape = cell.weight.shape
            scale = np.sqrt(2.0 / np.prod(shape[1:]))
            convs.append((rng.normal(0.0, scale, shape), np.zeros(shape[0])))
        self.load_conv_weights(convs)

    def construct(self, x):
        features = ()
        for stage in range(len(self.bounds)):
            x = self.stage(x, stage)
            features = (*features, x)
        return features

    def stage(self, x, number: int):
        """Feature map `number` from the one before it, or from the images for the first."""
        if number == 0:
            if self.mean is not None:
                x = x - self.mean
            if self.std is not None:
                x = x / self.std
        first, last = self.bounds[number]
        if self.pools[first]:
            x = self.pool(x)
        for i in range(first, last + 1):
            conv = self.convs[i]
            x = conv(x)
            # The largest of four values is the same one before their bias and ReLU as behind them,
            # and leaves these a quarter of the work.
            if i < last and self.pools[i + 1]:
                x = self.pool(x)
            x = conv.activate(x)
        return x
