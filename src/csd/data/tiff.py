"""Reading TIFF files: tifffile takes the tags apart, and the samples are put together here.

No reader at hand is right about every layout: Pillow mixes up planes stored one after the other and
knows 16 bits in one channel only, OpenCV has no photometric interpretation or alpha, and tifffile
gives the stored numbers, whatever they mean. What is read exactly is listed in docs/formats.md.
"""

import contextlib
import logging
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from csd.data.formats import check_pixels
from csd.data.image_file import ImageFile, make_image
from csd.data.libtiff import expand_with_libtiff
from csd.data.metadata import to_dpi, valid_orientation
from csd.data.samples import to_full_range, unpack_bits, unpremultiply
from csd.data.tiff_exif import exif_of_tiff
from csd.errors import InputError

_UNCOMPRESSED = 1
_LIBTIFF = {5: "LZW", 32773: "PackBits", 50000: "Zstandard"}
_DEFLATE = (8, 32946)
_LZMA = 34925
# Read by Pillow as a whole: one-bit fax and JPEG, of which the segments are no plain samples.
_WHOLE = {2: "CCITT RLE", 3: "CCITT Group 3", 4: "CCITT Group 4", 6: "old-style JPEG", 7: "JPEG"}
_NAMES = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34933: "PNG",
    34934: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_KINDS = {4: "a mask", 8: "Lab colours", 9: "Lab colours", 10: "Lab colours"} | {
    32803: "raw sensor data",
    34892: "raw sensor data",
    32844: "LogLuv colours",
    32845: "LogLuv colours",
}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_SLACK = 1 << 16  # a segment that is larger than twice its pixels is damaged
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_SAVE = "save it with 8 or 16 bits a channel"
# tifffile logs what it finds odd in a file; what matters here is raised.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class _Layout:
    """How the samples of the first image lie in a file."""

    height: int
    width: int
    bits: int
    samples: int
    photometric: int
    compression: int
    separate: bool
    predictor: int
    reversed_bits: bool
    byteorder: str
    block: tuple[int, int]  # rows and columns of a tile, or of a strip
    tiled: bool
    alpha: tuple[int, int] | None  # which channel, and of which of the two kinds

    @property
    def colours(self) -> int:
        return _COLOURS[self.photometric]


@contextlib.contextmanager
def _open_page(file: BinaryIO) -> Iterator[tuple]:
    """(the first image's directory, whether there are more) of an open file."""
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        page = tiff.pages[0]
        several = False
        with contextlib.suppress(Exception):  # a damaged second directory is none
            several = tiff.pages[1] is not None
        yield page, several


def _number(page, code: int, default: int) -> int:
    """A tag's number, the first of several."""
    tag = page.tags.get(code)
    value = default if tag is None else tag.value
    value = value[0] if isinstance(value, tuple) and value else value
    if not isinstance(value, int):
        raise ValueError(f"its tag {code} is no number")
    return int(value)


def _numbers(page, code: int) -> tuple[int, ...]:
    tag = page.tags.get(code)
    value = () if tag is None else tag.value
    value = value.ravel().tolist() if isinstance(value, np.ndarray) else value
    value = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(int(item) for item in value if isinstance(item, int))


def _orientation(page) -> int:
    tag = page.tags.get(274)
    return valid_orientation(1 if tag is None else tag.value)


def _layout(page, path: Path) -> _Layout:
    """The layout by the tags; InputError names what is not read."""
    width, height = _number(page, 256, 0), _number(page, 257, 0)
    check_pixels(path, width, height)
    bits = _numbers(page, 258) or (1,)
    photometric = _number(page, 262, _BLACK_IS_ZERO)
    tiled = 322 in page.tags and 323 in page.tags
    rows = min(height, _number(page, 278, height) or height)
    block = (_number(page, 323, 0), _number(page, 322, 0)) if tiled else (rows, width)
    if min(block) < 1 or max(block) > max(height, width) + (1 << 16):
        raise ValueError(f"its tiles measure {block[1]} x {block[0]}")
    samples = _number(page, 277, 1)
    if photometric not in _COLOURS:
        kind = _KINDS.get(photometric, f"colours of kind {photometric}")
        raise InputError(
            f"{path} holds {kind}, which no program here reads; save it as RGB or grey"
        )
    if not _COLOURS[photometric] <= samples <= 16:
        raise ValueError(f"it has {samples} samples a pixel")
    layout = _Layout(
        height=height,
        width=width,
        bits=bits[0],
        samples=samples,
        photometric=photometric,
        compression=_number(page, 259, _UNCOMPRESSED),
        separate=_number(page, 284, 1) == 2 and samples > 1,
        predictor=_number(page, 317, 1),
        reversed_bits=_number(page, 266, 1) == 2,
        byteorder=page.parent.byteorder,
        block=block,
        tiled=tiled,
        alpha=_alpha(page, samples, _COLOURS[photometric]),
    )
    _refuse(layout, set(bits), page, path)
    return layout


