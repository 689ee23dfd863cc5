"""Writing PNG files of any size in little memory: 8 or 16 bits, grey or colour, alpha, ICC profile.

Pillow cannot write 16 bits of colour, OpenCV cannot write a profile, and both copy the image first;
a PNG file is a header and a zlib stream of rows (W3C, PNG Specification, third edition).
"""

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> grey, grey + alpha, RGB, RGBA
_BAND_BYTES = 1 << 22
# Photographs gain 2 % from the highest level, and take six times as long.
_LEVEL = 4


def write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    """One chunk: its length, type, data and checksum."""
    file.write(struct.pack(">I", len(data)) + kind + data)
    file.write(struct.pack(">I", zlib.crc32(kind + data)))


def _filtered(rows: np.ndarray, above: np.ndarray, step: int) -> bytes:
    """Rows uint8 (n, bytes) as PNG wants them: each the difference from the pixel to its left or
    from the row above, whichever is smaller in sum, behind one byte that says which."""
    left = rows.copy()
    left[:, step:] -= rows[:, :-step]
    up = rows.copy()
    up[0] -= above
    up[1:] -= rows[:-1]
    cost = [
        np.abs(d.view(np.int8)).astype(np.uint8).sum(axis=1, dtype=np.int64) for d in (left, up)
    ]
    vertical = cost[1] < cost[0]
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = np.where(vertical, 2, 1)
    out[:, 1:] = np.where(vertical[:, None], up, left)
    return out.tobytes()


def encode_png(
    file: BinaryIO,
    image: np.ndarray,
    icc: bytes | None = None,
    colour: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Write `image` to an open binary file.

    image: uint8 or uint16, (H, W) or (H, W, C) with C of 1 to 4: grey, grey and alpha, RGB, RGBA.
    icc: an ICC profile to embed. colour: further chunks (type, data) that go before the pixels.
    Besides the image about 20 MB are in use.
    """
    planes = image[:, :, None] if image.ndim == 2 else image
    height, width, channels = planes.shape
    size = planes.dtype.itemsize
    header = (width, height, 8 * size, _COLOUR_TYPES[channels], 0, 0, 0)
    file.write(SIGNATURE)
    write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", *header))
    if icc:
        write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    for kind, data in colour:
        write_chunk(file, kind, data)
    stream = zlib.compressobj(_LEVEL)
    row_bytes = width * channels * size
    above = np.zeros(row_bytes, np.uint8)
    band = max(1, _BAND_BYTES // row_bytes)
    for top in range(0, height, band):
        part = np.ascontiguousarray(planes[top : top + band], planes.dtype.newbyteorder(">"))
        rows = part.reshape(len(part), -1).view(np.uint8)
        data = stream.compress(_filtered(rows, above, channels * size))
        above = rows[-1]
        if data:
            write_chunk(file, b"IDAT", data)
    write_chunk(file, b"IDAT", stream.flush())
    write_chunk(file, b"IEND", b"")
