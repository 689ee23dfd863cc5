"""MSRResNet: SRResNet (Ledig et al., CVPR 2017, arXiv 1609.04802) without batch normalisation.

As BasicSR and mmagic define it: no mean is subtracted, and the network adds to the bilinear image.
Theirs takes RGB in 0..1. Convolutions, sums, leaky ReLUs and the interpolation commute with a
factor, so that 255 f(x / 255) is the same network with 255 times the biases: that is what runs here
on 0..255, and what their files are turned into.
"""

from itertools import pairwise

import mindspore as ms
from mindspore import nn, ops

from csd.nets.base import SlimmableSR, slim
from csd.nets.edsr import ResidualBlock
from csd.nets.foreign import Layout, channels, count, upsampler_scale
from csd.nets.layers import Bilinear, SlimConv2d, Upsampler, leaky_relu
from csd.nets.reorder import Space

SLOPE = 0.1


class MSRResNet(SlimmableSR):
    """Residual blocks between two leaky ReLUs, an up-sampler, and a convolution at full size."""

    name = "msrresnet"
    shifts_mean = False
    HYPER = (
        ("n_feats", "int", 64, "features"),
        ("n_resblocks", "int", 16, "residual blocks"),
    )
    LAYOUTS = (
        Layout("MSRResNet (CSD)", ("head_conv.weight", "body.0.conv1.weight", "hr_conv.weight")),
        Layout(
            "MSRResNet (BasicSR)",
            ("conv_first.weight", "body.0.conv1.weight", "upconv1.weight", "conv_hr.weight"),
            (
                ("conv_first", "head_conv"),
                ("body.{i}.conv1", "body.{i}.conv1"),
                ("body.{i}.conv2", "body.{i}.conv2"),
                ("upconv1", "upsampler.blocks.0"),
                ("upconv2", "upsampler.blocks.1"),
                ("conv_hr", "hr_conv"),
                ("conv_last", "tail_conv"),
            ),
            rgb_range=1.0,
        ),
        Layout(
            "MSRResNet (mmagic)",
            ("conv_first.weight", "trunk_net.0.conv1.weight", "upsample1.upsample_conv.weight"),
            (
                ("conv_first", "head_conv"),
                ("trunk_net.{i}.conv1", "body.{i}.conv1"),
                ("trunk_net.{i}.conv2", "body.{i}.conv2"),
                ("upsample1.upsample_conv", "upsampler.blocks.0"),
                ("upsample2.upsample_conv", "upsampler.blocks.1"),
                ("conv_hr", "hr_conv"),
                ("conv_last", "tail_conv"),
            ),
            rgb_range=1.0,
        ),
    )

    def __init__(self, *, scale: int, n_feats: int = 64, n_resblocks: int = 16):
        super().__init__(scale, n_feats=n_feats, n_resblocks=n_resblocks)
        self.n_feats = n_feats
        self.head_conv = SlimConv2d(3, n_feats)
        self.body = nn.CellList([ResidualBlock(n_feats, 1.0) for _ in range(n_resblocks)])
        self.upsampler = Upsampler(n_feats, scale, SLOPE)
        self.hr_conv = SlimConv2d(n_feats, n_feats, resolution=scale)
        self.tail_conv = SlimConv2d(n_feats, 3, resolution=scale)
        self.skip = Bilinear(scale)

    def blocks(self) -> list[nn.Cell]:
        return list(self.body)

    def student_config(self, width: float) -> dict:
        return {**self.hyper, "n_feats": slim(self.n_feats, width)}

    @classmethod
    def infer(cls, state, given, source) -> dict:
        n_feats = channels(state, "head_conv.weight", source)
        return {
            "scale": upsampler_scale(state, "upsampler", n_feats, source),
            "n_feats": n_feats,
            "n_resblocks": count(state, r"body\.(\d+)\.conv1\.weight"),
        }

    def spaces(self) -> list[Space]:
        first, second = ([getattr(b, c) for b in self.body] for c in ("conv1", "conv2"))
        steps = [*self.upsampler.blocks, self.hr_conv, self.tail_conv]
        return [
            Space([self.head_conv, *second], [*first, steps[0]]),  # behind the head's activation
            *(Space([a], [b]) for a, b in zip(first, second, strict=True)),
            *(Space([a], [b]) for a, b in pairwise(steps)),
        ]

    def construct(self, x, width=1.0):
        m = slim(self.n_feats, width)
        r = leaky_relu(self.head_conv(x, 3, m), SLOPE)
        for block in self.body:
            r = block(r, m)
        r = leaky_relu(self.hr_conv(self.upsampler(r, m), m, m), SLOPE)
        return ops.cast(self.tail_conv(r, m, 3), ms.float32) + self.skip(x)
