"""A super-resolution network from any file that holds one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csd.backbones import BACKBONES
from csd.checkpoints.checkpoint import FORMAT, VERSION
from csd.checkpoints.files import TensorFile, read_tensors
from csd.checkpoints.meta import check_size
from csd.checkpoints.state import check_shapes, drop_mean_shift, load_csd_state
from csd.checkpoints.vgg import summary, vgg_of
from csd.errors import InputError, shown


@dataclass(frozen=True)
class Loaded:
    """A network, its checkpoint metadata, and in words whose file it was in."""

    net: Any
    meta: dict[str, Any]
    label: str


def load_network(
    path: str | Path, res_scale: float | None = None, scale: int | None = None
) -> tuple[Any, dict[str, Any]]:
    """Build and load the network that a file holds.

    Our own checkpoints name their network. Files of other programs (`.pth`, `.pt`, `.safetensors`,
    `.ckpt`) are recognised by their tensors: see the `LAYOUTS` of each backbone.

    Args:
        res_scale: residual scale of an EDSR, where the file does not hold it and it is none of the
            published networks; where the file does hold it, both must agree.
        scale: which up-sampler to take from a file that holds several.

    Returns:
        (net, meta): a SlimmableSR, and what `save_checkpoint` takes as `meta`.

    Raises:
        InputError: naming the file, the tensor, what was expected and what was found.
    """
    path = Path(path)
    loaded = network_of(read_tensors(path), str(path), res_scale, scale)
    return loaded.net, loaded.meta


def network_of(
    file: TensorFile, source: str, res_scale: float | None = None, scale: int | None = None
) -> Loaded:
    """The network in an already read file; see `load_network`."""
    given = {"res_scale": res_scale, "scale": scale}
    given = {key: value for key, value in given.items() if value is not None}
    if file.meta.get("model"):
        net, label = _own(file, source, given)
    else:
        net, label = _foreign(file, source, given)
    meta = {"widths": [1.0], **file.meta}
    meta |= {"format": FORMAT, "version": VERSION, "model": net.describe()}
    return Loaded(net, meta, label)


def _own(file: TensorFile, source: str, given: Mapping[str, Any]) -> tuple[Any, str]:
    """What a file of ours says it holds."""
    model = file.meta["model"]
    if not isinstance(model, Mapping) or model.get("name") not in BACKBONES:
        raise InputError(_not_a_network(file, source))
    if "res_scale" in given:
        stored = model.get("res_scale")
        if stored is not None and stored != given["res_scale"]:
            raise InputError(
                f"{source} says its residual scale is {stored}, not {given['res_scale']}"
            )
        _check_given(model["name"], given, source)
        model = {**model, "res_scale": given["res_scale"]}
    net = _create(model, file.tensors, source)
    load_csd_state(net, file.tensors, source)
    return net, f"{type(net).__name__} (CSD)"


def _foreign(file: TensorFile, source: str, given: Mapping[str, Any]) -> tuple[Any, str]:
    """What the tensors of another program's file give away."""
    from csd.checkpoints.layouts import recognise, to_our_names, to_their_name

    found = recognise(file.tensors)
    if found is None:
        raise InputError(_not_a_network(file, source))
    backbone, layout, tensors = found
    _check_given(backbone.name, given, source)
    state = drop_mean_shift(to_our_names(layout, tensors, given, source), source)
    hyper = {**backbone.infer(state, given, source), **layout.hyper}
    net = _create({"name": backbone.name, **hyper}, state, source)

    def theirs(name: str) -> str:
        return to_their_name(layout, name, net.hyper)

    # Under the names of the file, which is where the reader will look.
    expected = {theirs(name): tuple(p.shape) for name, p in net.parameters_and_names()}
    check_shapes(expected, {theirs(name): value for name, value in state.items()}, source)
    load_csd_state(net, state, source)
    return net, layout.label


def _create(model: Mapping[str, Any], tensors: Mapping[str, np.ndarray], source: str):
    from csd.nets import create_model

    check_size(model, tensors, source)
    try:
        return create_model(**model)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{source} describes its network as {shown(model, 200)}: {error}"
        ) from error


def _check_given(name: str, given: Mapping[str, Any], source: str) -> None:
    from csd.backbones import hyper_table

    if "res_scale" in given and "res_scale" not in {row.name for row in hyper_table(name)}:
        raise InputError(f"{source} holds {name}, which has no residual scale to set")


def _not_a_network(file: TensorFile, source: str) -> str:
    from csd.nets import backbones

    labels = (layout.label for backbone in backbones() for layout in backbone.LAYOUTS)
    known = ", ".join(labels)
    vgg = vgg_of(file, source)
    if vgg is not None:
        return f"{source} holds {vgg.arch}, expected a super-resolution network ({known})"
    if model := file.meta.get("model"):
        return f"{source} says it holds {model}; the networks here are {', '.join(BACKBONES)}"
    return (
        f"{source} ({file.kind}) holds no super-resolution network that is known here ({known}): "
        f"{summary(file.tensors)}"
    )
