"""How other programs name and scale the parameters of a backbone, and what their shapes say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from csd.errors import InputError


@dataclass(frozen=True)
class Layout:
    """The parameters of one backbone in the files of one program.

    signature: names that give it away. renames: pairs of templates (name in the file, our name),
    in which {i}, {j} are numbers and others hyper-parameters; none: the names are ours. rgb_range:
    the largest value of its images; where it is not 255, the biases are scaled, which is exact for
    a network of convolutions, sums and (leaky) ReLUs: 255 f(x / 255) has 255 times the biases.
    hyper: hyper-parameters that the program fixes. choice: start of the names of which the file
    holds one set for each {scale}.
    """

    label: str
    signature: tuple[str, ...]
    renames: tuple[tuple[str, str], ...] = ()
    rgb_range: float = 255.0
    hyper: Mapping[str, Any] = field(default_factory=dict)
    choice: str = ""


def channels(state: Mapping[str, np.ndarray], name: str, source: str) -> int:
    """Output channels of a convolution, from its weight `name`."""
    value = state[name]
    if value.ndim != 4 or value.shape[0] < 1:
        raise InputError(
            f"{source}: tensor '{name}' should have shape (channels, in, k, k), found {value.shape}"
        )
    return int(value.shape[0])


def count(state: Mapping[str, np.ndarray], pattern: str) -> int:
    """How many numbers, from 0 on, the first group of `pattern` has among the names."""
    numbers = [int(m[1]) for m in (re.fullmatch(pattern, name) for name in state) if m]
    return max(numbers, default=-1) + 1


def upsampler_scale(
    state: Mapping[str, np.ndarray], upsampler: str, n_feats: int, source: str
) -> int:
    """The scale of an `Upsampler` from the shapes of its convolutions."""
    name = f"{upsampler}.blocks.0.weight"
    if name not in state:
        raise InputError(f"{source}: tensor '{name}' is expected and missing")
    ratio, rest = divmod(state[name].shape[0], n_feats)
    stages = count(state, re.escape(upsampler) + r"\.blocks\.(\d+)\.weight")
    scale = {(4, 1): 2, (9, 1): 3, (4, 2): 4}.get((ratio, stages))
    if rest or scale is None:
        raise InputError(
            f"{source}: tensor '{name}' should have {4 * n_feats} output channels (x2, x4) or "
            f"{9 * n_feats} (x3), in one stage or two; found {state[name].shape[0]} in {stages}"
        )
    return scale
