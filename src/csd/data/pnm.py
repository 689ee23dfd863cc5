"""PNM: portable bitmap, greymap and pixmap, plain and binary, of any maximum value (netpbm)."""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from csd.data.formats import check_pixels
from csd.data.image_file import ImageFile, make_image
from csd.data.samples import to_full_range, unpack_bits

_MAX_HEADER = 1 << 16
_PLAIN_SLACK = 1 << 20


def _header(file: BinaryIO, path: Path) -> tuple[int, int, int, int, int]:
    """(kind 1..6, width, height, maximum value, where the raster begins)."""
    head = file.read(_MAX_HEADER)
    kind, place, numbers = head[1] - ord("0"), 2, []
    for _ in range(2 if kind in (1, 4) else 3):
        found = re.compile(rb"(?:\s|#[^\r\n]*)+(\d{1,9})").match(head, place)
        if found is None:
            raise ValueError("its header is incomplete")
        numbers.append(int(found[1]))
        place = found.end()
    comment = re.compile(rb"[ \t]*#[^\n]*\n").match(head, place)
    place = comment.end() if comment and kind <= 3 else place + 1
    width, height, top = (*numbers, 1)[:3]
    if not 1 <= top <= 65535:
        raise ValueError(f"its maximum value is {top}")
    check_pixels(path, width, height)
    return kind, width, height, top, place


def _plain(data: bytes, kind: int, count: int) -> np.ndarray:
    text = re.sub(rb"#[^\r\n]*", b" ", data)
    if kind == 1:  # digits of a bitmap need no space between them
        digits = np.frombuffer(b"".join(text.split())[:count], np.uint8)
        values = digits.astype(np.int64) - ord("0")
    else:
        numbers = re.match(rb"[\d\s]*", text)  # up to what is no number
        text = numbers[0].strip() if numbers else b""
        # Without a count: given one, numpy fills up what is missing with whatever memory held.
        values = np.fromstring(text, np.int64, sep=" ")[:count] if text else np.empty(0, np.int64)
    if len(values) < count or values.min() < 0:
        raise ValueError("its raster is incomplete")
    return values


def _raster(file: BinaryIO, kind: int, shape: tuple[int, int, int], top: int) -> np.ndarray:
    height, width, channels = shape
    count = height * width * channels
    if kind <= 3:
        values = _plain(file.read(12 * count + _PLAIN_SLACK), kind, count)
        if values.max() > top:
            raise ValueError(f"its raster exceeds the maximum value {top}")
        return values.astype(np.uint16).reshape(shape)
    row = (width + 7) // 8 if kind == 4 else width * channels * (2 if top > 255 else 1)
    data = file.read(row * height)
    if len(data) < row * height:
        raise ValueError("its raster is cut short")
    if kind == 4:
        rows = np.frombuffer(data, np.uint8).reshape(height, row)
        return unpack_bits(rows, 1, width)[:, :, None]
    values = np.frombuffer(data, ">u2" if top > 255 else np.uint8)
    if values.max() > top:
        raise ValueError(f"its raster exceeds the maximum value {top}")
    return values.reshape(shape)


def read_pnm(file: BinaryIO, path: Path) -> ImageFile:
    """P1 to P6; a maximum value up to 255 gives uint8, above it uint16, in full range."""
    kind, width, height, top, place = _header(file, path)
    file.seek(place)
    values = _raster(file, kind, (height, width, 3 if kind in (3, 6) else 1), top)
    planes = to_full_range(values, top)
    return make_image(255 - planes if kind in (1, 4) else planes)  # in a bitmap 1 is black


def pnm_size(file: BinaryIO, path: Path) -> tuple[int, int]:
    """(H, W) from the header."""
    _, width, height, _, _ = _header(file, path)
    return height, width
