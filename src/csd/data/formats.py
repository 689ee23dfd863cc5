"""The image formats that every program reads: their names, their first bytes, and how files open.

The list is closed. A file's first bytes choose its decoder, never a plug-in that happens to accept
them: an EPS named `.png` is refused and never reaches Ghostscript.
"""

import functools
import importlib.util
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from csd.errors import CSDError, InputError, WorkError, printable

# Pillow refuses 179 megapixels; large scans and panoramas exceed that, and 400 still fit in memory.
MAX_PIXELS = 400_000_000

_SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PNM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "TGA": (".tga",),
}
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
IMAGE_SUFFIXES = frozenset(suffix for group in _SUFFIXES.values() for suffix in group)
NEEDS_HEIF = "needs the package pillow-heif: pip install pillow-heif"

_FIRST_BYTES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# Read nowhere here, and worth their name in the sentence.
_FOREIGN = {
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"<svg": "SVG",
    b"v/1\x01": "OpenEXR",
}


def has_heif() -> bool:
    """Whether pillow-heif, which is optional, is installed."""
    try:
        return importlib.util.find_spec("pillow_heif") is not None
    except ValueError:  # a module of that name without a spec
        return False


def image_suffixes() -> frozenset[str]:
    """Suffixes of what is read here, lower case; HEIC counts where pillow-heif is installed."""
    return IMAGE_SUFFIXES | HEIF_SUFFIXES if has_heif() else IMAGE_SUFFIXES


def is_image_name(path: Path) -> bool:
    """Whether the name says image; hidden files (`._0001.png` of macOS archives) are none."""
    return path.suffix.lower() in image_suffixes() and not path.name.startswith(".")


def describe_unread(paths: Iterable[Path]) -> str | None:
    """One line about the visible files among `paths` that are no images here, or None.

    Names each suffix with its count: `not read: 2 .heic (needs ...), 1 .psd`.
    """
    known, counts = image_suffixes(), Counter()
    for path in paths:
        suffix = path.suffix.lower()
        if path.name.startswith(".") or path.is_dir() or (suffix in known and path.is_file()):
            continue
        name = printable(suffix) or "without a suffix"
        if not path.is_file():
            name += " (a broken link, a pipe or a device)"
        elif suffix in HEIF_SUFFIXES:
            name += f" ({NEEDS_HEIF})"
        counts[name] += 1
    parts = [f"{counts[name]} {name}" for name in sorted(counts)]
    return f"not read: {', '.join(parts)}" if parts else None


@functools.cache
def warn_unread(folder: Path) -> None:
    """Log once in a process what lies in a folder of images and is not read."""
    if rest := describe_unread(folder.iterdir()):
        logging.getLogger("csd.data").warning("note: %s: %s", printable(folder), rest)


def find_format(file: BinaryIO, path: Path) -> str:
    """The format by the first bytes: a key of the list above, or `HEIF`; the position is kept.

    TGA has no first bytes of its own: there, the suffix decides.

    Raises:
        ValueError: of another kind.
    """
    start = file.tell()
    head = file.read(64)
    file.seek(start)
    for first, name in _FIRST_BYTES.items():
        if head.startswith(first):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n\v\f#" and head[2:3]:
        return "PNM"
    if head[4:8] == b"ftyp":
        size = min(len(head), int.from_bytes(head[:4], "big"))
        brands = {head[place : place + 4] for place in (8, *range(16, size, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    if path.suffix.lower() in _SUFFIXES["TGA"] and head:
        return "TGA"
    foreign = next((name for first, name in _FOREIGN.items() if head.startswith(first)), None)
    raise ValueError(f"{foreign} is not read here" if foreign else "its first bytes are unknown")


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuse an image before it is decoded.

    Raises:
        InputError: more than MAX_PIXELS. ValueError: no pixels.
    """
    if width < 1 or height < 1:
        raise ValueError(f"it measures {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise InputError(f"{path} has more than {limit} megapixels; cut it into smaller images")


def explain_image_error(path: Path, error: Exception) -> CSDError:
    """What to print for a file that raised `error` while it was opened or decoded."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such image file")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path} is a folder, not an image file")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: no permission to read it")
    if isinstance(error, MemoryError):
        return WorkError(f"there is not enough memory to decode {path}; cut it into smaller images")
    try:
        empty = path.stat().st_size == 0
    except (OSError, ValueError) as failure:  # a loop of links, a name too long
        reason = getattr(failure, "strerror", None) or failure
        return InputError(f"{path} cannot be opened: {reason}")
    if empty:
        return InputError(f"{path} is empty (0 bytes); remove it or copy it again")
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(
        f"{path} cannot be read as an image, it is damaged, cut short or of another kind ({words});"
        " remove it or copy it again"
    )
