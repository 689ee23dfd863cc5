"""A super-resolution network from any file that holds one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csd.checkpoints.checkpoint import FORMAT, VERSION
from csd.checkpoints.files import TensorFile, read_tensors
from csd.checkpoints.layouts import LAYOUTS, infer_model, recognise, to_our_names, to_their_name
from csd.checkpoints.state import check_shapes, drop_mean_shift, load_csd_state
from csd.checkpoints.vgg import summary, vgg_of
from csd.errors import InputError

# The residual scale is in no tensor. (blocks, features) of the networks that EDSR's authors
# published, and of their baselines; everybody else has to say it.
KNOWN_RES_SCALES = {(32, 256): 0.1, (16, 64): 1.0}


@dataclass(frozen=True)
class Loaded:
    """A network, its checkpoint metadata, and the layout it was found in (a key of LAYOUTS)."""

    net: Any
    meta: dict[str, Any]
    layout: str


def load_network(path: str | Path, res_scale: float | None = None) -> tuple[Any, dict[str, Any]]:
    """Build and load the network that a file holds.

    Reads our `.ckpt`, and `.pth`/`.pt`/`.safetensors`/`.ckpt` in the layouts of CSD, EDSR-PyTorch
    and RCAN-PyTorch. `res_scale` is needed for an EDSR whose file does not say it (see
    KNOWN_RES_SCALES), and must agree where it does.

    Returns (net, meta): a SlimmableSR, and what `save_checkpoint` takes as `meta`.
    Raises InputError naming the file, the tensor, what was expected and what was found.
    """
    path = Path(path)
    loaded = network_of(read_tensors(path), str(path), res_scale)
    return loaded.net, loaded.meta


def network_of(file: TensorFile, source: str, res_scale: float | None = None) -> Loaded:
    """The network in an already read file; see `load_network`."""
    from csd.nets import create_model

    layout = recognise(file.tensors)
    if layout is None:
        raise InputError(_not_a_network(file, source))
    state = to_our_names(layout, file.tensors, source)
    state = drop_mean_shift(state, source)
    model = file.meta.get("model") or infer_model(layout, state, source)
    if LAYOUTS[layout].backbone == "edsr":
        model = {**model, "res_scale": _res_scale(model, res_scale, source)}
    elif res_scale is not None:
        raise InputError(f"{source} holds {model['name']}, which has no residual scale to set")
    try:
        net = create_model(**model)
    except TypeError as error:
        raise InputError(f"{source} describes its network as {model}: {error}") from error
    _check(layout, net, state, source)
    load_csd_state(net, state, source)
    meta = {"widths": [1.0], **file.meta, "format": FORMAT, "version": VERSION, "model": model}
    return Loaded(net, meta, layout)


def _check(layout: str, net, state: Mapping[str, np.ndarray], source: str) -> None:
    """Names and shapes, under the names of the file, which is where the reader will look."""

    def theirs(name: str) -> str:
        return to_their_name(layout, name, net.hyper)

    expected = {theirs(name): tuple(p.shape) for name, p in net.parameters_and_names()}
    check_shapes(expected, {theirs(name): value for name, value in state.items()}, source)


def _res_scale(model: Mapping[str, Any], given: float | None, source: str) -> float:
    stored = model.get("res_scale")
    if given is not None:
        if stored is not None and stored != given:
            raise InputError(f"{source} says its residual scale is {stored}, not {given}")
        return float(given)
    if stored is None:
        size = (model["n_resblocks"], model["n_feats"])
        stored = KNOWN_RES_SCALES.get(size)
        if stored is None:
            known = ", ".join(f"{b} x {f}: {s}" for (b, f), s in KNOWN_RES_SCALES.items())
            raise InputError(
                f"{source} holds an EDSR of {size[0]} blocks x {size[1]} features, whose residual "
                f"scale is not in the file (known: {known}); write it into one, mostly 0.1 or 1: "
                f"python tools/convert.py --res_scale 0.1 --input {source} --output FILE.ckpt"
            )
    return float(stored)


def _not_a_network(file: TensorFile, source: str) -> str:
    known = ", ".join(layout.label for layout in LAYOUTS.values())
    vgg = vgg_of(file, source)
    if vgg is not None:
        return f"{source} holds {vgg.arch}, expected a super-resolution network ({known})"
    return (
        f"{source} ({file.kind}) holds no super-resolution network that is known here ({known}): "
        f"{summary(file.tensors)}"
    )
