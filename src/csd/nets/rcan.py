"""RCAN (Zhang et al., ECCV 2018, arXiv 1807.02758), slimmable: channel attention slims too."""

from itertools import pairwise

from mindspore import nn, ops

from csd.errors import InputError
from csd.nets.base import SlimmableSR, slim
from csd.nets.foreign import Layout, channels, count, upsampler_scale
from csd.nets.interpolation import ImagePath
from csd.nets.layers import SlimConv2d, Upsampler, compiled_once
from csd.nets.reorder import Space
from csd.ops.channels import ChannelMean, ChannelScale


class ChannelAttention(nn.Cell):
    """Scale each channel by a gate computed from the channels' means over the image."""

    def __init__(self, n_feats: int, n_squeezed: int):
        super().__init__()
        self.mean, self.scale = ChannelMean(), ChannelScale()
        self.conv_du = nn.CellList(
            [
                SlimConv2d(n_feats, n_squeezed, 1, resolution=0),
                SlimConv2d(n_squeezed, n_feats, 1, resolution=0),
            ]
        )

    def construct(self, x, m, s):
        return self.scale(x, self.gate(self.mean(x), m, s))

    def gate(self, mean, m, s):
        """(N, m, 1, 1) -> the same shape, 0..1."""
        return ops.sigmoid(self.conv_du[1](ops.relu(self.conv_du[0](mean, m, s)), s, m))


class RCAB(nn.Cell):
    """Residual channel attention block."""

    @compiled_once
    def __init__(self, n_feats: int, n_squeezed: int):
        super().__init__()
        self.body = nn.CellList([SlimConv2d(n_feats, n_feats), SlimConv2d(n_feats, n_feats)])
        self.caLayer = ChannelAttention(n_feats, n_squeezed)

    def construct(self, x, m, s):
        return self.caLayer(self.features(x, m), m, s) + x

    def features(self, x, m):
        """What the attention weighs."""
        return self.body[1](ops.relu(self.body[0](x, m, m)), m, m)


class ResidualGroup(nn.Cell):
    """Blocks, a convolution, and the group's input added."""

    @compiled_once
    def __init__(self, n_feats: int, n_squeezed: int, n_resblocks: int):
        super().__init__()
        self.body = nn.CellList([RCAB(n_feats, n_squeezed) for _ in range(n_resblocks)])
        self.conv = SlimConv2d(n_feats, n_feats)
        self.pooled_body = [PooledRCAB(block) for block in self.body]

    def construct(self, x, m, s):
        r = x
        for block in self.body:
            r = block(r, m, s)
        return self.conv(r, m, m) + x

    def pooled(self, x, m, s, given, trust):
        """As `RCAN.pooled`: given (blocks, 1, m, 1, 1) -> the output, and a tuple of means."""
        r, means = x, ()
        for i, block in enumerate(self.pooled_body):
            r, mean = block(r, m, s, given[i], trust)
            means += (mean,)
        return self.conv(r, m, m) + x, means


class PooledRCAB(nn.Cell):
    """An RCAB whose attention takes other means to the share `trust`, and that returns its own."""

    @compiled_once
    def __init__(self, block: RCAB):
        super().__init__(auto_prefix=False)
        self.block = block

    def construct(self, x, m, s, given, trust):
        features, attention = self.block.features(x, m), self.block.caLayer
        mean = attention.mean(features)
        gate = attention.gate(given * trust + mean * (1.0 - trust), m, s)
        return attention.scale(features, gate) + x, mean


