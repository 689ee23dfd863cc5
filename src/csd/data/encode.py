"""A `ImageFile` into a file of any format that is written here."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from csd.data.image_file import ImageFile
from csd.data.images import whole_file
from csd.data.png_writer import encode_png
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
# What the colour chunks of PNG hold for sRGB: a gamma of 1 / 2.2, its white and primaries.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 45455, 100
_SRGB_CHRM = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_SRGB_CICP = bytes([1, 13, 0, 1])


def write_image_file(path: str | Path, photo: ImageFile) -> list[str]:
    """Write an image in the format of the path's suffix: a temporary name, then renamed.

    Returns what the format could not hold, in sentences.

    Raises:
        InputError: a suffix that is not written here, or an image too large for its format.
        WorkError: the file cannot be written (no permission, disk full).
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"{path}: nothing here writes {path.suffix or 'that'}; use .png")
    kind, _, longest = _FORMATS[path.suffix.lower()]
    if max(photo.size) > longest:
        raise InputError(
            f"{path.name} would be {max(photo.size)} pixels long, {kind} ends at {longest}; "
            "use --format png"
        )
    with whole_file(path) as file:
        return _encode(file, photo, path.suffix.lower())


def _unusual_colour(photo: ImageFile) -> str:
    """The PNG chunks that make the colours other than sRGB, by name; empty where none does."""
    chunks = dict(photo.png_colour)
    if chunks.get(b"cICP", _SRGB_CICP) != _SRGB_CICP:
        odd = [kind for kind in (b"cICP", b"mDCV", b"cLLI") if kind in chunks]
    elif photo.icc or b"cICP" in chunks or b"sRGB" in chunks:
        odd = []  # those outrank the others
    else:
        gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") or _SRGB_GAMMA
        odd = [b"gAMA"] if abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE else []
        odd += [b"cHRM"] if chunks.get(b"cHRM", _SRGB_CHRM) != _SRGB_CHRM else []
    return ", ".join(kind.decode() for kind in odd)


def _encode(file: BinaryIO, photo: ImageFile, suffix: str) -> list[str]:
    kind, holds_alpha, _ = _FORMATS[suffix]
    if kind == "PNG":
        encode_png(file, photo.planes(), photo.icc, photo.png_colour)
        return []
    notes = []
    if photo.alpha is not None and not holds_alpha:
        notes.append(f"{kind} holds no transparency, which is left out; --format png keeps it")
        photo = replace(photo, alpha=None)
    if odd := _unusual_colour(photo):
        notes.append(f"{kind} does not hold the colour chunks {odd}; --format png keeps them")
    if photo.icc and kind in ("BMP", "PPM"):
        notes.append(f"{kind} holds no colour profile; --format png keeps it")
    planes = photo.planes()
    if kind == "TIFF":
        _encode_tiff(file, planes, photo.icc)
        return notes
    if kind == "PPM":
        _encode_pnm(file, planes)
        return notes
    if planes.dtype == np.uint16:
        notes.append(f"{kind} holds 8 bits a channel; --format png keeps 16")
        planes = (planes >> 8).astype(np.uint8)
    options = {"icc_profile": photo.icc} if photo.icc else {}
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind == "JPEG":
        options["subsampling"] = 0
    Image.fromarray(planes).save(file, format=kind, **options)
    return notes


def _encode_pnm(file: BinaryIO, planes: np.ndarray) -> None:
    """Grey (P5) or RGB (P6), 8 or 16 bits."""
    height, width = planes.shape[:2]
    top = np.iinfo(planes.dtype).max
    file.write(f"P{5 if planes.ndim == 2 else 6}\n{width} {height}\n{top}\n".encode())
    file.write(planes.astype(planes.dtype.newbyteorder(">"), copy=False).tobytes())


def _encode_tiff(file: BinaryIO, planes: np.ndarray, icc: bytes | None) -> None:
    """8 or 16 bits, any channels, profile and alpha; Deflate, which every reader knows."""
    from tifffile import imwrite

    channels = 1 if planes.ndim == 2 else planes.shape[2]
    imwrite(
        file,
        planes,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=True,
        iccprofile=icc,
        metadata=None,
    )
