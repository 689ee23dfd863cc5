"""RCAN (Zhang et al., ECCV 2018, arXiv 1807.02758), slimmable: channel attention slims too."""

import mindspore as ms
from mindspore import nn, ops

from csd.errors import InputError
from csd.nets.base import SlimmableSR, slim
from csd.nets.interpolation import ImagePath
from csd.nets.layers import (
    SlimConv2d,
    Upsampler,
    channel_means,
    compiled_once,
    scale_channels,
)
from csd.ops import device


class ChannelAttention(nn.Cell):
    """Scale each channel by a gate computed from the channels' means over the image.

    Returns the result and the means, (N, m, 1, 1). `given`, of that shape, are other means, which
    the gate takes to the share `trust` (0 or 1) instead of its own. `by_rows` computes the same in
    the way that suits MindSpore on the CPU.
    """

    def __init__(self, n_feats: int, n_squeezed: int):
        super().__init__()
        self.conv_du = nn.CellList(
            [SlimConv2d(n_feats, n_squeezed, 1), SlimConv2d(n_squeezed, n_feats, 1)]
        )
        self.by_rows = device.is_cpu()

    def construct(self, x, m, s, given, trust):
        wide = ops.cast(x, ms.float32)  # thousands of float16 values would overflow their sum
        mean = channel_means(wide) if self.by_rows else ops.mean(wide, (2, 3), True)
        gate = mean if given is None else given * trust + mean * (1.0 - trust)
        gate = ops.sigmoid(self.conv_du[1](ops.relu(self.conv_du[0](gate, m, s)), s, m))
        gate = ops.cast(gate, x.dtype)
        return scale_channels(x, gate) if self.by_rows else x * gate, mean


class RCAB(nn.Cell):
    """Residual channel attention block."""

    @compiled_once
    def __init__(self, n_feats: int, n_squeezed: int):
        super().__init__()
        self.body = nn.CellList([SlimConv2d(n_feats, n_feats), SlimConv2d(n_feats, n_feats)])
        self.caLayer = ChannelAttention(n_feats, n_squeezed)

    def construct(self, x, m, s, given, trust):
        r = self.body[1](ops.relu(self.body[0](x, m, m)), m, m)
        r, mean = self.caLayer(r, m, s, given, trust)
        return r + x, mean


class ResidualGroup(nn.Cell):
    """Blocks, a convolution, and the group's input added."""

    @compiled_once
    def __init__(self, n_feats: int, n_squeezed: int, n_resblocks: int):
        super().__init__()
        self.body = nn.CellList([RCAB(n_feats, n_squeezed) for _ in range(n_resblocks)])
        self.conv = SlimConv2d(n_feats, n_feats)

    def construct(self, x, m, s, given, trust):
        r, means = x, ()
        for i, block in enumerate(self.body):
            r, mean = block(r, m, s, None if given is None else given[i], trust)
            if given is not None:
                means += (mean,)
        return self.conv(r, m, m) + x, means


class RCAN(SlimmableSR):
    """Residual groups of channel attention blocks.

    `n_squeezed` is the number of channels inside the attention, n_feats // reduction unless a
    student narrower than its teacher fixes it.
    """

    name = "rcan"

    def __init__(
        self,
        *,
        scale: int,
        n_feats: int = 64,
        n_resgroups: int = 10,
        n_resblocks: int = 20,
        reduction: int = 16,
        n_squeezed: int | None = None,
    ):
        squeezed = n_feats // reduction if n_squeezed is None else n_squeezed
        if squeezed < 1:
            raise InputError(
                f"reduction {reduction} leaves no channel in the attention of rcan with n_feats "
                f"{n_feats}; use one of at most {n_feats}"
            )
        super().__init__(
            scale,
            n_feats=n_feats,
            n_resgroups=n_resgroups,
            n_resblocks=n_resblocks,
            reduction=reduction,
            n_squeezed=squeezed,
        )
        self.n_feats, self.n_squeezed = n_feats, squeezed
        self.head_conv = SlimConv2d(3, n_feats)
        self.body = nn.CellList(
            [ResidualGroup(n_feats, squeezed, n_resblocks) for _ in range(n_resgroups)]
        )
        self.body_conv = SlimConv2d(n_feats, n_feats)
        self.upsampler = Upsampler(n_feats, scale)
        self.tail_conv = SlimConv2d(n_feats, 3)

    def blocks(self) -> list[nn.Cell]:
        return [block for group in self.body for block in group.body]

    def narrowed(self, width: float) -> dict:
        feats, squeezed = slim(self.n_feats, width), slim(self.n_squeezed, width)
        return {**self.hyper, "n_feats": feats, "n_squeezed": squeezed}

    def image_path(self) -> ImagePath:
        branches = [group.conv for group in self.body] + [self.body_conv]
        branches += [block.body[1] for block in self.blocks()]
        return ImagePath(self.head_conv, branches, self.upsampler, self.tail_conv)

    def construct(self, x, width=1.0):
        return self.pooled(x, width)[0]

    def pooled_shape(self, width: float) -> tuple:
        """Shape of the means of `pooled` for one image."""
        groups, blocks = self.hyper["n_resgroups"], self.hyper["n_resblocks"]
        return groups, blocks, 1, slim(self.n_feats, width), 1, 1

    def pooled(self, x, width, given=None, trust=0.0):
        """The output, and the means of every channel attention, (groups, blocks, N, m, 1, 1).

        Where `trust` is 1, `given`, of that shape with N or 1 images, stands in for the means of
        x: a tile is so restored with what the attention saw in the whole image.
        """
        m, s = slim(self.n_feats, width), slim(self.n_squeezed, width)
        h = self.head_conv(x + self.minus_mean, 3, m)
        r, means = h, ()
        for i, group in enumerate(self.body):
            r, group_means = group(r, m, s, None if given is None else given[i], trust)
            if given is not None:
                means += (ops.stack(group_means),)
        r = self.upsampler(self.body_conv(r, m, m) + h, m)
        means = means if given is None else ops.stack(means)
        return self.plus_mean(self.tail_conv(r, m, 3)), means
