"""Arithmetic on stored samples: unpacking bits, full range, straight alpha, strips."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

_BAND_BYTES = 1 << 22


def to_full_range(values: np.ndarray, top: int) -> np.ndarray:
    """Integers 0..top stretched to uint8 0..255, or uint16 0..65535 where `top` exceeds 255.

    Rounded half up; values above `top` count as `top`.
    """
    full, dtype = (255, np.uint8) if top <= 255 else (65535, np.uint16)
    if top == full:
        return values.astype(dtype, copy=False)
    table = (np.arange(top + 1, dtype=np.uint64) * (2 * full) + top) // (2 * top)
    return table.astype(dtype)[np.minimum(values, top)]


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """uint8 as it is; of uint16 the high byte, as libpng does it."""
    return (values >> 8).astype(np.uint8) if values.dtype == np.uint16 else values


def to_rgb8(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of uint8 or uint16 (H, W) or (H, W, 3); grey is repeated."""
    pixels = to_8_bits(pixels)
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def unpack_bits(rows: np.ndarray, bits: int, count: int) -> np.ndarray:
    """`count` integers of `bits` bits (1 to 16), most significant first, of every row.

    rows: uint8 (n, bytes) -> (n, count), uint8 for up to 8 bits, else uint16.
    """
    dtype: Any = np.uint8 if bits <= 8 else np.uint16
    out = np.empty((len(rows), count), dtype)
    band = max(1, _BAND_BYTES // max(1, rows.shape[1]))
    for top in range(0, len(rows), band):
        digits = np.unpackbits(rows[top : top + band], axis=1, count=count * bits)
        digits = digits.reshape(-1, count, bits)
        part = out[top : top + band]
        part[...] = digits[:, :, 0]
        for place in range(1, bits):
            part <<= 1
            part |= digits[:, :, place]
    return out


def unpremultiply(planes: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha, divided by it again; the last channel is alpha.

    uint8 or uint16 (H, W, C) -> the same; rounded half up; where alpha is 0, colours stay.
    """
    full = np.iinfo(planes.dtype).max
    alpha = planes[:, :, -1].astype(np.uint32)
    out = planes.copy()
    for channel in range(planes.shape[2] - 1):
        wide = planes[:, :, channel].astype(np.uint32) * np.uint32(full) + alpha // 2
        wide = np.minimum(wide // np.maximum(alpha, 1), full)
        out[:, :, channel] = np.where(alpha > 0, wide, planes[:, :, channel])
    return out


def regrouped(strips: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """An image in strips (n, ...) of any heights as strips of `rows` rows, the last of the rest."""
    waiting: list[np.ndarray] = []
    count = 0
    for strip in strips:
        while len(strip):
            part, strip = strip[: rows - count], strip[rows - count :]
            waiting.append(part)
            count += len(part)
            if count == rows:
                yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)
