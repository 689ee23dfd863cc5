"""PyTorch's files, read without running what is inside them.

The only module of the package that imports PyTorch, which is an optional extra.
"""

import importlib.util
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from csd.checkpoints.checkpoint import write_with_digest
from csd.checkpoints.files import META_KEY
from csd.errors import InputError, shown

# Where training programs keep the network inside their checkpoint.
_INSIDE = ("model_state_dict", "state_dict", "params_ema", "params", "model", "net")


def has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def read_torch(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """Tensors of a `.pth`/`.pt` file by name, and our metadata (JSON text) if we wrote it.

    Only tensors, plain containers and numpy's numbers are unpickled. Raises InputError: PyTorch is
    not installed, the file is damaged, holds other objects (nothing of them is executed), or holds
    no tensors.
    """
    torch = _torch(f"reading {path}")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_scalars()):
            warnings.simplefilter("ignore")  # of old files, which are read, and of damaged ones
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
    meta = content.get(META_KEY)
    return {str(name): _array(torch, path, name, value) for name, value in state.items()}, meta


def write_csd_pth(path: Path, state: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write a network as the paper's PyTorch code saves and loads it.

    That code wraps its network in DataParallel and loads without complaining about names, so the
    names carry `module.`, and the mean-shift tensors are there.
    """
    torch = _torch(f"writing {path}")
    tensors = {
        f"module.{name}": torch.from_numpy(np.array(value, np.float32))
        for name, value in state.items()
    }
    _save(
        path,
        {
            "epoch": -1,
            "model_state_dict": tensors,
            "best_psnr": 0.0,
            "best_psnr_epoch": -1,
            META_KEY: json.dumps({"format": "csd", **meta}),
        },
    )


def write_plain_pth(path: Path, state: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write tensors as a plain state_dict beside our metadata."""
    torch = _torch(f"writing {path}")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    _save(path, {"state_dict": tensors, META_KEY: json.dumps({"format": "csd", **meta})})


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


def _array(torch, path: Path, name: Any, value) -> np.ndarray:
    """The values; InputError for a tensor that has none, or that no array of numbers holds."""
    where = f"{path}: tensor {shown(name)}"
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        kind = "quantised" if value.is_quantized else "empty (meta)" if value.is_meta else "sparse"
        raise InputError(f"{where} is {kind}; save it as a dense float32 tensor with its values")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise InputError(f"{where} of shape {tuple(value.shape)} repeats few values; save a copy")
    value = value.detach()
    if value.dtype == torch.bfloat16:
        value = value.float()
    try:
        found = value.contiguous().numpy().copy()
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{where} is of type {value.dtype}; save it as float32") from error
    if found.dtype.kind not in "fiub":
        raise InputError(f"{where} is of type {value.dtype}; save it as float32")
    return found


def _numpy_scalars() -> list:
    """What a pickled numpy number consists of, under the names that numpy 1 and 2 give it.

    `np.core.multiarray.scalar` itself would unpickle an object array, so it gets a guard.
    """
    numbers = {np.dtype(code) for code in "?bBhHiIlLqQefd"}
    guarded = [(_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*guarded, np.dtype, *{type(kind) for kind in numbers}]


def _scalar(dtype: np.dtype, content: bytes) -> np.generic:
    """A numpy number from its bytes."""
    if dtype.kind not in "?biuf" or not isinstance(content, bytes):
        raise pickle.UnpicklingError(f"Unsupported numpy scalar of {dtype}")
    return np.frombuffer(content, dtype, 1)[0]


def _save(path: Path, content: dict) -> None:
    torch = _torch(f"writing {path}")
    write_with_digest(path, lambda file: torch.save(content, file))
