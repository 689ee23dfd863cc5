"""Reading PNG files (W3C, PNG Specification, third edition).

The chunks are taken apart here, so that metadata of any size or damage neither stops nor changes
the pixels; a file of nothing but pixels then goes to Pillow, and with 16 bits in several channels,
of which Pillow keeps the high bytes, to OpenCV.
"""

import io
import re
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import PngImagePlugin

from csd.data.formats import check_pixels
from csd.data.image_file import ImageFile, make_image
from csd.data.metadata import exif_orientation, to_dpi, xmp_orientation
from csd.data.opencv import decode_deep
from csd.data.png_writer import SIGNATURE, XMP_KEYWORD, write_chunk

# Chunks that say how the numbers are meant; written again as they are.
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples a pixel
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
# Metadata beyond this is left out: profiles of printers and displays have a few MB.
_MAX_METADATA = 64 << 20
_HEXADECIMAL = re.compile(rb"[^0-9a-fA-F]+")


@dataclass
class _Parts:
    """What a PNG file holds: its header, and the chunks that matter here."""

    width: int
    height: int
    bits: int
    colour: int
    header: bytes
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    idat: list[bytes] = field(default_factory=list)
    frames: int = 1
    exif: bytes | None = None
    xmp: bytes | None = None

    @property
    def orientation(self) -> int:
        """What the chunk eXIf says, else the texts."""
        stated = exif_orientation(self.exif)
        return stated if b"eXIf" in self.chunks else max(stated, xmp_orientation(self.xmp or b""))


_KEPT_CHUNKS = (b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"pHYs", *COLOUR_CHUNKS)
_TEXT_CHUNKS = (b"iTXt", b"zTXt", b"tEXt")


def _parse_header(data: bytes, path: Path) -> _Parts:
    if len(data) != 13:
        raise ValueError("its header is incomplete")
    width, height, bits, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", data)
    if bits not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise ValueError("its header says what no PNG file holds")
    check_pixels(path, width, height)
    return _Parts(width, height, bits, colour, data)


def _chunks(file: BinaryIO, pixels: bool):
    """(type, data) of each chunk up to IEND; data is None where it does not matter here."""
    end = file.seek(0, io.SEEK_END)
    file.seek(len(SIGNATURE))
    while True:
        head = file.read(8)
        if len(head) < 8:
            return  # without IEND: whether all pixels are there, their decoder sees
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        wanted = kind in _KEPT_CHUNKS or kind in _TEXT_CHUNKS or kind in (b"IHDR", b"acTL")
        wanted = wanted and length <= _MAX_METADATA
        if not wanted and not (pixels and kind == b"IDAT"):
            file.seek(length + 4, io.SEEK_CUR)
            yield kind, None
            continue
        if length + 4 > end - file.tell():  # asked first: it may claim four gigabytes
            raise ValueError(f"its chunk {kind.decode('latin-1')} is cut short")
        data, check = file.read(length), file.read(4)
        sound = struct.unpack(">I", check)[0] == zlib.crc32(kind + data)
        if not sound and kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            raise ValueError(f"its chunk {kind.decode('latin-1')} is damaged")
        yield kind, data if sound else None


def _scan(file: BinaryIO, path: Path, pixels: bool) -> _Parts:
    stream = _chunks(file, pixels)
    kind, data = next(stream, (None, None))
    if kind != b"IHDR" or data is None:
        raise ValueError("it does not begin with a header")
    parts = _parse_header(data, path)
    row = (parts.width * _CHANNELS[parts.colour] * parts.bits + 7) // 8 + 1
    room = 2 * row * parts.height + (1 << 20)  # no compression makes it larger
    for kind, data in stream:
        if data is None:
            continue
        if kind == b"IDAT":
            parts.idat.append(data)
            room -= len(data)
            if room < 0:
                raise ValueError("it holds more data than pixels")
        elif kind == b"acTL":
            parts.frames = int.from_bytes(data[:4], "big")
        elif kind in _TEXT_CHUNKS:
            _read_text(parts, kind, data)
        else:
            parts.chunks.setdefault(kind, data)
    parts.exif = parts.chunks.get(b"eXIf", parts.exif)
    return parts


