"""MindSpore's checkpoint file, one entry at a time.

Such a file is a protobuf message `Checkpoint { repeated Value value }`, and protobuf messages may
be written one after the other. Walking the entries ourselves instead of parsing the whole message
keeps the memory at one tensor, has no 2 GB limit, and lets an error name the tensor at which a
file ends.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from csd.checkpoints.protobuf import field, fields, numbers
from csd.errors import InputError

_VALUE_FIELD = 0x0A  # field 1, length-delimited: `value` of Checkpoint, and `tag` of Value
_CRC_TRAILER = b"crc_num"  # mindspore.save_checkpoint(crc_check=True) appends this and ten bytes
_SLICE_BYTES = 512 * 1024 * 1024  # larger tensors are split over entries of the same name

_TYPE_OF = {
    "Bool": np.bool_,
    "Int8": np.int8,
    "UInt8": np.uint8,
    "Int16": np.int16,
    "UInt16": np.uint16,
    "Int32": np.int32,
    "UInt32": np.uint32,
    "Int64": np.int64,
    "UInt64": np.uint64,
    "Float16": np.float16,
    "Float32": np.float32,
    "Float64": np.float64,
}
_NAME_OF = {np.dtype(kind): name for name, kind in _TYPE_OF.items()}


@dataclass(frozen=True)
class Entry:
    """One named value of a checkpoint file, and the SHA-256 of its bytes in the file."""

    name: str
    value: np.ndarray | str
    sha256: str


def write_entry(file: BinaryIO, name: str, value: np.ndarray | str) -> str:
    """Append one entry; return the SHA-256 (hex) of what was written.

    Raises TypeError for an array whose dtype MindSpore's format has no name for.
    """
    kind: str | None
    shape: tuple[int, ...]
    if isinstance(value, str):
        array, kind, shape = np.array(value), "str", (0,)
    else:
        array = np.asarray(value)
        kind, shape = _NAME_OF.get(array.dtype), array.shape
        if kind is None:
            raise TypeError(f"'{name}' is {array.dtype}, which a MindSpore checkpoint cannot hold")
    content = memoryview(np.ascontiguousarray(array).tobytes())
    digest = hashlib.sha256()
    for start in range(0, max(len(content), 1), _SLICE_BYTES):
        part = _encode(name, shape, kind, content[start : start + _SLICE_BYTES])
        file.write(part)
        digest.update(part)
    return digest.hexdigest()


def read_entries(path: Path, file: BinaryIO) -> Iterator[Entry]:
    """Yield every entry of an open MindSpore checkpoint; `path` is only for the messages.

    Raises InputError when the file is truncated, damaged, or is no such file, naming the entry.
    """
    previous, parts, digest = None, [], hashlib.sha256()
    for record, raw in _records(path, file):
        if previous is not None and record.name != previous.name:
            yield _entry(path, previous, parts, digest)
            parts, digest = [], hashlib.sha256()
        parts.append(record.content)
        digest.update(raw)
        previous = record
    if previous is not None:
        yield _entry(path, previous, parts, digest)


def widened(bfloat16: bytes) -> np.ndarray:
    """The values of a bfloat16 tensor, which numpy lacks, exactly, as float32 (N,)."""
    return (np.frombuffer(bfloat16, "<u2").astype(np.uint32) << 16).view(np.float32)


def looks_like_ms_checkpoint(head: bytes) -> bool:
    """Whether the first bytes of a file (64 suffice) can begin a MindSpore checkpoint."""
    if len(head) < 4 or head[0] != _VALUE_FIELD:
        return False
    position = 1
    while position < len(head) and head[position] & 0x80:
        position += 1
    return position < 10 and head[position + 1 : position + 2] == bytes([_VALUE_FIELD])


@dataclass(frozen=True)
class _Record:
    """One message `Value { string tag = 1; TensorProto tensor = 2; }` of a checkpoint."""

    name: str
    shape: tuple[int, ...]
    kind: str
    content: bytes


def _encode(name: str, shape: Iterable[int], kind: str, content: memoryview) -> bytes:
    """The bytes of one `value` of a checkpoint, as MindSpore writes them."""
    tensor = b"".join(field(1, int(side)) for side in shape)
    tensor += field(2, kind.encode()) + field(3, content)
    return field(1, field(1, name.encode()) + field(2, tensor))


def _decode(body: bytes) -> _Record:
    """The `Value` in its bytes; ValueError where they hold none."""
    name, shape, kind, content = "", [], "", b""
    for number, value in fields(body):
        if number == 1:
            name = str(_bytes(value), "utf-8")
        if number != 2:
            continue
        for inner, part in fields(_bytes(value)):
            if inner == 1:
                shape += [n - (1 << 64) if n >= 1 << 63 else n for n in numbers(part)]
            elif inner == 2:
                kind = str(_bytes(part), "utf-8")
            elif inner == 3:
                content = bytes(_bytes(part))
    return _Record(name, tuple(shape), kind, content)


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where bytes are expected")
    return value


def _records(path: Path, file: BinaryIO) -> Iterator[tuple[_Record, bytes]]:
    """Yield (entry, raw bytes) of every entry, checking the framing."""
    after = "its start"
    size = os.fstat(file.fileno()).st_size
    while first := file.read(1):
        if first[0] != _VALUE_FIELD:
            rest = file.read(18)
            if (first + rest).startswith(_CRC_TRAILER) and len(first + rest) == 17:
                return
            raise InputError(
                f"{path} is no MindSpore checkpoint or is damaged: after {after} there is no "
                "further tensor but something else"
            )
        header, length = _varint(file)
        # No more than there is: a damaged length can name terabytes.
        body = file.read(min(length, size - file.tell())) if length is not None else b""
        if length is None or len(body) < length:
            name = _tag_of(body)
            where = f"tensor '{name}'" if name else f"the tensor after {after}"
            needs = "a length" if length is None else f"{length} bytes"
            raise InputError(f"{path} is truncated: {where} needs {needs}, found {len(body)} bytes")
        raw = first + header + body
        try:
            record = _decode(body)
        except ValueError as error:  # UnicodeDecodeError is one
            raise InputError(
                f"{path} is no MindSpore checkpoint or is damaged: the tensor after {after} "
                "cannot be decoded"
            ) from error
        after = f"'{record.name}'"
        yield record, raw


def _varint(file: BinaryIO) -> tuple[bytes, int | None]:
    """Read a protobuf varint: its bytes and value; value None where the file ends or is damaged."""
    raw, value = b"", 0
    for shift in range(0, 42, 7):
        byte = file.read(1)
        if not byte:
            return raw, None
        raw += byte
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return raw, value
    return raw, None


def _tag_of(body: bytes) -> str:
    """The entry's name, the first field of its body, also of a body that is cut short."""
    if len(body) < 3 or body[0] != _VALUE_FIELD or body[1] >= 0x80:
        return ""
    return body[2 : 2 + body[1]].decode("utf-8", errors="replace")


