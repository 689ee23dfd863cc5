"""EXIF, XMP and resolution: kept as a file holds them, but for what turning and upscaling change.

EXIF data is a small TIFF file. It is changed in place, so that what only its maker understands
(MakerNote, with offsets of its own) stays where it is.
"""

import io
import math
import re
import struct
from collections.abc import Sequence
from typing import BinaryIO

from PIL import Image

ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY = 0x0112, 0x8769, 0x8825
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)  # of the image, in the two directories
_PREFIX = b"Exif\0\0"
# Bytes of each type of value, by TIFF's number.
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_FORMATS = {1: "B", 3: "H", 4: "I"}
_INCH, _CENTIMETRE = 2, 3
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))([0-9])')

Entry = tuple[int, int, int, int]  # tag, type, count, place of the value


def valid_orientation(value: object) -> int:
    """An orientation as files hold it: what is no integer of 1 to 8 means upright."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def exif_orientation(data: bytes | None) -> int:
    """The orientation in a block of EXIF data; 1 where there is none or it is damaged."""
    if not data:
        return 1
    try:
        exif = Image.Exif()
        exif.load(data)
        return valid_orientation(exif.get(ORIENTATION, 1))
    except Exception:  # Pillow meets damaged EXIF data with errors of any type
        return 1


def xmp_orientation(data: bytes) -> int:
    """The orientation in an XMP packet; 1 where there is none."""
    found = _XMP_ORIENTATION.search(data)
    return valid_orientation(int(found[2])) if found else 1


def upright_xmp(data: bytes) -> bytes:
    """The packet with the orientation 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", data)


def exif_block(data: bytes | None) -> bytes | None:
    """EXIF data without the six bytes that JPEG puts before it; None where it is no EXIF data."""
    block = bytes(data or b"").removeprefix(_PREFIX)
    return block if block[:4] in (b"II*\0", b"MM\0*") and len(block) > 8 else None


def byte_order(block: bytes) -> str:
    """The byte order of EXIF data or a TIFF file, as `struct` writes it."""
    return "<" if block[:2] == b"II" else ">"


def _entries(file: BinaryIO, order: str, offset: int) -> tuple[list[Entry], int]:
    """The entries of the directory at `offset`, and the place of the link to the next one.

    Raises:
        struct.error: it is cut short.
    """
    file.seek(offset)
    (count,) = struct.unpack(order + "H", file.read(2))
    found = []
    for number in range(count):
        here = offset + 2 + 12 * number
        file.seek(here)
        tag, kind, length, value = struct.unpack(order + "HHII", file.read(12))
        size = TYPE_SIZES.get(kind, 0) * length
        found.append((tag, kind, length, value if size > 4 else here + 8))
    return found, offset + 2 + 12 * count


def _directories(block: bytes) -> tuple[list[Entry], list[Entry], int]:
    """Entries of the first directory, of the EXIF directory, and the place of the first's link."""
    order, file = byte_order(block), io.BytesIO(block)
    first, link = _entries(file, order, struct.unpack(order + "I", block[4:8])[0])
    inner: list[Entry] = []
    for tag, _, _, place in first:
        if tag == EXIF_DIRECTORY:
            inner, _ = _entries(file, order, struct.unpack_from(order + "I", block, place)[0])
    return first, inner, link


def _put(data: bytearray, order: str, entry: Entry, value: int) -> None:
    """A number in place of the one in the file, where its type has room for it."""
    _, kind, count, place = entry
    if count == 1 and kind in _FORMATS and value < 1 << (8 * TYPE_SIZES[kind]):
        struct.pack_into(order + _FORMATS[kind], data, place, value)


def upright_exif(block: bytes, orientation: int) -> bytes | None:
    """EXIF data for an image that was turned upright from `orientation`; None if it is damaged.

    The thumbnail is left out of a turned image: it has no orientation of its own.
    """
    data, order = bytearray(block), byte_order(block)
    try:
        first, _, link = _directories(block)
        for entry in first:
            if entry[0] == ORIENTATION:
                _put(data, order, entry, 1)
        if orientation != 1:
            struct.pack_into("4x", data, link)
        resolutions = [e[3] for e in first if e[0] in (_X_RESOLUTION, _Y_RESOLUTION) and e[1] == 5]
        if orientation >= 5 and len(resolutions) == 2:
            x, y = (slice(place, place + 8) for place in resolutions)
            data[x], data[y] = data[y], data[x]
    except struct.error:
        return None
    return bytes(data) if len(data) == len(block) and exif_orientation(bytes(data)) == 1 else None


def resized_exif(block: bytes, size: tuple[int, int]) -> bytes:
    """EXIF data that states (height, width) where it states the image's size."""
    data, order = bytearray(block), byte_order(block)
    try:
        first, inner, _ = _directories(block)
        for entry in (*first, *inner):
            if entry[0] in _HEIGHTS + _WIDTHS:
                _put(data, order, entry, size[entry[0] in _WIDTHS])
    except struct.error:
        return block
    return bytes(data)


def to_dpi(x: float, y: float, unit: int = _INCH) -> tuple[float, float] | None:
    """Pixels per inch, from pixels per inch or centimetre; None where they say nothing."""
    factor = {_INCH: 1.0, _CENTIMETRE: 2.54}.get(unit)
    if factor is None or not all(math.isfinite(v) and 0 < v < 1e6 for v in (x, y)):
        return None
    return x * factor, y * factor


def exif_dpi(block: bytes) -> tuple[float, float] | None:
    """The resolution that EXIF data states."""
    order, found, unit = byte_order(block), {}, _INCH
    try:
        for tag, kind, _, place in _directories(block)[0]:
            if tag in (_X_RESOLUTION, _Y_RESOLUTION) and kind == 5:
                top, bottom = struct.unpack_from(order + "II", block, place)
                found[tag] = top / bottom if bottom else 0.0
            elif tag == _RESOLUTION_UNIT and kind == 3:
                (unit,) = struct.unpack_from(order + "H", block, place)
    except struct.error:
        return None
    across, down = found.get(_X_RESOLUTION), found.get(_Y_RESOLUTION)
    return None if across is None or down is None else to_dpi(across, down, unit)


def turned_dpi(dpi: Sequence[float] | None, orientation: int) -> tuple[float, float] | None:
    """(x, y) of the image once it is upright."""
    if dpi is None:
        return None
    return (dpi[1], dpi[0]) if orientation >= 5 else (dpi[0], dpi[1])