class RCAN(SlimmableSR):
    """Residual groups of channel attention blocks.

    `n_squeezed` is the number of channels inside the attention, n_feats // reduction unless a
    student of fewer channels than its teacher fixes it.
    """

    name = "rcan"
    pools = True
    HYPER = (
        ("n_feats", "int", 64, "features"),
        ("n_resgroups", "int", 10, "residual groups"),
        ("n_resblocks", "int", 20, "blocks of a group"),
        ("reduction", "int", 16, "features over channels inside the attention"),
        ("n_squeezed", "int", None, "channels inside the attention, n_feats // reduction"),
    )
    LAYOUTS = (
        Layout("RCAN (CSD)", ("head_conv.weight", "body.0.body.0.caLayer.conv_du.0.weight")),
        Layout(
            "RCAN (RCAN-PyTorch)",
            ("head.0.weight", "body.0.body.0.body.3.conv_du.0.weight"),
            (
                ("head.0", "head_conv"),
                ("body.{i}.body.{j}.body.0", "body.{i}.body.{j}.body.0"),
                ("body.{i}.body.{j}.body.2", "body.{i}.body.{j}.body.1"),
                ("body.{i}.body.{j}.body.3.conv_du.0", "body.{i}.body.{j}.caLayer.conv_du.0"),
                ("body.{i}.body.{j}.body.3.conv_du.2", "body.{i}.body.{j}.caLayer.conv_du.1"),
                ("body.{i}.body.{n_resblocks}", "body.{i}.conv"),
                ("body.{n_resgroups}", "body_conv"),
                ("tail.0.0", "upsampler.blocks.0"),
                ("tail.0.2", "upsampler.blocks.1"),
                ("tail.1", "tail_conv"),
            ),
        ),
        # img_range 255 and res_scale 1, its defaults, are not in the file.
        Layout(
            "RCAN (BasicSR)",
            ("conv_first.weight", "body.0.residual_group.0.rcab.0.weight"),
            (
                ("conv_first", "head_conv"),
                ("body.{i}.residual_group.{j}.rcab.0", "body.{i}.body.{j}.body.0"),
                ("body.{i}.residual_group.{j}.rcab.2", "body.{i}.body.{j}.body.1"),
                (
                    "body.{i}.residual_group.{j}.rcab.3.attention.1",
                    "body.{i}.body.{j}.caLayer.conv_du.0",
                ),
                (
                    "body.{i}.residual_group.{j}.rcab.3.attention.3",
                    "body.{i}.body.{j}.caLayer.conv_du.1",
                ),
                ("body.{i}.conv", "body.{i}.conv"),
                ("conv_after_body", "body_conv"),
                ("upsample.0", "upsampler.blocks.0"),
                ("upsample.2", "upsampler.blocks.1"),
                ("conv_last", "tail_conv"),
            ),
        ),
    )

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
        self.tail_conv = SlimConv2d(n_feats, 3, resolution=scale)

    def blocks(self) -> list[nn.Cell]:
        return [block for group in self.body for block in group.body]

    def student_config(self, width: float) -> dict:
        feats, squeezed = slim(self.n_feats, width), slim(self.n_squeezed, width)
        return {**self.hyper, "n_feats": feats, "n_squeezed": squeezed}

    @classmethod
    def infer(cls, state, given, source) -> dict:
        n_feats = channels(state, "head_conv.weight", source)
        squeezed = channels(state, "body.0.body.0.caLayer.conv_du.0.weight", source)
        return {
            "scale": upsampler_scale(state, "upsampler", n_feats, source),
            "n_feats": n_feats,
            "n_resgroups": count(state, r"body\.(\d+)\.body\.\d+\.body\.0\.weight"),
            "n_resblocks": count(state, r"body\.\d+\.body\.(\d+)\.body\.0\.weight"),
            "reduction": max(n_feats // squeezed, 1),
            "n_squeezed": squeezed,
        }

    def image_path(self) -> ImagePath:
        branches = [group.conv for group in self.body] + [self.body_conv]
        branches += [block.body[1] for block in self.blocks()]
        return ImagePath(self.head_conv, branches, self.upsampler, self.tail_conv)

    def spaces(self) -> list[Space]:
        blocks, steps = self.blocks(), [*self.upsampler.blocks, self.tail_conv]
        first, second = ([block.body[i] for block in blocks] for i in (0, 1))
        squeezes, gates = ([block.caLayer.conv_du[i] for block in blocks] for i in (0, 1))
        ends = [*(group.conv for group in self.body), self.body_conv]
        return [
            # The attention multiplies by channel: the stream can be sorted, not rotated.
            Space([self.head_conv, *second, *gates, *ends], [*first, *squeezes, *ends, steps[0]]),
            *(Space([a], [b]) for a, b in zip(first, second, strict=True)),
            *(Space([a], [b]) for a, b in zip(squeezes, gates, strict=True)),
            *(Space([a], [b], linear=True) for a, b in pairwise(steps)),
        ]

    def construct(self, x, width=1.0):
        m, s = slim(self.n_feats, width), slim(self.n_squeezed, width)
        h = self.head_conv(x + self.minus_mean, 3, m)
        r = h
        for group in self.body:
            r = group(r, m, s)
        r = self.upsampler(self.body_conv(r, m, m) + h, m)
        return self.plus_mean(self.tail_conv(r, m, 3))

    def pooled_shape(self, width: float) -> tuple:
        """Shape of the means of `pooled` for one image."""
        groups, blocks = self.hyper["n_resgroups"], self.hyper["n_resblocks"]
        return groups, blocks, 1, slim(self.n_feats, width), 1, 1

    def pooled(self, x, width, given, trust):
        """`construct`, and the means of every channel attention, (groups, blocks, N, m, 1, 1).

        Where `trust` is 1, `given`, of that shape with N or 1 images, stands in for the means of
        x: a tile is so upscaled with what the attention saw in the whole image.
        """
        m, s = slim(self.n_feats, width), slim(self.n_squeezed, width)
        h = self.head_conv(x + self.minus_mean, 3, m)
        r, means = h, ()
        for i, group in enumerate(self.body):
            r, group_means = group.pooled(r, m, s, given[i], trust)
            means += (ops.stack(group_means),)
        r = self.upsampler(self.body_conv(r, m, m) + h, m)
        return self.plus_mean(self.tail_conv(r, m, 3)), ops.stack(means)
