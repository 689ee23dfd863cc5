"""EDSR (Lim et al., CVPR workshops 2017, arXiv 1707.02921), slimmable."""

from itertools import pairwise

from mindspore import nn, ops

from csd.errors import InputError
from csd.nets.base import SlimmableSR, slim
from csd.nets.foreign import Layout, channels, count, upsampler_scale
from csd.nets.interpolation import ImagePath
from csd.nets.layers import SlimConv2d, Upsampler, compiled_once
from csd.nets.reorder import Space


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


_BASICSR = (
    ("conv_first", "head"),
    ("body.{i}.conv1", "body.{i}.conv1"),
    ("body.{i}.conv2", "body.{i}.conv2"),
    ("conv_after_body", "body_conv"),
    ("conv_last", "tail_conv"),
)
# The residual scale is in no tensor. (blocks, features) of the networks that EDSR's authors
# published, and of their baselines; everybody else has to give it.
KNOWN_RES_SCALES = {(32, 256): 0.1, (16, 64): 1.0}


class EDSR(SlimmableSR):
    """Residual blocks without normalisation between a head and a sub-pixel up-sampler."""

    name = "edsr"
    HYPER = (
        ("n_feats", "int", 64, "features"),
        ("n_resblocks", "int", 16, "residual blocks"),
        ("res_scale", "float", 1.0, "factor on each residual branch"),
    )
    LAYOUTS = (
        Layout("EDSR (CSD)", ("head.weight", "body.0.conv1.weight")),
        Layout(
            "EDSR (EDSR-PyTorch)",
            ("head.0.weight", "body.0.body.0.weight"),
            (
                ("head.0", "head"),
                ("body.{i}.body.0", "body.{i}.conv1"),
                ("body.{i}.body.2", "body.{i}.conv2"),
                ("body.{n_resblocks}", "body_conv"),
                ("tail.0.0", "upsampler.blocks.0"),
                ("tail.0.2", "upsampler.blocks.1"),
                ("tail.1", "tail_conv"),
            ),
        ),
        # img_range 255, its default, is not in the file; its mean is a constant.
        Layout(
            "EDSR (BasicSR)",
            (
                "conv_first.weight",
                "conv_after_body.weight",
                "body.0.conv1.weight",
                "upsample.0.weight",
            ),
            (
                *_BASICSR,
                ("upsample.0", "upsampler.blocks.0"),
                ("upsample.2", "upsampler.blocks.1"),
            ),
        ),
        Layout(
            "EDSR (mmagic)",
            ("conv_first.weight", "body.0.conv1.weight", "upsample.0.upsample_conv.weight"),
            (*_BASICSR, ("upsample.{i}.upsample_conv", "upsampler.blocks.{i}")),
            rgb_range=1.0,
        ),
    )

    def __init__(
        self, *, scale: int, n_feats: int = 64, n_resblocks: int = 16, res_scale: float = 1.0
    ):
        super().__init__(scale, n_feats=n_feats, n_resblocks=n_resblocks, res_scale=res_scale)
        self.n_feats = n_feats
        self.head = SlimConv2d(3, n_feats)
        self.body = nn.CellList([ResidualBlock(n_feats, res_scale) for _ in range(n_resblocks)])
        self.body_conv = SlimConv2d(n_feats, n_feats)
        self.upsampler = Upsampler(n_feats, scale)
        self.tail_conv = SlimConv2d(n_feats, 3, resolution=scale)

    def blocks(self) -> list[nn.Cell]:
        return list(self.body)

    def student_config(self, width: float) -> dict:
        return {**self.hyper, "n_feats": slim(self.n_feats, width)}

    @classmethod
    def infer(cls, state, given, source) -> dict:
        n_feats = channels(state, "head.weight", source)
        n_resblocks = count(state, r"body\.(\d+)\.conv1\.weight")
        res_scale = given.get("res_scale", KNOWN_RES_SCALES.get((n_resblocks, n_feats)))
        if res_scale is None:
            known = ", ".join(f"{b} x {f}: {s}" for (b, f), s in KNOWN_RES_SCALES.items())
            raise InputError(
                f"{source} holds an EDSR of {n_resblocks} blocks x {n_feats} features, whose "
                f"residual scale is not in the file (known: {known}); write it into one, mostly "
                f"0.1 or 1: python tools/convert.py --res_scale 0.1 --input {source} "
                "--output FILE.ckpt"
            )
        scale = upsampler_scale(state, "upsampler", n_feats, source)
        hyper = {"n_feats": n_feats, "n_resblocks": n_resblocks, "res_scale": float(res_scale)}
        return {"scale": scale, **hyper}

    def folded(self) -> tuple[dict, dict[str, float]]:
        # s * (W x + b) = (sW) x + sb
        ends = [
            f"body.{i}.conv2.{part}" for i in range(len(self.body)) for part in ("weight", "bias")
        ]
        return {**self.hyper, "res_scale": 1.0}, dict.fromkeys(ends, self.hyper["res_scale"])

    def image_path(self) -> ImagePath:
        branches = [*(block.conv2 for block in self.body), self.body_conv]
        return ImagePath(self.head, branches, self.upsampler, self.tail_conv)

    def spaces(self) -> list[Space]:
        first, second = ([getattr(b, c) for b in self.body] for c in ("conv1", "conv2"))
        steps = [*self.upsampler.blocks, self.tail_conv]
        return [
            Space(
                [self.head, *second, self.body_conv],
                [*first, self.body_conv, steps[0]],
                linear=True,
            ),
            *(Space([a], [b]) for a, b in zip(first, second, strict=True)),
            *(Space([a], [b], linear=True) for a, b in pairwise(steps)),
        ]

    def construct(self, x, width=1.0):
        m = slim(self.n_feats, width)
        h = self.head(x + self.minus_mean, 3, m)
        r = h
        for block in self.body:
            r = block(r, m)
        r = self.upsampler(self.body_conv(r, m, m) + h, m)
        return self.plus_mean(self.tail_conv(r, m, 3))
