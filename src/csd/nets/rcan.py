"""RCAN (Zhang et al., ECCV 2018, arXiv 1807.02758), slimmable: channel attention slims too."""

from mindspore import nn, ops

from csd.errors import InputError
from csd.nets.base import SlimmableSR, slim
from csd.nets.layers import SlimConv2d, Upsampler


class ChannelAttention(nn.Cell):
    """Scale each channel by a gate computed from the channels' means over the image."""

    def __init__(self, n_feats: int, n_squeezed: int):
        super().__init__()
        self.conv_du = nn.CellList(
            [SlimConv2d(n_feats, n_squeezed, 1), SlimConv2d(n_squeezed, n_feats, 1)]
        )

    def construct(self, x, m, s):
        gate = ops.mean(x, (2, 3), True)
        gate = self.conv_du[1](ops.relu(self.conv_du[0](gate, m, s)), s, m)
        return x * ops.sigmoid(gate)


class RCAB(nn.Cell):
    """Residual channel attention block."""

    def __init__(self, n_feats: int, n_squeezed: int):
        super().__init__()
        self.body = nn.CellList([SlimConv2d(n_feats, n_feats), SlimConv2d(n_feats, n_feats)])
        self.caLayer = ChannelAttention(n_feats, n_squeezed)

    def construct(self, x, m, s):
        r = self.body[1](ops.relu(self.body[0](x, m, m)), m, m)
        return self.caLayer(r, m, s) + x


class ResidualGroup(nn.Cell):
    """Blocks, a convolution, and the group's input added."""

    def __init__(self, n_feats: int, n_squeezed: int, n_resblocks: int):
        super().__init__()
        self.body = nn.CellList([RCAB(n_feats, n_squeezed) for _ in range(n_resblocks)])
        self.conv = SlimConv2d(n_feats, n_feats)

    def construct(self, x, m, s):
        r = x
        for block in self.body:
            r = block(r, m, s)
        return self.conv(r, m, m) + x


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

    def narrowed(self, width: float) -> dict:
        feats, squeezed = slim(self.n_feats, width), slim(self.n_squeezed, width)
        return {**self.hyper, "n_feats": feats, "n_squeezed": squeezed}

    def construct(self, x, width=1.0):
        m, s = slim(self.n_feats, width), slim(self.n_squeezed, width)
        h = self.head_conv(x + self.minus_mean, 3, m)
        r = h
        for group in self.body:
            r = group(r, m, s)
        r = self.upsampler(self.body_conv(r, m, m) + h, m)
        return self.tail_conv(r, m, 3) + self.rgb_mean
