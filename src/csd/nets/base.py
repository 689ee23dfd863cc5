"""What every slimmable super-resolution network has in common."""

import mindspore as ms
from mindspore import nn, ops

from csd.errors import InputError
from csd.nets.interpolation import ImagePath
from csd.nets.layers import RGB_MEAN, per_channel


def slim(channels: int, width: float) -> int:
    """Channels that a layer of `channels` keeps at `width`: int(channels * width)."""
    return int(channels * width)


class SlimmableSR(nn.Cell):
    """Base of EDSR, RCAN and CARN.

    A subclass calls `net(x, width=1.0)`: x float32 (N, 3, H, W), RGB 0..255 ->
    (N, 3, scale * H, scale * W), and gives in `student_config` its student's hyper-parameters.
    `name`, `scale` and `hyper` are all that `create_model` needs to build it again.
    """

    name = ""

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

    def image_path(self) -> ImagePath:
        """The layers that `start_as_interpolation` sets, for `model.init=interpolation`.

        Raises:
            InputError: the network has no such path.
        """
        raise InputError(f"{self.name} cannot start as an interpolation; use model.init=default")

    def describe(self) -> dict:
        """Name, scale and hyper-parameters as plain data, for checkpoints and reports."""
        return {"name": self.name, "scale": self.scale, **self.hyper}


def check_width(net: SlimmableSR, width: float) -> None:
    """Raise InputError unless 0 < width <= 1 leaves every layer of `net` a channel."""
    if not 0.0 < width <= 1.0:
        raise InputError(f"width {width} is outside (0, 1]; 0.25, 0.5 and 1.0 are usual")
    for key, value in net.student_config(width).items():
        if key in ("n_feats", "n_squeezed") and value < 1:
            raise InputError(
                f"width {width} leaves no channel in {net.name} where it has {key} = "
                f"{net.hyper[key]}; use a width of at least {1 / net.hyper[key]:.4g}"
            )


def copy_prefix(source: nn.Cell, target: nn.Cell) -> None:
    """Give every parameter of `target` the leading part of its namesake in `source`."""
    weights = source.parameters_dict()
    for name, parameter in target.parameters_dict().items():
        prefix = tuple(slice(0, n) for n in parameter.shape)
        parameter.set_data(ms.Tensor(weights[name].asnumpy()[prefix]))
