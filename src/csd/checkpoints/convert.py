"""From any file of weights to a checkpoint, to safetensors, or to the paper's PyTorch code."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csd.checkpoints.checkpoint import save_checkpoint
from csd.checkpoints.files import read_tensors, write_safetensors
from csd.checkpoints.network import Loaded, network_of
from csd.checkpoints.state import mean_shift_state, network_state
from csd.checkpoints.torch_files import has_torch, write_csd_pth, write_plain_pth
from csd.checkpoints.vgg import hed_file, vgg_of, vgg_state
from csd.errors import InputError

_Writer = Callable[[Path, dict[str, np.ndarray], dict[str, Any]], None]


def convert(
    source: str | Path,
    target: str | Path,
    *,
    res_scale: float | None = None,
    scale: int | None = None,
    widths: Sequence[float] | None = None,
    width: float | None = None,
) -> str:
    """Recognise what `source` holds, write it as `target`, and return the first in words.

    The suffix of `target` (.ckpt, .safetensors, .pth, .pt) says which format. `widths`: the widths
    the network was trained for, kept in the metadata. `width`: write the dense student of that
    width instead of the full-width network. `res_scale`, `scale`: as in `load_network`. `source`
    may be `hed`, see `read_vgg`.

    Raises InputError for a file or option that makes no sense, WorkError for a file that cannot be
    written.
    """
    source = hed_file() if str(source) == "hed" else Path(source)
    target = Path(target)
    if target.suffix not in _NETWORK_WRITERS:
        known = ", ".join(_NETWORK_WRITERS)
        raise InputError(f"the output must end in one of {known}, not '{target.name}'")
    if target.suffix in (".pth", ".pt") and not has_torch():
        raise InputError(f"writing {target} needs PyTorch, which is not installed")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target} is the input: name another output")
    file = read_tensors(source)
    vgg = vgg_of(file, str(source))
    if vgg is not None:
        if res_scale is not None or widths is not None or width is not None:
            raise InputError(f"{source} holds {vgg.arch}: residual scale and widths do not apply")
        words = f"{vgg.arch}, {len(vgg.convs)} convolutions"
        meta = {"model": {"name": vgg.arch}, "vgg": {"mean": vgg.mean, "std": vgg.std}}
        _VGG_WRITERS[target.suffix](target, vgg_state(vgg), meta)
    else:
        loaded = network_of(file, str(source), res_scale, scale)
        words = f"{loaded.label}, {describe(loaded.net)}"
        net, meta = _chosen(loaded, widths, width)
        state = network_state(net)
        if target.suffix != ".ckpt" and net.shifts_mean:  # for programs that want it as tensors
            state = {**mean_shift_state(), **state}
        _NETWORK_WRITERS[target.suffix](target, state, meta)
    return f"{source}: {words} ({file.kind})"


def describe(net) -> str:
    """Scale, hyper-parameters and number of parameters of a network in words."""
    hyper = ", ".join(f"{key}={value}" for key, value in net.hyper.items())
    count = sum(int(np.prod(param.shape)) for _, param in net.parameters_and_names())
    return f"x{net.scale}, {hyper}, {count} parameters"


def _chosen(loaded: Loaded, widths: Sequence[float] | None, width: float | None):
    from csd.nets import check_width, extract_student

    meta = dict(loaded.meta)
    if width is not None:
        student = extract_student(loaded.net, width)
        model = {"name": student.name, "scale": student.scale, **student.hyper}
        return student, {**meta, "model": model, "widths": [1.0]}
    if widths is not None:
        for value in widths:
            check_width(loaded.net, value)
        meta["widths"] = [float(value) for value in widths]
    return loaded.net, meta


_NETWORK_WRITERS: dict[str, _Writer] = {
    ".ckpt": save_checkpoint,
    ".safetensors": write_safetensors,
    ".pth": write_csd_pth,
    ".pt": write_csd_pth,
}
_VGG_WRITERS = {**_NETWORK_WRITERS, ".pth": write_plain_pth, ".pt": write_plain_pth}
