"""The wire format of protocol buffers, as far as checkpoints and ONNX files need it.

A message is a sequence of fields: a key (number and kind), then a number or counted bytes. Fields
may come in any order, and repeated ones add up. With this, a file is read without the library that
wrote it.
"""

from collections.abc import Iterator
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of every field: an int, or for counted and fixed-size ones their bytes.

    Raises ValueError where the bytes are no message, or end early.
    """
    data, position = memoryview(message), 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"field {number} is of the unknown kind {kind}")
        if position + length > len(data):
            raise ValueError(f"field {number} ends early")
        yield number, data[position : position + length]
        position += length


def numbers(value: int | memoryview) -> list[int]:
    """The integers of one occurrence of a repeated field, packed or not."""
    if isinstance(value, int):
        return [value]
    found, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        found.append(number)
    return found


def field(number: int, value: int | bytes | memoryview) -> bytes:
    """One field as bytes: an integer of at least 0, or counted bytes."""
    if isinstance(value, int):
        return encode_varint(number << 3 | _VARINT) + encode_varint(value)
    return encode_varint(number << 3 | _BYTES) + encode_varint(len(value)) + bytes(value)


def encode_varint(value: int) -> bytes:
    """An integer of at least 0 as seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("a number ends early")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")
