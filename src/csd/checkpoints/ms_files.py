"""MindSpore's checkpoint file, one entry at a time.

Such a file is a protobuf message `Checkpoint { repeated Value value }`, and protobuf messages may
be written one after the other. Walking the entries ourselves instead of parsing the whole message
keeps the memory at one tensor, has no 2 GB limit, and lets an error name the tensor at which a
file ends.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

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
        part = _record(name, shape, kind, content[start : start + _SLICE_BYTES])
        file.write(part)
        digest.update(part)
    return digest.hexdigest()


def read_entries(path: Path, file: BinaryIO) -> Iterator[Entry]:
    """Yield every entry of an open MindSpore checkpoint; `path` is only for the messages.

    Raises InputError when the file is truncated, damaged, or is no such file, naming the entry.
    """
    previous, parts, digest = None, [], hashlib.sha256()
    for message, raw in _records(path, file):
        name, tensor = message.tag, message.tensor
        if previous is not None and name != previous.tag:
            yield _entry(path, previous, parts, digest)
            parts, digest = [], hashlib.sha256()
        parts.append(tensor.tensor_content)
        digest.update(raw)
        previous = message
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


def _record(name: str, shape: Iterable[int], kind: str, content: memoryview) -> bytes:
    from mindspore.train.checkpoint_pb2 import Checkpoint

    checkpoint = Checkpoint()
    value = checkpoint.value.add()
    value.tag = name
    value.tensor.dims.extend(shape)
    value.tensor.tensor_type = kind
    value.tensor.tensor_content = bytes(content)
    return checkpoint.SerializeToString()


def _records(path: Path, file: BinaryIO) -> Iterator[tuple]:
    """Yield (Value message, raw bytes) of every entry, checking the framing."""
    from google.protobuf.message import DecodeError
    from mindspore.train.checkpoint_pb2 import Checkpoint

    after = "its start"
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
        body = file.read(length) if length is not None else b""
        if length is None or len(body) < length:
            name = _tag_of(body)
            where = f"tensor '{name}'" if name else f"the tensor after {after}"
            size = "a length" if length is None else f"{length} bytes"
            raise InputError(f"{path} is truncated: {where} needs {size}, found {len(body)} bytes")
        raw = first + header + body
        try:
            message = Checkpoint.FromString(raw).value[0]
        except (DecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} is no MindSpore checkpoint or is damaged: the tensor after {after} "
                "cannot be decoded"
            ) from error
        after = f"'{message.tag}'"
        yield message, raw


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


def _entry(path: Path, message, parts: list[bytes], digest) -> Entry:
    name, tensor, content = message.tag, message.tensor, b"".join(parts)
    if tensor.tensor_type == "str":
        if not content or len(content) % 4:
            raise InputError(f"{path} is damaged: '{name}' holds {len(content)} bytes of UTF-32")
        try:
            text = content.decode("utf-32-le")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is damaged: '{name}' is not UTF-32 text") from error
        return Entry(name, text, digest.hexdigest())
    wide = tensor.tensor_type == "BFloat16"
    kind = np.uint16 if wide else _TYPE_OF.get(tensor.tensor_type)
    if kind is None:
        known = ", ".join((*_TYPE_OF, "BFloat16"))
        raise InputError(
            f"{path}: tensor '{name}' has type '{tensor.tensor_type}', expected one of {known}"
        )
    shape = tuple(tensor.dims)
    if shape == (0,) and content:  # how older versions of MindSpore write a scalar
        shape = ()
    needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
    if min(shape, default=0) < 0 or needed != len(content):
        raise InputError(
            f"{path} is damaged: tensor '{name}' of shape {shape} and type {tensor.tensor_type} "
            f"needs {needed} bytes, found {len(content)}"
        )
    array = widened(content) if wide else np.frombuffer(content, dtype=kind).copy()
    return Entry(name, array.reshape(shape), digest.hexdigest())
