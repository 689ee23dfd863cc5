"""This program's checkpoints: MindSpore's own format, written atomically and verified when read.

Layout of the file, in this order: `csd.meta` (JSON text), the network's parameters under their
plain names, the training state under `csd.train.*`, `csd.digest` (JSON text: the SHA-256 of every
entry before it). The digests are inside the file so that one rename replaces both: killed at any
moment, what lies under the checkpoint's name is the old or the new file, whole. The `.sha256`
beside it, for `sha256sum -c`, is taken away before that rename and put back after it, so that it
never contradicts the file.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from csd import schema
from csd.checkpoints.meta import parse_meta
from csd.checkpoints.ms_files import looks_like_ms_checkpoint, read_entries, write_entry
from csd.errors import InputError, shown
from csd.files import digest_of, exists, new_file, open_regular, parse_json, read_text, writing

FORMAT, VERSION = "csd", 1
TRAIN_PREFIX = "csd.train."
_META, _DIGEST = "csd.meta", "csd.digest"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: parameters by name, JSON-able metadata, training state by name."""

    params: dict[str, np.ndarray]
    meta: dict[str, Any]
    train_state: dict[str, np.ndarray]


def save_checkpoint(
    path: str | Path,
    params: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    train_state: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a checkpoint that `load_checkpoint` and `mindspore.load_checkpoint` read.

    `params` and `train_state` hold arrays (bool, integer, float16/32/64; scalars are allowed);
    `meta` must be JSON-able (numpy scalars and arrays are turned into numbers and lists), gets
    `format` and `version`, and normally has `model` (name, scale, hyper-parameters) and `widths`.

    Raises WorkError when the file cannot be written; an earlier checkpoint there stays whole.
    """
    path = Path(path)
    meta_text = json.dumps({**meta, "format": FORMAT, "version": VERSION}, default=_plain)
    entries: dict[str, np.ndarray | str] = {_META: meta_text}
    entries.update((name, np.asarray(value)) for name, value in params.items())
    for name, value in (train_state or {}).items():
        entries[TRAIN_PREFIX + name] = np.asarray(value)

    def write(file: BinaryIO) -> None:
        digests = {name: write_entry(file, name, value) for name, value in entries.items()}
        write_entry(file, _DIGEST, json.dumps(digests))

    write_with_digest(path, write)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read and verify a checkpoint written by `save_checkpoint`.

    Raises InputError, naming the file and where possible the tensor, when the file is missing,
    truncated, damaged, of a newer version, or something else than this program's checkpoint.
    """
    path = Path(path)
    entries = read_ms_file(path)
    if not is_own(entries):
        raise InputError(
            f"{path} is a MindSpore checkpoint but not one of this program (it has no '{_META}'); "
            "convert it with tools/convert.py"
        )
    meta = read_meta(path, entries)
    params: dict[str, Any] = {}
    train_state: dict[str, Any] = {}
    for name, value in entries.items():
        if name == _META:
            continue
        if isinstance(value, str):
            raise InputError(f"{path} is damaged: '{name}' is text, expected a tensor")
        if name.startswith(TRAIN_PREFIX):
            train_state[name.removeprefix(TRAIN_PREFIX)] = value
        else:
            params[name] = value
    return Checkpoint(params, meta, train_state)


def read_ms_file(path: Path) -> dict[str, np.ndarray | str]:
    """Every entry of a MindSpore checkpoint, anybody's; ours are verified against their digests.

    A file without digests of its own is verified against `<path>.sha256` where that exists.
    """
    with open_input(path) as file:
        if not looks_like_ms_checkpoint(file.read(64)):
            raise InputError(f"{path} is not a MindSpore checkpoint")
        file.seek(0)
        values: dict[str, Any] = {}
        digests: dict[str, str] = {}
        for entry in read_entries(path, file):
            values[entry.name], digests[entry.name] = entry.value, entry.sha256
    if _DIGEST in values:
        _verify(path, values.pop(_DIGEST), digests)
    elif _META in values:
        last = list(values)[-1]
        raise InputError(
            f"{path} is truncated: it ends after '{last}', expected '{_DIGEST}' at its end"
        )
    else:
        verify_sidecar(path)
    return values


def is_own(entries: Mapping[str, np.ndarray | str]) -> bool:
    """Whether the entries of a MindSpore checkpoint are those of one that we wrote."""
    return _META in entries


def read_meta(path: Path, entries: Mapping[str, np.ndarray | str]) -> dict[str, Any]:
    """The metadata among the entries of our checkpoint; InputError for another version's."""
    meta = parse_meta(path, _META, entries[_META])
    if meta.get("format") != FORMAT or meta.get("version") != VERSION:
        raise InputError(
            f"{path} has format {shown(meta.get('format'))} version "
            f"{shown(meta.get('version'))}, expected "
            f"{FORMAT!r} version {VERSION}: it was written by another version of this program"
        )
    return meta


def verify_sidecar(path: Path) -> None:
    """Compare a file with the SHA-256 in `<path>.sha256`, where there is one; else InputError."""
    sidecar = sidecar_of(path)
    if len(os.fsencode(sidecar.name)) > 255 or not exists(sidecar):  # a name that none can have
        return
    expected = next(iter(read_text(sidecar, "a SHA-256").lower().split()), "")
    if re.fullmatch(r"[0-9a-f]{64}", expected) is None:
        raise InputError(f"{sidecar} holds no SHA-256: remove it or write it with sha256sum")
    with open_input(path) as file:
        found = digest_of(file)
    if found != expected:
        raise InputError(
            f"{path} is damaged: {sidecar.name} expects SHA-256 {expected}, found {found}"
        )


def sidecar_of(path: Path) -> Path:
    """The digest file beside `path`."""
    return path.with_name(path.name + ".sha256")


def open_input(path: Path) -> BinaryIO:
    """Open an existing file for reading; InputError says why that is impossible."""
    return open_regular(path, "a file of weights")


def write_with_digest(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file of weights atomically, its `.sha256` beside it.

    `write` gets a temporary file in the same folder, which is flushed to the disk and renamed.
    Raises WorkError when that fails, with the temporary files removed.
    """
    sidecar = sidecar_of(path)
    new, new_sidecar = _temporary(path), _temporary(sidecar)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_file(new) as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                digest = digest_of(file)
            with new_file(new_sidecar) as file:
                file.write(f"{digest}  {path.name}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            sidecar.unlink(missing_ok=True)
            new.replace(path)
            new_sidecar.replace(sidecar)
            _sync_folder(path.parent)
    finally:
        for leftover in (new, new_sidecar):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    # One fixed name: what a killed run left behind is overwritten by the next one, not heaped up.
    return path.with_name(f".{path.name}.tmp")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _verify(path: Path, text: str, found: dict[str, str]) -> None:
    complaint = f"{path} is damaged: its '{_DIGEST}'"
    if not isinstance(text, str):
        raise InputError(f"{complaint} is not text")
    digests = schema.mapping(schema.text(64), 1 << 24)
    expected = parse_json(text, digests, complaint, "take another copy of the file")
    found = {name: digest for name, digest in found.items() if name != _DIGEST}
    for name in expected:
        if name not in found:
            raise InputError(f"{path} is damaged: tensor '{name}' is expected and missing")
        if expected[name] != found[name]:
            raise InputError(
                f"{path} is damaged: tensor '{name}' should have SHA-256 {expected[name][:16]}..., "
                f"found {found[name][:16]}..."
            )
    for name in found.keys() - expected.keys():
        raise InputError(f"{path} is damaged: tensor '{name}' was not in it when it was written")


def _plain(value: Any) -> Any:
    """JSON's view of a numpy value or a path in the metadata."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"checkpoint metadata must be JSON-able, found {type(value).__name__}")
