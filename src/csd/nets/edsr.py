"""EDSR (Lim et al., CVPR workshops 2017, arXiv 1707.02921), slimmable."""

from mindspore import nn, ops

from csd.nets.base import SlimmableSR, slim
from csd.nets.interpolation import ImagePath
from csd.nets.layers import SlimConv2d, Upsampler, compiled_once


class ResidualBlock(nn.Cell):
    """r + res_scale * conv2(relu(conv1(r)))"""

    @compiled_once
    def __init__(self, n_feats: int, res_scale: float):
        super().__init__()
        self.conv1 = SlimConv2d(n_feats, n_feats)
        self.conv2 = SlimConv2d(n_feats, n_feats)
        self.res_scale = res_scale

    def construct(self, x, m):
        r = self.conv2(ops.relu(self.conv1(x, m, m)), m, m)
        if self.res_scale != 1.0:
            r = r * self.res_scale
        return x + r


class EDSR(SlimmableSR):
    """Residual blocks without normalisation between a head and a sub-pixel up-sampler."""

    name = "edsr"

    def __init__(
        self, *, scale: int, n_feats: int = 64, n_resblocks: int = 16, res_scale: float = 1.0
    ):
        super().__init__(scale, n_feats=n_feats, n_resblocks=n_resblocks, res_scale=res_scale)
        self.n_feats = n_feats
        self.head = SlimConv2d(3, n_feats)
        self.body = nn.CellList([ResidualBlock(n_feats, res_scale) for _ in range(n_resblocks)])
        self.body_conv = SlimConv2d(n_feats, n_feats)
        self.upsampler = Upsampler(n_feats, scale)
        self.tail_conv = SlimConv2d(n_feats, 3)

    def blocks(self) -> list[nn.Cell]:
        return list(self.body)

    def student_config(self, width: float) -> dict:
        return {**self.hyper, "n_feats": slim(self.n_feats, width)}

    def image_path(self) -> ImagePath:
        branches = [*(block.conv2 for block in self.body), self.body_conv]
        return ImagePath(self.head, branches, self.upsampler, self.tail_conv)

    def construct(self, x, width=1.0):
        m = slim(self.n_feats, width)
        h = self.head(x + self.minus_mean, 3, m)
        r = h
        for block in self.body:
            r = block(r, m)
        r = self.upsampler(self.body_conv(r, m, m) + h, m)
        return self.plus_mean(self.tail_conv(r, m, 3))
