"""The metadata of a checkpoint, which its tensors' digests do not make true: held to a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from csd.errors import InputError, shown
from csd.files import parse_json
from csd.schema import anything, array, integer, mapping, number, optional, table, text

_COUNT = integer(0, 1 << 53)
_META = table(
    {},
    {
        "model": table({"name": text(100)}, {"scale": integer(1, 8)}),
        "widths": array(number(0, 1), 1, 100),
        "method": text(),
        "config": mapping(mapping(anything)),
        "progress": table({}, {"step": _COUNT, "samples": _COUNT}),
        "vgg": table({"mean": anything, "std": anything}),
    },
)
_HYPER = number(-1e9, 1e9)
_THREE = optional(array(number(), 3, 3))


def parse_meta(path: Path, name: str, content: Any) -> dict[str, Any]:
    """Metadata from its text in a file; {} for None.

    Raises InputError, naming the entry `name` and the value, where it is not what the program
    writes: types, ranges, missing parts.
    """
    if content is None:
        return {}
    complaint = f"{path} is damaged: its '{name}'"
    if not isinstance(content, str):
        raise InputError(f"{complaint} is not text; save it again")
    return parse_json(content, _check, complaint, "take another copy of the file")


def _check(meta: Any) -> None:
    table({})(meta)
    meta_or_none = {key: value for key, value in meta.items() if value is not None}
    _META(meta_or_none)
    for key, value in (meta.get("model") or {}).items():
        if key != "name" and not isinstance(value, str | None | bool):
            _HYPER(value, f"'model.{key}'")
    for width in meta.get("widths") or []:
        if width == 0:
            raise ValueError("'widths' must be above 0")
    best = (meta.get("progress") or {}).get("best_psnr")
    if best is not None and (isinstance(best, bool) or not isinstance(best, int | float)):
        raise ValueError(f"'progress.best_psnr' must be a number, not {shown(best)}")
    for key in ("mean", "std"):
        _THREE((meta.get("vgg") or {}).get(key), f"'vgg.{key}'")


def least_parameters(model: Mapping[str, Any]) -> int:
    """A lower limit of a network's parameters, from its hyper-parameters alone.

    Every backbone has a 3x3 convolution of all its features, those with blocks two in each.
    """
    blocks = model.get("n_resblocks", 0) * model.get("n_resgroups", 1)
    return 9 * model.get("n_feats", 1) ** 2 * max(1, 2 * blocks)


def check_size(model: Mapping[str, Any], tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Refuse, before it is built, a network that has more parameters than its file.

    The tensors themselves are compared when they are loaded. Raises InputError.
    """
    counts = {}
    for key in ("n_feats", "n_resblocks", "n_resgroups"):
        value = model.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{source} describes a network of {key} {shown(value)}, at least 1")
        counts[key] = value
    least = least_parameters(counts)
    have = sum(int(value.size) for value in tensors.values())
    if least > have:
        words = ", ".join(f"{key} {value}" for key, value in counts.items())
        raise InputError(
            f"{source} describes a network of {words}, at least {least} parameters, and holds "
            f"{have}: it is damaged or was changed; take another copy of it"
        )
