"""What every slimmable super-resolution network has in common."""

from collections.abc import Mapping
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from csd.errors import InputError
from csd.nets.foreign import Layout
from csd.nets.interpolation import ImagePath
from csd.nets.layers import RGB_MEAN, SlimConv2d, per_channel
from csd.nets.reorder import Space


def slim(channels: int, width: float) -> int:
    """Channels that a layer of `channels` keeps at `width`: int(channels * width)."""
    return int(channels * width)


class SlimmableSR(nn.Cell):
    """Base of every backbone: what the rest of the package asks a network for.

    `net(x, width=1.0)`: x float32 (N, 3, H, W), RGB 0..255 -> (N, 3, scale * H, scale * W).
    `name`, `scale` and `hyper` are all that `create_model` needs to build it again. A subclass has

    - `name`, and `HYPER`, the table of hyper-parameters, a literal: see `csd.backbones.Hyper`;
    - `construct(x, width=1.0)`, `student_config` and `blocks`;
    - `LAYOUTS` and `infer`, where other programs have weights for it;
    - `folded`, where it multiplies by a constant;
    - `pools = True`, where an output pixel depends on averages over the whole image, and then
      `pooled_shape` and `pooled` as `RCAN` has, or its tiles use their own averages;
    - `shifts_mean = False`, where it does not subtract the mean of DIV2K.
    """

    name = ""
    HYPER: tuple[tuple, ...] = ()
    LAYOUTS: tuple[Layout, ...] = ()
    pools = False
    shifts_mean = True

    def __init__(self, scale: int, **hyper: float):
        super().__init__()
        self.scale = scale
        self.hyper = hyper
        self.rgb_mean = per_channel(RGB_MEAN)
        # Added, not subtracted: an exported network needs one operator less.
        self.minus_mean = per_channel(tuple(-value for value in RGB_MEAN))

    def plus_mean(self, x):
        """The last addition, float32 also behind a float16 convolution."""
        return ops.cast(x, ms.float32) + self.rgb_mean

    def blocks(self) -> list[nn.Cell]:
        """The repeated blocks, in order: what is recomputed where memory is short."""
        raise NotImplementedError

    def student_config(self, width: float) -> dict:
        """Hyper-parameters of the dense network whose weights are the prefix at `width`."""
        raise NotImplementedError

    @classmethod
    def infer(
        cls, state: Mapping[str, np.ndarray], given: Mapping[str, Any], source: str
    ) -> dict[str, Any]:
        """Scale and hyper-parameters from tensors with our names, of the file `source`.

        `given`: those that the caller names, for what is in no tensor.

        Raises:
            InputError: naming the tensor that makes no sense, or what has to be given.
        """
        raise NotImplementedError

    def convolutions(self) -> list[SlimConv2d]:
        """Every convolution, in no particular order; each has its `resolution`."""
        return [cell for _, cell in self.cells_and_names() if isinstance(cell, SlimConv2d)]

    def folded(self) -> tuple[dict, dict[str, float]]:
        """An equal network without products with constants, for export.

        Returns:
            Its hyper-parameters, and factors of those parameters that differ from this network's.
        """
        return self.hyper, {}

    def image_path(self) -> ImagePath:
        """The layers that `start_as_interpolation` sets, for `model.init=interpolation`.

        Raises:
            InputError: the network has no such path.
        """
        raise InputError(f"{self.name} cannot start as an interpolation; use model.init=default")

    def spaces(self) -> list[Space]:
        """The channels that `reorder_channels` may sort or rotate, for `train.reorder`.

        Raises:
            InputError: the network has none.
        """
        raise InputError(
            f"the channels of {self.name} cannot be reordered; leave train.reorder out"
        )

    def describe(self) -> dict:
        """Name, scale and hyper-parameters as plain data, for checkpoints and reports."""
        return {"name": self.name, "scale": self.scale, **self.hyper}

    def title(self) -> str:
        """The same in words: `edsr x4 (n_feats 64, ...)`."""
        hyper = ", ".join(f"{key} {value}" for key, value in self.hyper.items())
        return f"{self.name} x{self.scale} ({hyper})"


def check_width(net: SlimmableSR, width: float) -> None:
    """Raise InputError unless 0 < width <= 1 leaves every layer of `net` a channel."""
    if not 0.0 < width <= 1.0:
        raise InputError(f"width {width} is outside (0, 1]; 0.25, 0.5 and 1.0 are usual")
    for key, value in net.student_config(width).items():
        if type(value) is int and value < 1:
            raise InputError(
                f"width {width} leaves no channel in {net.name} where it has {key} = "
                f"{net.hyper[key]}; use a width of at least {1 / net.hyper[key]:.4g}"
            )


def copy_prefix(source: nn.Cell, target: nn.Cell) -> None:
    """Give every parameter of `target` the leading part of its namesake in `source`."""
    weights = source.parameters_dict()
    for name, parameter in target.parameters_dict().items():
        parameter.set_data(ms.Tensor(weights[name].asnumpy()[_prefix(parameter)]))


def replace_prefix(target: nn.Cell, source: nn.Cell) -> None:
    """Give the leading part of every parameter of `target` the values of its namesake in `source`.

    The inverse of `copy_prefix`: `source` has at most the channels of `target`.
    """
    weights = source.parameters_dict()
    for name, parameter in target.parameters_dict().items():
        value = parameter.asnumpy().copy()
        value[_prefix(weights[name])] = weights[name].asnumpy()
        parameter.set_data(ms.Tensor(value))


def _prefix(parameter: ms.Parameter) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in parameter.shape)
