"""Whose super-resolution network a file of another program holds, and its tensors under our names.

What is particular to a backbone, the layouts of its weights, stands beside the backbone.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from csd.errors import InputError
from csd.nets import SlimmableSR, backbones
from csd.nets.foreign import Layout

# What training programs put before the names of a network; an average of the weights comes first.
_WRAPPERS = (
    *("module", "_orig_mod", "model", "net", "network", "_backbone"),
    *("generator_ema", "generator"),
)
# What MindSpore's optimizers keep beside the weights, as the first part of a name.
_OPTIMIZER = {
    *("moment1", "moment2", "moments", "accum", "stat", "adam_m", "adam_v", "learning_rate"),
}


class Recognised(NamedTuple):
    """A network found in a file: its class, its layout, and its tensors without any prefix."""

    backbone: type[SlimmableSR]
    layout: Layout
    tensors: dict[str, np.ndarray]


def recognise(tensors: Mapping[str, np.ndarray]) -> Recognised | None:
    """The network of another program among these tensors, or None.

    Left out are the state of an optimizer, and what stands beside a wrapped network.
    """
    for state in _unwrapped(_without_optimizer(tensors)):
        for backbone in backbones():
            for layout in backbone.LAYOUTS:
                if all(name in state for name in layout.signature):
                    return Recognised(backbone, layout, state)
    return None


def _without_optimizer(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    def belongs(name: str, value: np.ndarray) -> bool:
        first, dot, _ = name.partition(".")
        # A number of its own is a step count, a rate or a power, never a weight.
        return first not in _OPTIMIZER and bool(dot or value.size > 1)

    return {name: value for name, value in tensors.items() if belongs(name, value)}


def _unwrapped(state: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The tensors as they are, then inside one wrapper after the other."""
    while state:
        yield state
        state = next(filter(None, (_inside(state, f"{word}.") for word in _WRAPPERS)), {})


def _inside(state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}


def to_our_names(
    layout: Layout, tensors: Mapping[str, np.ndarray], given: Mapping[str, Any], source: str
) -> dict[str, np.ndarray]:
    """The parameters of a file under our names, for RGB in 0..255.

    `given`: hyper-parameters from the caller; `scale` chooses where a file holds several. A name
    the layout does not know raises InputError.
    """
    if layout.choice:
        tensors = _of_one_scale(layout, tensors, given, source)
    renamed: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        stem, _, part = name.rpartition(".")
        ours = _our_stem(layout, stem)
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
        if part == "bias" and layout.rgb_range != 255.0:
            value = np.asarray(value, np.float32) * np.float32(255.0 / layout.rgb_range)
        renamed[f"{ours}.{part}"] = value
    return renamed


def to_their_name(layout: Layout, name: str, hyper: Mapping[str, Any]) -> str:
    """The name in the file's layout of one of our parameters."""
    stem, _, part = name.rpartition(".")
    for theirs, ours in layout.renames:
        if match := _pattern(ours).fullmatch(stem):
            return f"{theirs.format(**{**hyper, **match.groupdict()})}.{part}"
    return name


def _our_stem(layout: Layout, stem: str) -> str | None:
    if not layout.renames or stem in ("sub_mean", "add_mean"):
        return stem
    for theirs, ours in layout.renames:
        if match := _pattern(theirs).fullmatch(stem):
            return ours.format(**match.groupdict())
    return None


def _of_one_scale(
    layout: Layout, tensors: Mapping[str, np.ndarray], given: Mapping[str, Any], source: str
) -> dict[str, np.ndarray]:
    """The tensors without those of the other scales; those of this one lose its number."""
    before, _, _ = layout.choice.partition("{scale}")
    pattern = re.compile(re.escape(layout.choice).replace(r"\{scale\}", r"(\d)"))
    matches = {name: pattern.match(name) for name in tensors}
    scales = sorted({int(match[1]) for match in matches.values() if match})
    scale = given.get("scale")
    if scale not in scales:
        raise InputError(
            f"{source} holds up-samplers for the scales {', '.join(map(str, scales))}; "
            f"write one of them: python tools/convert.py --scale {scales[-1]} --input {source} "
            "--output FILE.ckpt"
        )
    kept = {}
    for name, match in matches.items():
        if match is None:
            kept[name] = tensors[name]
        elif int(match[1]) == scale:
            kept[f"{before}.{name[match.end() :]}"] = tensors[name]
    return kept


def _pattern(template: str) -> re.Pattern:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(template)))