def _alpha(page, samples: int, colours: int) -> tuple[int, int] | None:
    kinds = _numbers(page, 338)
    if 338 not in page.tags and samples == colours + 1:
        return colours, _UNASSOCIATED  # one more channel without a word is alpha to every reader
    for place, kind in enumerate(kinds[: samples - colours]):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            return colours + place, kind
    return None


def _refuse(layout: _Layout, bits: set[int], page, path: Path) -> None:
    """InputError for what the tags promise and nothing here reads."""
    sample_format = set(_numbers(page, 339)) or {1}
    if 3 in sample_format:
        raise InputError(f"{path} holds floating-point pixels; {_SAVE}")
    if max(bits) > 16:
        raise InputError(f"{path} holds {max(bits)}-bit pixels; {_SAVE}")
    if sample_format - {1, 4}:
        raise InputError(f"{path} holds signed or complex pixels; {_SAVE}")
    if len(bits) > 1 or min(bits) < 1:
        raise InputError(f"{path} has channels of different depths; {_SAVE}")
    if layout.predictor not in (1, 2) or (layout.predictor == 2 and layout.bits not in (8, 16)):
        raise InputError(
            f"{path} uses the predictor {layout.predictor} with {layout.bits} bits, which is not"
            " read here; save it without a predictor"
        )
    if layout.photometric == _CMYK and _number(page, 332, 1) != 1:
        raise InputError(f"{path} holds inks other than CMYK; save it as RGB")
    if layout.photometric == _PALETTE and layout.samples > 1:
        raise InputError(f"{path} holds a palette with further channels; save it as RGB")
    subsampled = layout.photometric == _YCBCR and layout.compression == _UNCOMPRESSED
    if subsampled or (layout.separate and layout.compression in _WHOLE):
        raise InputError(f"{path} holds planes of YCbCr or JPEG that are not read; save it as RGB")


def _decompressor(layout: _Layout, path: Path) -> Callable[[bytes, int], bytes] | None:
    """(stored bytes, size) -> bytes of a segment; None where imagecodecs must do it.

    Raises:
        InputError: a compression that nothing reads, or imagecodecs, which is not installed.
    """
    if layout.compression == _UNCOMPRESSED:
        return lambda data, size: data[:size]
    if layout.compression in _DEFLATE:
        return lambda data, size: zlib.decompressobj().decompress(data, size)
    if layout.compression == _LZMA:
        return lambda data, size: lzma.LZMADecompressor().decompress(data, size)
    if layout.compression in _LIBTIFF:
        return lambda data, size: expand_with_libtiff(layout.compression, data, size)
    name = _NAMES.get(layout.compression)
    if name is None:
        raise InputError(
            f"{path} is compressed with scheme {layout.compression}, which no program here reads;"
            " save it with LZW or Deflate"
        )
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        raise InputError(
            f"{path} is compressed with {name}, which needs the package imagecodecs: "
            "pip install imagecodecs, or save it with LZW or Deflate"
        ) from None
    return None


def _blocks(layout: _Layout) -> Iterator[tuple[int, int, int, int, int]]:
    """(plane, top, left, rows, columns) of each stored segment, in the file's order."""
    down, across = layout.block
    for plane in range(layout.samples if layout.separate else 1):
        for top in range(0, layout.height, down):
            for left in range(0, layout.width, across):
                rows = down if layout.tiled else min(down, layout.height - top)
                yield plane, top, left, rows, across


def _unpack(data: bytes, layout: _Layout, rows: int, columns: int) -> np.ndarray:
    """The samples of a segment, (rows, columns, channels), the predictor undone."""
    channels = 1 if layout.separate else layout.samples
    if layout.bits == 16:
        values = np.frombuffer(data, f"{layout.byteorder}u2").astype(np.uint16)
    elif layout.bits == 8:
        values = np.frombuffer(data, np.uint8)
    else:
        stored = np.frombuffer(data, np.uint8).reshape(rows, -1)
        values = unpack_bits(stored, layout.bits, columns * channels)
    values = values.reshape(rows, columns, channels)
    if layout.predictor == 2:
        values = np.cumsum(values, axis=1, dtype=values.dtype)  # differences wrap around
    return values


