"""Writing TIFF files strip by strip: 8 or 16 bits, any channels, alpha, profile, EXIF and XMP."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from csd.data.image_file import ImageFile
from csd.data.metadata import byte_order
from csd.data.samples import regrouped
from csd.data.tiff_exif import append_directories, split_exif

_STRIP_BYTES = 1 << 20
_LEVEL = 1  # of ISA-L, see csd.data.png_writer
_XMP, _BYTE, _IFD8, _LONG = 700, 1, 16, 4
# Above this the offsets need 64 bits; compression may gain nothing, and metadata comes on top.
_CLASSIC_BYTES = (1 << 32) - (1 << 26)
# By name: tifffile leaves out these tags where they are given by number.
_POINTER_NAMES = {0x8769: "ExifTag", 0x8825: "GPSTag"}


def _compressed(
    strips: Iterable[np.ndarray], rows: int, channels: int, order: str
) -> Iterator[bytes]:
    """Strips of exactly `rows` rows but the last: differences along the rows, then Deflate."""
    for strip in regrouped(strips, rows):
        pixels = strip.reshape(*strip.shape[:2], channels)
        part = pixels.copy()
        part[:, 1:] -= pixels[:, :-1]
        part = part.astype(part.dtype.newbyteorder(order), copy=False)
        yield isal_zlib.compress(part.tobytes(), _LEVEL)


def encode_tiff(
    file: BinaryIO,
    strips: Iterable[np.ndarray],
    shape: tuple[int, ...],
    dtype: np.dtype,
    facts: ImageFile,
) -> None:
    """Write an image, strip by strip, with Deflate, which every reader knows.

    strips: `dtype` (n, W) or (n, W, C), the image from top to bottom; shape: of the whole image,
    (H, W) or (H, W, C) with C of 1 to 4; dtype: uint8 or uint16; facts: whose profile, EXIF, XMP
    and resolution are written. Besides a strip a few MB are in use.
    """
    from tifffile import imwrite

    channels, dtype = shape[2] if len(shape) == 3 else 1, np.dtype(dtype)
    order = byte_order(facts.exif) if facts.exif else "<"
    row_bytes = shape[1] * channels * dtype.itemsize
    rows = min(shape[0], max(1, _STRIP_BYTES // row_bytes))
    big = row_bytes * shape[0] > _CLASSIC_BYTES
    plain, inner = split_exif(facts.exif) if facts.exif else ([], [])
    extra: list[tuple] = [(*entry, True) for entry in plain]
    extra += [(_POINTER_NAMES[tag], _IFD8 if big else _LONG, 1, 0, True) for tag, *_ in inner]
    if facts.xmp:
        extra.append((_XMP, _BYTE, len(facts.xmp), facts.xmp, True))
    imwrite(
        file,
        _compressed(strips, rows, channels, order),
        shape=shape,
        dtype=dtype,
        byteorder="<" if order == "<" else ">",
        bigtiff=big,
        rowsperstrip=rows,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=True,
        iccprofile=facts.icc,
        resolution=facts.dpi,
        software=False,
        metadata=None,
        extratags=extra,
    )
    append_directories(file, inner, order, big)
