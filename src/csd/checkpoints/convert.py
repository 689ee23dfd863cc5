"""From any file of weights to a checkpoint, to safetensors, or to the paper's PyTorch code."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csd.checkpoints.checkpoint import save_checkpoint
from csd.checkpoints.files import read_tensors, write_safetensors
from csd.checkpoints.layouts import LAYOUTS
from csd.checkpoints.network import Loaded, network_of
from csd.checkpoints.state import mean_shift_state, network_state
from csd.checkpoints.torch_files import (
    has_torch,
    reference_forward,
    reference_vgg,
    write_csd_pth,
    write_plain_pth,
)
from csd.checkpoints.vgg import VGGWeights, hed_file, vgg_of, vgg_state
from csd.errors import InputError, WorkError

TOLERANCE = 1e-3  # on 0..255 for images, relative to the largest activation for VGG

_Writer = Callable[[Path, dict[str, np.ndarray], dict[str, Any]], None]


def convert(
    source: str | Path,
    target: str | Path,
    *,
    res_scale: float | None = None,
    widths: Sequence[float] | None = None,
    width: float | None = None,
    verify: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Recognise what `source` holds, check it against PyTorch, and write it as `target`.

    The suffix of `target` (.ckpt, .safetensors, .pth, .pt) says which format. `widths`: the widths
    the network was trained for, kept in the metadata. `width`: write the dense student of that
    width instead of the whole network. `source` may be `hed`, see `read_vgg`.

    Raises InputError for a file or option that makes no sense, WorkError when the converted
    network does not compute what the original does.
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
        say(f"{source}: {vgg.arch}, {len(vgg.convs)} convolutions ({file.kind})")
        _verify(verify, lambda: _vgg_difference(vgg), say)
        meta = {"model": {"name": vgg.arch}, "vgg": {"mean": vgg.mean, "std": vgg.std}}
        _VGG_WRITERS[target.suffix](target, vgg_state(vgg), meta)
    else:
        loaded = network_of(file, str(source), res_scale)
        say(f"{source}: {LAYOUTS[loaded.layout].label}, {describe(loaded.net)} ({file.kind})")
        net, meta = _narrow(loaded, widths, width)
        _verify(verify, lambda: _difference(loaded, file.tensors), say)
        _NETWORK_WRITERS[target.suffix](target, network_state(net), meta)
    say(f"{target}: written")


def describe(net) -> str:
    """Scale, hyper-parameters and number of parameters of a network in words."""
    hyper = ", ".join(f"{key}={value}" for key, value in net.hyper.items())
    count = sum(int(np.prod(param.shape)) for _, param in net.parameters_and_names())
    return f"x{net.scale}, {hyper}, {count} parameters"


def _narrow(loaded: Loaded, widths: Sequence[float] | None, width: float | None):
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


def _verify(wanted: bool, difference: Callable[[], float], say: Callable[[str], None]) -> None:
    if not wanted:
        return
    if not has_torch():
        say("not verified: PyTorch is not installed (`pip install torch`)")
        return
    found = difference()
    if not found <= TOLERANCE:
        raise WorkError(
            f"the converted network differs from the original by {found:.3g}, more than {TOLERANCE}"
        )
    say(f"verified: a forward pass differs from PyTorch's by {found:.2g}")


def _difference(loaded: Loaded, tensors: Mapping[str, np.ndarray]) -> float:
    """Largest difference of the outputs for one small image, in 0..255 where outputs are sane."""
    from mindspore import Tensor

    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 9, 11)).astype(np.float32)
    model = {"scale": loaded.net.scale, **loaded.net.hyper}
    wanted = reference_forward(loaded.layout, tensors, x, model)
    found = loaded.net(Tensor(x)).asnumpy()
    # An untrained network may put out thousands; single precision is relative.
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max() / 255, 1.0))


def _vgg_difference(vgg: VGGWeights) -> float:
    from mindspore import Tensor

    from csd.nets import VGG_LAYERS, VGGEncoder

    layers = VGG_LAYERS[vgg.arch]
    encoder = VGGEncoder(layers)
    encoder.load_conv_weights(vgg.convs)
    pools, number = [], 0
    for layer in layers:
        if layer == "M":
            pools.append(number)
        else:
            number += 1
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 32, 32)).astype(np.float32)
    taps = [0, *pools[:-1]]
    wanted = reference_vgg(vgg.convs[: taps[-1] + 1], x, tuple(pools))
    found = encoder(Tensor(x))
    return max(
        float(np.abs(feature.asnumpy() - wanted[tap]).max() / max(np.abs(wanted[tap]).max(), 1e-6))
        for tap, feature in zip(taps, found, strict=True)
    )


def _safetensors(path: Path, state: dict[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    write_safetensors(path, {**mean_shift_state(), **state}, dict(meta))


_NETWORK_WRITERS: dict[str, _Writer] = {
    ".ckpt": save_checkpoint,
    ".safetensors": _safetensors,
    ".pth": write_csd_pth,
    ".pt": write_csd_pth,
}
_VGG_WRITERS: dict[str, _Writer] = {
    ".ckpt": save_checkpoint,
    ".safetensors": write_safetensors,
    ".pth": write_plain_pth,
    ".pt": write_plain_pth,
}