def _read_samples(file: BinaryIO, page, layout: _Layout, path: Path) -> np.ndarray:
    """The stored numbers, uint8 or uint16 (H, W, samples)."""
    expand = _decompressor(layout, path)
    shape = layout.height, layout.width, layout.samples
    if expand is None:
        planes = page.asarray()
        planes = np.moveaxis(planes, 0, -1) if layout.separate else planes
        return planes.reshape(shape)
    blocks = list(_blocks(layout))
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) < len(blocks) or len(counts) < len(blocks):
        raise ValueError("segments of its pixels are missing")
    out = np.empty(shape, np.uint8 if layout.bits <= 8 else np.uint16)
    channels = 1 if layout.separate else layout.samples
    for (plane, top, left, rows, columns), offset, count in zip(
        blocks, offsets, counts, strict=False
    ):
        size = rows * ((columns * channels * layout.bits + 7) // 8)
        file.seek(offset)
        data = file.read(min(count, 2 * size + _SLACK))
        data = data.translate(_REVERSED) if layout.reversed_bits else data
        data = expand(data, size)
        if len(data) < size:
            raise ValueError("its pixels are cut short")
        part = _unpack(data, layout, rows, columns)
        place = out[top : top + rows, left : left + columns]
        channel = slice(plane, plane + 1) if layout.separate else slice(None)
        place[:, :, channel] = part[: place.shape[0], : place.shape[1]]
    return out


def _look_up(indices: np.ndarray, page, bits: int) -> np.ndarray:
    """Palette colours: uint16 where the palette has more than 8 bits, else uint8."""
    stored = _numbers(page, 320)
    if len(stored) != 3 << bits:
        raise ValueError("its palette is incomplete")
    table = np.array(stored, np.uint16).reshape(3, -1).T
    if table.max() < 256:  # written by programs that take its numbers for 8 bits, as libtiff does
        table = table.astype(np.uint8)
    elif ((table & 255) == 0).all() or ((table & 255) == table >> 8).all():
        table = (table >> 8).astype(np.uint8)
    return table[indices[:, :, 0]]


def _to_planes(stored: np.ndarray, page, layout: _Layout) -> np.ndarray:
    """Stored numbers as grey or RGB, alpha last, in full range, uint8 or uint16."""
    if layout.photometric == _PALETTE:
        return _look_up(stored, page, layout.bits)
    chosen = list(range(layout.colours)) + ([layout.alpha[0]] if layout.alpha else [])
    planes = to_full_range(
        stored if len(chosen) == stored.shape[2] else stored[:, :, chosen], (1 << layout.bits) - 1
    )
    if layout.alpha and layout.alpha[1] == _ASSOCIATED:
        planes = unpremultiply(planes)
    if layout.photometric == _WHITE_IS_ZERO:
        planes = planes.copy()
        planes[:, :, 0] = np.iinfo(planes.dtype).max - planes[:, :, 0]
    return planes


def _bytes_of(page, code: int) -> bytes | None:
    tag = page.tags.get(code)
    return bytes(tag.value) if tag is not None and isinstance(tag.value, bytes) else None


def _metadata(file: BinaryIO, page) -> dict:
    """EXIF, XMP and resolution as arguments of `make_image`; what is damaged is left out."""
    facts: dict = {"xmp": _bytes_of(page, 700)}
    with contextlib.suppress(Exception):  # damaged metadata is no damage to the pixels
        sides = [page.tags[code].value for code in (282, 283)]
        x, y = (top / bottom for top, bottom in sides)
        facts["dpi"] = to_dpi(x, y, _number(page, 296, 2))
    with contextlib.suppress(Exception):
        tiff = page.parent
        facts["exif"] = exif_of_tiff(file, tiff.byteorder, tiff.is_bigtiff, page.offset)
    return facts


def read_tiff(file: BinaryIO, path: Path) -> ImageFile:
    """The first image of a TIFF or BigTIFF file.

    Raises:
        InputError: a layout or compression that is not read, named. Other errors: damage.
    """
    from csd.data.pillow_files import cmyk_to_rgb, read_pillow

    with _open_page(file) as (page, several):
        layout = _layout(page, path)
        notes = ["it has several frames; the first is used"] if several else []
        if layout.compression in _WHOLE or layout.photometric == _YCBCR:
            file.seek(0)
            whole = read_pillow(file, path, "TIFF")
            planes, icc = whole.planes(), whole.icc
        else:
            planes = _to_planes(_read_samples(file, page, layout, path), page, layout)
            icc = _bytes_of(page, 34675)
            if layout.photometric == _CMYK:
                planes, lost = cmyk_to_rgb(planes[:, :, :4], icc)
                notes += lost
            if layout.samples > layout.colours + (layout.alpha is not None):
                notes.append("channels that are neither colour nor alpha are left out")
        facts = _metadata(file, page)
        return make_image(planes, orientation=_orientation(page), icc=icc, notes=notes, **facts)


def tiff_size(file: BinaryIO, path: Path) -> tuple[int, int]:
    """(H, W) by the tags, upright."""
    with _open_page(file) as (page, _):
        size = _number(page, 257, 0), _number(page, 256, 0)
        check_pixels(path, size[1], size[0])
        return size[::-1] if _orientation(page) >= 5 else size
