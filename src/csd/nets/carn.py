"""CARN (Ahn et al., ECCV 2018, arXiv 1803.08664), slimmable.

The concatenation of k feature maps of m channels has k * m; the 1x1 convolution after it uses that
prefix of its input axis, as the paper of CSD does.
"""

from mindspore import nn, ops

from csd.nets.base import SlimmableSR, slim
from csd.nets.foreign import Layout, channels, upsampler_scale
from csd.nets.interpolation import ImagePath
from csd.nets.layers import SlimConv2d, Upsampler, compiled_once


class ResidualUnit(nn.Cell):
    """x + conv2(relu(conv1(x))), in the authors' code with a ReLU behind it."""

    @compiled_once
    def __init__(self, n_feats: int, outer_relu: bool):
        super().__init__()
        self.outer_relu = outer_relu
        self.conv1 = SlimConv2d(n_feats, n_feats)
        self.conv2 = SlimConv2d(n_feats, n_feats)

    def construct(self, x, m):
        x = x + self.conv2(ops.relu(self.conv1(x, m, m)), m, m)
        return ops.relu(x) if self.outer_relu else x


class Fusion(nn.Cell):
    """1x1 convolution with ReLU over the concatenation of `k` feature maps."""

    def __init__(self, n_feats: int, k: int):
        super().__init__()
        self.conv = SlimConv2d(k * n_feats, n_feats, 1)
        self.k = k

    def construct(self, x, m):
        return ops.relu(self.conv(x, self.k * m, m))


class CascadingBlock(nn.Cell):
    """The cascade over three residual units."""

    def __init__(self, n_feats: int, outer_relu: bool):
        super().__init__()
        self.b1, self.b2, self.b3 = (ResidualUnit(n_feats, outer_relu) for _ in range(3))
        self.c1, self.c2, self.c3 = (Fusion(n_feats, k) for k in (2, 3, 4))

    def construct(self, x, m):
        return cascade(self, x, m)


def cascade(stages, x, m):
    """Stages b1..b3; after stage j the fusion c_j of everything so far."""
    c = ops.concat((x, stages.b1(x, m)), 1)
    o = stages.c1(c, m)
    c = ops.concat((c, stages.b2(o, m)), 1)
    o = stages.c2(c, m)
    c = ops.concat((c, stages.b3(o, m)), 1)
    return stages.c3(c, m)


# Fusions are called c1..c3 and blocks b1..b3 at both levels.
_AUTHORS = (
    ("sub_mean.shifter", "sub_mean"),
    ("add_mean.shifter", "add_mean"),
    ("entry", "entry"),
    ("b{i}.b{j}.body.0", "b{i}.b{j}.conv1"),
    ("b{i}.b{j}.body.2", "b{i}.b{j}.conv2"),
    ("b{i}.c{j}.body.0", "b{i}.c{j}.conv"),
    ("c{i}.body.0", "c{i}.conv"),
    ("upsample.up.body.0", "upsample.blocks.0"),
    ("upsample.up.body.3", "upsample.blocks.1"),
    ("exit", "exit"),
)


class CARN(SlimmableSR):
    """A cascade of three cascading blocks.

    CSD's code leaves out the ReLU that the authors of CARN have behind every residual sum and in
    the up-sampler; `outer_relu` puts it back, for their weights.
    """

    name = "carn"
    HYPER = (
        ("n_feats", "int", 64, "features"),
        ("outer_relu", "bool", False, "ReLU behind residual sums and the up-sampler's steps"),
    )
    LAYOUTS = (
        Layout("CARN (CSD)", ("entry.weight", "b1.b1.conv1.weight")),
        Layout(
            "CARN (its authors, three scales)",
            ("entry.weight", "b1.b1.body.0.weight", "upsample.up2.body.0.weight"),
            _AUTHORS,
            rgb_range=1.0,
            hyper={"outer_relu": True},
            choice="upsample.up{scale}.",
        ),
        Layout(
            "CARN (its authors)",
            ("entry.weight", "b1.b1.body.0.weight", "upsample.up.body.0.weight"),
            _AUTHORS,
            rgb_range=1.0,
            hyper={"outer_relu": True},
        ),
    )

    def __init__(self, *, scale: int, n_feats: int = 64, outer_relu: bool = False):
        super().__init__(scale, n_feats=n_feats, outer_relu=outer_relu)
        self.n_feats = n_feats
        self.entry = SlimConv2d(3, n_feats)
        self.b1, self.b2, self.b3 = (CascadingBlock(n_feats, outer_relu) for _ in range(3))
        self.c1, self.c2, self.c3 = (Fusion(n_feats, k) for k in (2, 3, 4))
        self.upsample = Upsampler(n_feats, scale, 0.0 if outer_relu else 1.0)
        self.exit = SlimConv2d(n_feats, 3, resolution=scale)

    def blocks(self) -> list[nn.Cell]:
        return [unit for b in (self.b1, self.b2, self.b3) for unit in (b.b1, b.b2, b.b3)]

    def student_config(self, width: float) -> dict:
        return {**self.hyper, "n_feats": slim(self.n_feats, width)}

    @classmethod
    def infer(cls, state, given, source) -> dict:
        n_feats = channels(state, "entry.weight", source)
        return {"scale": upsampler_scale(state, "upsample", n_feats, source), "n_feats": n_feats}

    def image_path(self) -> ImagePath:
        # Behind each fusion stands a ReLU: the offset keeps the image above zero.
        fusions = [
            c.conv
            for cell in (self.b1, self.b2, self.b3, self)
            for c in (cell.c1, cell.c2, cell.c3)
        ]
        branches = [unit.conv2 for unit in self.blocks()]
        return ImagePath(self.entry, branches, self.upsample, self.exit, fusions, offset=128.0)

    def construct(self, x, width=1.0):
        m = slim(self.n_feats, width)
        h = cascade(self, self.entry(x + self.minus_mean, 3, m), m)
        return self.plus_mean(self.exit(self.upsample(h, m), m, 3))
