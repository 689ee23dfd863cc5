"""An `ImageFile` into a file of any format that is written here."""

import io
import struct
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from csd.data.image_file import ImageFile
from csd.data.images import new_image
from csd.data.metadata import resized_exif
from csd.data.png_writer import encode_png, metadata_chunks, profile_chunk
from csd.data.samples import to_8_bits
from csd.data.tiff_writer import encode_tiff
from csd.errors import InputError

# Suffix -> format, whether it holds alpha, the longest side it holds.
_FORMATS = {
    ".png": ("PNG", True, 2**31 - 1),
    ".jpg": ("JPEG", False, 65500),
    ".jpeg": ("JPEG", False, 65500),
    ".jfif": ("JPEG", False, 65500),
    ".webp": ("WEBP", True, 16383),
    ".tif": ("TIFF", True, 2**31 - 1),
    ".tiff": ("TIFF", True, 2**31 - 1),
    ".bmp": ("BMP", False, 2**31 - 1),
    ".ppm": ("PPM", False, 2**31 - 1),
    ".pgm": ("PPM", False, 2**31 - 1),
}
WRITTEN_SUFFIXES = frozenset(_FORMATS)
# Bytes of EXIF or XMP data that a format holds: in JPEG one segment with its name.
_LONGEST_METADATA = {"JPEG": 65533 - 29, "BMP": 0, "PPM": 0}
_MAX_METADATA = 1 << 31
_LONGEST_DENSITY = 1 << 16
# What the colour chunks of PNG hold for sRGB: a gamma of 1 / 2.2, its white and primaries.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 45455, 100
_SRGB_CHRM = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_SRGB_CICP = bytes([1, 13, 0, 1])


def write_image_file(path: str | Path, image: ImageFile) -> list[str]:
    """Write an image in the format of the path's suffix: a temporary name, then renamed.

    Returns what the format could not hold, in sentences.

    Raises:
        InputError: a suffix that is not written here, or an image too large for its format.
        WorkError: the file cannot be written (no permission, disk full).
    """
    return write_strips(path, image, image.size, [image.planes()])


def write_strips(
    path: str | Path, facts: ImageFile, size: tuple[int, int], strips: Iterable[np.ndarray]
) -> list[str]:
    """`write_image_file` of an image that comes in strips, from top to bottom.

    PNG, TIFF and PNM are written as strips come and never held as a whole.

    facts: an image of the same dtype and channels, of any size, whose metadata is written; size:
    (height, width) of the whole; strips: (n, W) or (n, W, C) of pixels and alpha.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"{path}: nothing here writes {path.suffix or 'that'}; use .png")
    kind, _, longest = _FORMATS[suffix]
    if max(size) > longest:
        raise InputError(
            f"{path.name} would be {max(size)} pixels long, {kind} ends at {longest}; "
            "use --format png"
        )
    if facts.exif:
        facts = replace(facts, exif=resized_exif(facts.exif, size))
    with new_image(path) as file:
        return _encode(file, facts, size, strips, suffix)


def _unusual_colour(image: ImageFile) -> str:
    """The PNG chunks that make the colours other than sRGB, by name; empty where none does."""
    chunks = dict(image.png_colour)
    odd: list[bytes]
    if chunks.get(b"cICP", _SRGB_CICP) != _SRGB_CICP:
        odd = [kind for kind in (b"cICP", b"mDCV", b"cLLI") if kind in chunks]
    elif image.icc or b"cICP" in chunks or b"sRGB" in chunks:
        odd = []  # those outrank the others
    else:
        gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") or _SRGB_GAMMA
        odd = [b"gAMA"] if abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE else []
        odd += [b"cHRM"] if chunks.get(b"cHRM", _SRGB_CHRM) != _SRGB_CHRM else []
    return ", ".join(kind.decode() for kind in odd)


def _fitting(image: ImageFile, suffix: str) -> tuple[ImageFile, list[str]]:
    """What a format other than PNG holds of an image's metadata, and notes of what it does not."""
    kind, holds_alpha, _ = _FORMATS[suffix]
    notes = []
    if image.alpha is not None and not holds_alpha:
        notes.append(f"{kind} holds no transparency, which is left out; --format png keeps it")
        image = replace(image, alpha=None)
    if odd := _unusual_colour(image):
        notes.append(f"{kind} does not hold the colour chunks {odd}; --format png keeps them")
    if image.icc and kind in ("BMP", "PPM"):
        notes.append(f"{kind} holds no colour profile; --format png keeps it")
    for name, data in (("EXIF", image.exif), ("XMP", image.xmp)):
        if len(data or b"") > _LONGEST_METADATA.get(kind, _MAX_METADATA):
            notes.append(f"{kind} does not hold {name} data of its length; --format png keeps it")
            dropped: dict[str, Any] = {name.lower(): None}
            image = replace(image, **dropped)
    return image, notes


def _encode(
    file: BinaryIO,
    facts: ImageFile,
    size: tuple[int, int],
    strips: Iterable[np.ndarray],
    suffix: str,
) -> list[str]:
    kind, channels = _FORMATS[suffix][0], 1 if facts.pixels.ndim == 2 else 3
    dtype, notes = facts.pixels.dtype, []
    stored = channels + (facts.alpha is not None)
    if kind == "PNG":
        chunks = [profile_chunk(facts.icc)] if facts.icc else []
        chunks += [*facts.png_colour, *metadata_chunks(facts.exif, facts.xmp, facts.dpi)]
    else:
        with_alpha = facts.alpha is not None
        facts, notes = _fitting(facts, suffix)
        if with_alpha and facts.alpha is None:
            colours = 0 if channels == 1 else slice(channels)
            strips, stored = (strip[:, :, colours] for strip in strips), channels
    shape = size if stored == 1 else (*size, stored)
    if kind == "PNG":
        encode_png(file, strips, shape, dtype, chunks)
    elif kind == "TIFF":
        encode_tiff(file, strips, shape, dtype, facts)
    elif kind == "PPM":
        _encode_pnm(file, strips, shape, dtype)
    else:
        if dtype == np.uint16:
            notes.append(f"{kind} holds 8 bits a channel; --format png keeps 16")
        _encode_pillow(file, np.concatenate(list(strips)), facts, kind)
    return notes


def _encode_pnm(
    file: BinaryIO, strips: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Grey (P5) or RGB (P6), 8 or 16 bits."""
    head = f"P{5 if len(shape) == 2 else 6}\n{shape[1]} {shape[0]}\n{np.iinfo(dtype).max}\n"
    file.write(head.encode())
    for strip in strips:
        file.write(strip.astype(strip.dtype.newbyteorder(">"), copy=False).tobytes())


def _encode_pillow(file: BinaryIO, planes: np.ndarray, facts: ImageFile, kind: str) -> None:
    """JPEG, WebP or BMP, with 8 bits a channel."""
    options: dict = {"icc_profile": facts.icc} if facts.icc else {}
    if facts.exif:
        options["exif"] = b"Exif\0\0" + facts.exif
    if facts.xmp:
        options["xmp"] = facts.xmp
    if facts.dpi and max(facts.dpi) < _LONGEST_DENSITY:
        options["dpi"] = facts.dpi
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind == "JPEG":
        options["subsampling"] = 0
    encoded = io.BytesIO()  # of a write that is cut short Pillow takes no notice
    Image.fromarray(to_8_bits(planes)).save(encoded, format=kind, **options)
    file.write(encoded.getbuffer())
