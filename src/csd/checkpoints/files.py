"""Which kind of file this is, and its tensors: one table, one reader per kind.

The kind is recognised by the file's first bytes, never by its name.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from csd.checkpoints.checkpoint import (
    FORMAT,
    TRAIN_PREFIX,
    is_own,
    open_input,
    read_meta,
    read_ms_file,
    verify_sidecar,
    write_with_digest,
)
from csd.checkpoints.meta import parse_meta
from csd.checkpoints.ms_files import looks_like_ms_checkpoint, widened
from csd.checkpoints.state import strip_module
from csd.errors import InputError

MOST_UNPACKED = 1000  # bytes of a tensor for a byte of the file
META_KEY = "csd_meta"  # where safetensors and .pth files of ours keep the metadata, as JSON


@dataclass(frozen=True)
class TensorFile:
    """Tensors by name (`module.` dropped), our metadata or {}, and the kind of file in words."""

    tensors: dict[str, np.ndarray]
    meta: dict[str, Any] = field(default_factory=dict)
    kind: str = ""


def read_tensors(path: Path) -> TensorFile:
    """Read every tensor of a file of weights, of any kind in the table below.

    Raises InputError when the file is missing, of no known kind, or damaged.
    """
    with open_input(path) as file:
        head = file.read(64)
    for kind, recognise, read in _KINDS:
        if recognise(head):
            tensors, meta = read(path)
            return TensorFile(strip_module(tensors), meta, kind)
    raise InputError(
        f"{path} is no file of weights that is known here ({', '.join(k for k, _, _ in _KINDS)}); "
        f"it begins with {head[:8]!r}"
    )


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write tensors and metadata as `.safetensors`, atomically, with a digest beside it."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    content = save(tensors, metadata={META_KEY: json.dumps({"format": FORMAT, **meta})})
    write_with_digest(path, lambda file: file.write(content))


def _read_ms(path: Path):
    entries = read_ms_file(path)
    meta = read_meta(path, entries) if is_own(entries) else {}
    tensors = {
        name: value
        for name, value in entries.items()
        if isinstance(value, np.ndarray) and not name.startswith(TRAIN_PREFIX)
    }
    return tensors, meta


def _read_safetensors(path: Path):
    from safetensors import SafetensorError, safe_open

    verify_sidecar(path)
    try:
        with safe_open(path, framework="numpy") as file:
            meta = parse_meta(path, META_KEY, (file.metadata() or {}).get(META_KEY))
            names = list(file.keys())
            kinds = {name: file.get_slice(name).get_dtype() for name in names}
            return {
                name: _bfloat16(path, name) if kinds[name] == "BF16" else file.get_tensor(name)
                for name in names
            }, meta
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is a damaged or truncated .safetensors file: {error}") from error
    except (TypeError, AttributeError) as error:  # eight bits and fewer have no numpy type
        raise InputError(
            f"{path} holds a tensor of a type numpy lacks ({error}); save it as float32"
        ) from error


def _bfloat16(path: Path, name: str) -> np.ndarray:
    """A tensor of a valid .safetensors file, as float32, which holds it exactly."""
    with open_input(path) as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        return widened(file.read(end - begin)).reshape(entry["shape"])


def _read_h5(path: Path):
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} is an HDF5 file, which needs `pip install h5py`") from error
    verify_sidecar(path)
    tensors = {}

    def keep(name: str, item) -> None:
        if isinstance(item, h5py.Group):
            _refuse_other_files(path, name, _has_external_link(item))
        elif isinstance(item, h5py.Dataset):
            _refuse_other_files(path, name, item.is_virtual or bool(item.external))
            if item.dtype.kind in "fiu" and item.shape is not None:
                _check_stored(path, name, item)
                tensors[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            keep("/", file)
            file.visititems(keep)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is a damaged or truncated HDF5 file: {error}") from error
    return tensors, {}


def _check_stored(path: Path, name: str, item) -> None:
    """A few bytes of HDF5 can describe a tensor of any size: never written, or compressed."""
    stored = item.id.get_storage_size()
    if item.size and (not stored or item.nbytes > MOST_UNPACKED * stored):
        raise InputError(
            f"{path} is refused: '{name}' of shape {item.shape} has {stored} bytes in the file; "
            "save it with all its values"
        )


def _has_external_link(group) -> bool:
    import h5py

    def leads_out(name: str) -> bool:
        try:
            return isinstance(group.get(name, getlink=True), h5py.ExternalLink)
        except TypeError:  # of a kind that a program has defined for itself
            return True

    return any(leads_out(name) for name in group)


def _refuse_other_files(path: Path, name: str, refers: bool) -> None:
    """HDF5 can have values in any file that the reader may read: a password as a bias."""
    if refers:
        raise InputError(
            f"{path} is refused: '{name}' takes values from another file; save it with all its "
            "values inside"
        )


def _read_torch(path: Path):
    from csd.checkpoints.torch_files import read_torch

    verify_sidecar(path)
    tensors, meta = read_torch(path)
    return tensors, parse_meta(path, META_KEY, meta)


_Kind = tuple[str, Callable[[bytes], bool], Callable[[Path], tuple[dict, dict]]]
_KINDS: tuple[_Kind, ...] = (
    ("PyTorch .pth/.pt", lambda head: head.startswith((b"PK\x03\x04", b"\x80")), _read_torch),
    ("HDF5", lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"), _read_h5),
    ("safetensors", lambda head: head[8:9] == b"{" and head[4:8] == bytes(4), _read_safetensors),
    ("MindSpore .ckpt", looks_like_ms_checkpoint, _read_ms),
)