def _read_text(parts: _Parts, kind: bytes, data: bytes) -> None:
    """Keep XMP, and the EXIF data that ImageMagick writes as text; any other text is left out."""
    keyword, _, rest = data.partition(b"\0")
    if keyword == XMP_KEYWORD and kind == b"iTXt":
        text = rest[2:].split(b"\0", 2)[-1]  # behind the language and the translated keyword
        parts.xmp = _inflate(text) if rest[:1] == b"\1" else text
    elif keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
        profile = _inflate(rest[1:]) if kind == b"zTXt" else rest
        words = (profile or b"").split(None, 2)  # its name, its length, hexadecimal digits
        digits = _HEXADECIMAL.sub(b"", words[2]) if len(words) == 3 else b""
        parts.exif = bytes.fromhex(digits[: len(digits) // 2 * 2].decode()) or parts.exif


def _dpi(parts: _Parts) -> tuple[float, float] | None:
    data = parts.chunks.get(b"pHYs", b"")
    if len(data) != 9 or data[8] != 1:  # 1: pixels per metre
        return None
    return to_dpi(*(value * 0.0254 for value in struct.unpack(">II", data[:8])))


def _inflate(data: bytes) -> bytes | None:
    """What was compressed, or None where it is damaged or beyond the limit."""
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, _MAX_METADATA)
    except zlib.error:
        return None
    return out if stream.eof else None


def _bare_file(parts: _Parts) -> bytes:
    """A PNG file of the pixels alone."""
    file = io.BytesIO()
    file.write(SIGNATURE)
    write_chunk(file, b"IHDR", parts.header)
    if parts.colour == _PALETTE:
        write_chunk(file, b"PLTE", parts.chunks[b"PLTE"])
    for data in parts.idat:
        write_chunk(file, b"IDAT", data)
    write_chunk(file, b"IEND", b"")
    return file.getvalue()


def _samples(parts: _Parts) -> np.ndarray:
    """uint8 or uint16 (H, W) or (H, W, C): grey and colour in full range, or palette indices."""
    if not parts.idat:
        raise ValueError("it holds no pixels")
    data = _bare_file(parts)
    if parts.bits == 16 and parts.colour != _GREY:
        planes = decode_deep(data)
        return planes[:, :, [0, 3]] if parts.colour == _GREY_ALPHA else planes
    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
        image.load()
        planes = np.asarray(image)
    if planes.dtype == bool:
        return planes.astype(np.uint8) * np.uint8(255 if parts.colour == _GREY else 1)
    return planes.astype(np.uint16) if parts.bits == 16 else planes


def _look_up(indices: np.ndarray, chunks: dict[bytes, bytes]) -> np.ndarray:
    """Palette colours, with alpha where the file has it; what lies beyond the palette is black."""
    palette = np.frombuffer(chunks[b"PLTE"], np.uint8)
    palette = palette[: len(palette) // 3 * 3].reshape(-1, 3)[:256]
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    table[: len(palette), :3] = palette
    if b"tRNS" not in chunks:
        return table[indices][:, :, :3]
    alpha = np.frombuffer(chunks[b"tRNS"], np.uint8)[:256]
    table[: len(alpha), 3] = alpha
    return table[indices]


def _with_key(planes: np.ndarray, parts: _Parts) -> np.ndarray:
    """Grey or RGB with an alpha channel that is 0 where the colour is the one of tRNS."""
    channels, full = _CHANNELS[parts.colour], np.iinfo(planes.dtype).max
    stored = parts.chunks[b"tRNS"]
    if len(stored) < 2 * channels:
        raise ValueError("its chunk tRNS is incomplete")
    top = (1 << parts.bits) - 1
    key = np.frombuffer(stored[: 2 * channels], ">u2").astype(np.int64) & top
    planes = planes.reshape(*planes.shape[:2], channels)
    opaque = (planes != (key * (full // top)).astype(planes.dtype)).any(axis=2)
    return np.dstack([planes, np.where(opaque, full, 0).astype(planes.dtype)])


def read_png(file: BinaryIO, path: Path) -> ImageFile:
    """Any PNG file; of an animation the still image that it holds for other programs."""
    parts = _scan(file, path, pixels=True)
    if parts.colour == _PALETTE and not parts.chunks.get(b"PLTE"):
        raise ValueError("its palette is missing")
    planes = _samples(parts)
    if parts.colour == _PALETTE:
        planes = _look_up(planes, parts.chunks)
    elif parts.colour in (_GREY, _RGB) and b"tRNS" in parts.chunks:
        planes = _with_key(planes, parts)
    stored = parts.chunks.get(b"iCCP", b"").partition(b"\0")[2]
    return make_image(
        planes,
        orientation=parts.orientation,
        icc=_inflate(stored[1:]),
        notes=["it has several frames; the first is used"] if parts.frames > 1 else [],
        png_colour=[(kind, parts.chunks[kind]) for kind in COLOUR_CHUNKS if kind in parts.chunks],
        exif=parts.exif,
        xmp=parts.xmp,
        dpi=_dpi(parts),
    )


def png_size(file: BinaryIO, path: Path) -> tuple[int, int]:
    """(H, W) from the chunks around the pixels, upright."""
    parts = _scan(file, path, pixels=False)
    size = parts.height, parts.width
    return size[::-1] if parts.orientation >= 5 else size
