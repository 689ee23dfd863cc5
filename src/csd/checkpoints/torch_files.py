"""PyTorch's files, read without running what is inside them, and PyTorch's arithmetic as a check.

The only module of the package that imports PyTorch, which is an optional extra. The forward passes
follow the authors' layouts by the names in their files and share nothing with our networks, so that
a wrong renaming, a wrong residual scale or a wrong up-sampler shows.
"""

import importlib.util
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from csd.checkpoints.checkpoint import write_with_digest
from csd.checkpoints.state import RGB_MEAN, mean_shift_state
from csd.errors import InputError

# Where training programs keep the network inside their checkpoint.
_INSIDE = ("model_state_dict", "state_dict", "params_ema", "params", "model", "net")
_META_KEY = "csd_meta"


def has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def read_torch(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """Tensors of a `.pth`/`.pt` file by name, and our metadata (JSON text) if we wrote it.

    Only tensors and plain containers are unpickled. Raises InputError: PyTorch is not installed,
    the file is damaged, holds other objects (nothing of them is executed), or holds no tensors.
    """
    torch = _torch(f"reading {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "weights_only" in reason.lower() or "unsupported" in reason.lower():
            raise InputError(
                f"{path} holds Python objects beside its tensors; loading them could run code, so "
                "it is refused: save the network's state_dict() instead"
            ) from error
        raise InputError(f"{path} is a damaged PyTorch file") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        first = str(error).strip().splitlines()[:1]
        raise InputError(
            f"{path} is no PyTorch file, or a damaged or truncated one ({''.join(first)[:120]})"
        ) from error
    state = _state_dict(torch, content)
    if not state:
        raise InputError(f"{path} is a PyTorch file without a state_dict of tensors")
    meta = content.get(_META_KEY)
    return {name: _array(torch, value) for name, value in state.items()}, meta


def write_csd_pth(path: Path, state: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write a network as the paper's PyTorch code saves and loads it.

    That code wraps its network in DataParallel and loads without complaining about names, so the
    names carry `module.`, and the mean-shift tensors are there.
    """
    torch = _torch(f"writing {path}")
    tensors = {
        f"module.{name}": torch.from_numpy(np.array(value, np.float32))
        for name, value in {**mean_shift_state(), **state}.items()
    }
    _save(
        path,
        {
            "epoch": -1,
            "model_state_dict": tensors,
            "best_psnr": 0.0,
            "best_psnr_epoch": -1,
            _META_KEY: json.dumps({"format": "csd", **meta}),
        },
    )


def write_plain_pth(path: Path, state: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write tensors as a plain state_dict beside our metadata."""
    torch = _torch(f"writing {path}")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    _save(path, {"state_dict": tensors, _META_KEY: json.dumps({"format": "csd", **meta})})


def reference_forward(
    layout: str, state: Mapping[str, np.ndarray], x: np.ndarray, model: Mapping[str, Any]
) -> np.ndarray:
    """The output of the network in its authors' layout, computed by PyTorch.

    `layout`: a key of `csd.checkpoints.layouts.LAYOUTS`; `state`: tensors under the file's own
    names; x: float32 (N, 3, H, W), 0..255; `model`: scale and hyper-parameters.
    """
    torch = _torch("checking a conversion")
    with torch.no_grad():
        run = _Run(torch, state, model)
        return _FORWARD[layout](run, torch.from_numpy(x)).numpy()


def reference_vgg(convs, x: np.ndarray, pools: tuple[int, ...]) -> list[np.ndarray]:
    """Activations after every ReLU of a VGG, by PyTorch; a 2x2 pooling before layers in `pools`."""
    torch = _torch("checking a conversion")
    functional, y, outputs = torch.nn.functional, torch.from_numpy(x), []
    with torch.no_grad():
        for number, (weight, bias) in enumerate(convs):
            if number in pools:
                y = functional.max_pool2d(y, 2)
            weight, bias = torch.from_numpy(weight), torch.from_numpy(bias)
            y = functional.relu(functional.conv2d(y, weight, bias, padding=1))
            outputs.append(y.numpy())
    return outputs


class _Run:
    """Convolutions by name."""

    def __init__(self, torch, state: Mapping[str, np.ndarray], model: Mapping[str, Any]):
        self.state = {k: torch.from_numpy(np.array(v, np.float32)) for k, v in state.items()}
        self.torch, self.functional, self.model = torch, torch.nn.functional, model

    def conv(self, name: str, x):
        weight = self.state[f"{name}.weight"]
        bias = self.state[f"{name}.bias"]
        return self.functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def shift(self, name: str, x):
        if f"{name}.weight" in self.state:
            return self.conv(name, x)
        sign = -1 if name == "sub_mean" else 1
        return x + sign * self.torch.from_numpy(RGB_MEAN).reshape(1, 3, 1, 1)

    def relu(self, x):
        return self.functional.relu(x)

    def upsample(self, names: list[str], x):
        factor = 3 if self.model["scale"] == 3 else 2
        for name in names[: 2 if self.model["scale"] == 4 else 1]:
            x = self.functional.pixel_shuffle(self.conv(name, x), factor)
        return x


def _edsr(run: _Run, x, head, conv1, conv2, last, up, tail):
    h = run.conv(head, run.shift("sub_mean", x))
    r = h
    for i in range(run.model["n_resblocks"]):
        y = run.conv(conv2.format(i), run.relu(run.conv(conv1.format(i), r)))
        r = r + run.model["res_scale"] * y
    return run.shift("add_mean", run.conv(tail, run.upsample(up, run.conv(last, r) + h)))


def _edsr_csd(run: _Run, x):
    up = ["upsampler.blocks.0", "upsampler.blocks.1"]
    return _edsr(run, x, "head", "body.{}.conv1", "body.{}.conv2", "body_conv", up, "tail_conv")


def _edsr_authors(run: _Run, x):
    last = f"body.{run.model['n_resblocks']}"
    up = ["tail.0.0", "tail.0.2"]
    return _edsr(run, x, "head.0", "body.{}.body.0", "body.{}.body.2", last, up, "tail.1")


def _rcan(run: _Run, x, head, block, second, squeeze, excite, group, last, up, tail):
    h = run.conv(head, run.shift("sub_mean", x))
    r = h
    for g in range(run.model["n_resgroups"]):
        inside = r
        for b in range(run.model["n_resblocks"]):
            prefix = block.format(g, b)
            y = run.conv(prefix + second, run.relu(run.conv(f"{prefix}.body.0", inside)))
            gate = run.relu(run.conv(prefix + squeeze, y.mean((2, 3), keepdim=True)))
            inside = inside + y * run.torch.sigmoid(run.conv(prefix + excite, gate))
        r = r + run.conv(group.format(g), inside)
    return run.shift("add_mean", run.conv(tail, run.upsample(up, run.conv(last, r) + h)))


def _rcan_csd(run: _Run, x):
    return _rcan(
        *(run, x, "head_conv", "body.{}.body.{}", ".body.1"),
        *(".caLayer.conv_du.0", ".caLayer.conv_du.1", "body.{}.conv", "body_conv"),
        *(["upsampler.blocks.0", "upsampler.blocks.1"], "tail_conv"),
    )


def _rcan_authors(run: _Run, x):
    group = "body.{}.body." + str(run.model["n_resblocks"])
    return _rcan(
        *(run, x, "head.0", "body.{}.body.{}", ".body.2"),
        *(".body.3.conv_du.0", ".body.3.conv_du.2", group, f"body.{run.model['n_resgroups']}"),
        *(["tail.0.0", "tail.0.2"], "tail.1"),
    )


def _cascade(run: _Run, x, prefix: str, block: Callable):
    """Three blocks, each followed by a 1x1 convolution with ReLU over everything before it."""
    collected, y = x, x
    for j in (1, 2, 3):
        collected = run.torch.cat((collected, block(f"{prefix}b{j}", y)), 1)
        y = run.relu(run.conv(f"{prefix}c{j}.conv", collected))
    return y


def _carn_csd(run: _Run, x):
    def unit(name: str, y):
        return y + run.conv(f"{name}.conv2", run.relu(run.conv(f"{name}.conv1", y)))

    entry = run.conv("entry", run.shift("sub_mean", x))
    y = _cascade(run, entry, "", lambda name, y: _cascade(run, y, f"{name}.", unit))
    y = run.upsample(["upsample.blocks.0", "upsample.blocks.1"], y)
    return run.shift("add_mean", run.conv("exit", y))


_FORWARD = {
    "csd_edsr": _edsr_csd,
    "csd_rcan": _rcan_csd,
    "csd_carn": _carn_csd,
    "edsr_pytorch": _edsr_authors,
    "rcan_pytorch": _rcan_authors,
}


def _torch(purpose: str):
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{purpose} needs PyTorch, which is not installed: `pip install torch`"
        ) from error
    return torch


def _state_dict(torch, content: Any, depth: int = 3) -> dict:
    """The mapping of names to tensors in what was saved; {} where there is none."""
    if not isinstance(content, Mapping):
        return {}
    for key in _INSIDE:  # first: the epoch beside it may be a tensor as well
        if depth and (state := _state_dict(torch, content.get(key), depth - 1)):
            return state
    return {k: v for k, v in content.items() if isinstance(v, torch.Tensor)}


def _array(torch, value) -> np.ndarray:
    value = value.detach()
    if value.dtype == torch.bfloat16:
        value = value.float()
    return value.contiguous().numpy().copy()


def _save(path: Path, content: dict) -> None:
    torch = _torch(f"writing {path}")
    write_with_digest(path, lambda file: torch.save(content, file))
