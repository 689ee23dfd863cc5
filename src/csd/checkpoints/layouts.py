"""Whose super-resolution network a file holds, told by its names; hyper-parameters by its shapes.

A layout is data: names that give it away, and pairs of templates (name in the file, our name) in
which {i}, {j} are numbers and {n_resblocks}, {n_resgroups} are the hyper-parameters. Our names are
those of the paper's PyTorch code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from csd.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How one program names the parameters of one backbone."""

    label: str
    backbone: str
    signature: tuple[str, ...]
    renames: tuple[tuple[str, str], ...] = ()  # none: the names are ours


_EDSR_NAMES = (
    ("head.0", "head"),
    ("body.{i}.body.0", "body.{i}.conv1"),
    ("body.{i}.body.2", "body.{i}.conv2"),
    ("body.{n_resblocks}", "body_conv"),
    ("tail.0.0", "upsampler.blocks.0"),
    ("tail.0.2", "upsampler.blocks.1"),
    ("tail.1", "tail_conv"),
)
_RCAN_NAMES = (
    ("head.0", "head_conv"),
    ("body.{i}.body.{j}.body.0", "body.{i}.body.{j}.body.0"),
    ("body.{i}.body.{j}.body.2", "body.{i}.body.{j}.body.1"),
    ("body.{i}.body.{j}.body.3.conv_du.0", "body.{i}.body.{j}.caLayer.conv_du.0"),
    ("body.{i}.body.{j}.body.3.conv_du.2", "body.{i}.body.{j}.caLayer.conv_du.1"),
    ("body.{i}.body.{n_resblocks}", "body.{i}.conv"),
    ("body.{n_resgroups}", "body_conv"),
    *_EDSR_NAMES[4:],
)

LAYOUTS: dict[str, Layout] = {
    "csd_edsr": Layout("EDSR (CSD)", "edsr", ("head.weight", "body.0.conv1.weight")),
    "csd_rcan": Layout(
        "RCAN (CSD)", "rcan", ("head_conv.weight", "body.0.body.0.caLayer.conv_du.0.weight")
    ),
    "csd_carn": Layout("CARN (CSD)", "carn", ("entry.weight", "b1.b1.conv1.weight")),
    "rcan_pytorch": Layout(
        "RCAN (RCAN-PyTorch)",
        "rcan",
        ("head.0.weight", "body.0.body.0.body.3.conv_du.0.weight"),
        _RCAN_NAMES,
    ),
    "edsr_pytorch": Layout(
        "EDSR (EDSR-PyTorch)", "edsr", ("head.0.weight", "body.0.body.0.weight"), _EDSR_NAMES
    ),
}


def recognise(names: Mapping[str, Any]) -> str | None:
    """The key in LAYOUTS of the layout that these names give away, or None."""
    for key, layout in LAYOUTS.items():
        if all(name in names for name in layout.signature):
            return key
    return None


def to_our_names(key: str, state: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Rename the parameters of a file; a name the layout does not know raises InputError."""
    layout, renamed = LAYOUTS[key], {}
    if not layout.renames:
        return dict(state)
    for name, value in state.items():
        stem, _, part = name.rpartition(".")
        ours = stem if stem in ("sub_mean", "add_mean") else _rename(layout, stem)
        if ours is None:
            raise InputError(
                f"{source}: tensor '{name}' of shape {tuple(value.shape)} is not expected in "
                f"{layout.label}"
            )
        if f"{ours}.{part}" in renamed:
            raise InputError(
                f"{source}: tensor '{name}' is not expected in {layout.label}: another one is "
                f"already its '{ours}'"
            )
        renamed[f"{ours}.{part}"] = value
    return renamed


def to_their_name(key: str, name: str, hyper: Mapping[str, Any]) -> str:
    """The name in the file's layout of one of our parameters."""
    stem, _, part = name.rpartition(".")
    for theirs, ours in LAYOUTS[key].renames:
        if match := _pattern(ours).fullmatch(stem):
            return f"{theirs.format(**{**hyper, **match.groupdict()})}.{part}"
    return name


def infer_model(key: str, state: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    """Name, scale and hyper-parameters of a network from our names and the shapes.

    The residual scale is in no tensor: it is left out. Raises InputError naming the tensor that
    makes no sense.
    """
    backbone = LAYOUTS[key].backbone
    return {"name": backbone, **_INFER[backbone](state, source)}


def _infer_edsr(state: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    n_feats = _channels(state, "head.weight", source)
    return {
        "scale": _scale(state, "upsampler", n_feats, source),
        "n_feats": n_feats,
        "n_resblocks": _count(state, r"body\.(\d+)\.conv1\.weight"),
    }


def _infer_rcan(state: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    n_feats = _channels(state, "head_conv.weight", source)
    squeezed = _channels(state, "body.0.body.0.caLayer.conv_du.0.weight", source)
    return {
        "scale": _scale(state, "upsampler", n_feats, source),
        "n_feats": n_feats,
        "n_resgroups": _count(state, r"body\.(\d+)\.body\.\d+\.body\.0\.weight"),
        "n_resblocks": _count(state, r"body\.\d+\.body\.(\d+)\.body\.0\.weight"),
        "reduction": max(n_feats // max(squeezed, 1), 1),
        "n_squeezed": squeezed,
    }


def _infer_carn(state: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    n_feats = _channels(state, "entry.weight", source)
    return {"scale": _scale(state, "upsample", n_feats, source), "n_feats": n_feats}


_INFER = {"edsr": _infer_edsr, "rcan": _infer_rcan, "carn": _infer_carn}


def _channels(state: Mapping[str, np.ndarray], name: str, source: str) -> int:
    value = state[name]
    if value.ndim != 4 or value.shape[0] < 1:
        raise InputError(
            f"{source}: tensor '{name}' should have shape (channels, in, k, k), found {value.shape}"
        )
    return int(value.shape[0])


def _count(state: Mapping[str, np.ndarray], pattern: str) -> int:
    numbers = [int(m[1]) for m in (re.fullmatch(pattern, name) for name in state) if m]
    return max(numbers, default=-1) + 1


def _scale(state: Mapping[str, np.ndarray], upsampler: str, n_feats: int, source: str) -> int:
    name = f"{upsampler}.blocks.0.weight"
    if name not in state:
        raise InputError(f"{source}: tensor '{name}' is expected and missing")
    ratio, rest = divmod(state[name].shape[0], n_feats)
    stages = _count(state, upsampler + r"\.blocks\.(\d+)\.weight")
    scale = {(4, 1): 2, (9, 1): 3, (4, 2): 4, (4, 3): 8}.get((ratio, stages), 0)
    if rest or scale not in (2, 3, 4):
        raise InputError(
            f"{source}: tensor '{name}' should have {4 * n_feats} output channels (x2, x4) or "
            f"{9 * n_feats} (x3), in one stage or two; found {state[name].shape[0]} in {stages}"
        )
    return scale


def _pattern(template: str) -> re.Pattern:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(template)))


def _rename(layout: Layout, stem: str) -> str | None:
    for theirs, ours in layout.renames:
        if match := _pattern(theirs).fullmatch(stem):
            return ours.format(**match.groupdict())
    return None