def _entry(path: Path, record: _Record, parts: list[bytes], digest) -> Entry:
    name, kind_name, content = record.name, record.kind, b"".join(parts)
    if kind_name == "str":
        if not content or len(content) % 4:
            raise InputError(f"{path} is damaged: '{name}' holds {len(content)} bytes of UTF-32")
        try:
            text = content.decode("utf-32-le")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is damaged: '{name}' is not UTF-32 text") from error
        return Entry(name, text, digest.hexdigest())
    wide = kind_name == "BFloat16"
    kind = np.uint16 if wide else _TYPE_OF.get(kind_name)
    if kind is None:
        known = ", ".join((*_TYPE_OF, "BFloat16"))
        raise InputError(f"{path}: tensor '{name}' has type '{kind_name}', expected one of {known}")
    shape = record.shape
    if shape == (0,) and content:  # how older versions of MindSpore write a scalar
        shape = ()
    needed = math.prod(shape) * np.dtype(kind).itemsize
    if min(shape, default=0) < 0 or needed != len(content):
        raise InputError(
            f"{path} is damaged: tensor '{name}' of shape {shape} and type {kind_name} "
            f"needs {needed} bytes, found {len(content)}"
        )
    array = widened(content) if wide else np.frombuffer(content, dtype=kind).copy()
    return Entry(name, array.reshape(shape), digest.hexdigest())
