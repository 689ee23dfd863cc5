"""Reading any photograph as uint8 RGB, and writing PNG files that are whole or absent."""

import contextlib
import os
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from csd.errors import InputError, WorkError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"}
)
# Pillow refuses 179 megapixels; large scans and panoramas exceed that, and 400 still fit in memory.
MAX_PIXELS = 400_000_000
_EXIF_ORIENTATION = 0x0112
_open_lock = threading.Lock()


def is_image_name(path: Path) -> bool:
    """Whether the name says image; hidden files (`._0001.png` of macOS archives) are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def open_image(path: Path) -> Image.Image:
    """Read the header only; Pillow's own limit of pixels is replaced by ours meanwhile."""
    with _open_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2  # it errs at twice
        try:
            image = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.format == "TIFF":
        # Pillow maps uncompressed files into memory by their name, and scrambles those on a side.
        image.filename = ""
    return image


def explain_image_error(path: Path, error: Exception) -> InputError:
    """What to say of a file that raised `error` while it was opened or decoded."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such image file")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path} is a folder, not an image file")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: no permission to read it")
    if isinstance(error, Image.DecompressionBombError):
        limit = MAX_PIXELS // 1_000_000
        return InputError(f"{path} has more than {limit} megapixels; cut it into smaller pictures")
    if path.stat().st_size == 0:
        return InputError(f"{path} is empty (0 bytes); remove it or copy it again")
    return InputError(
        f"{path} cannot be read as an image, it is damaged, cut short or of another kind ({error});"
        " remove it or copy it again"
    )


def _to_rgb(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode == "F":
        raise InputError(f"{path} holds floating-point pixels; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):  # 16-bit grey; 16-bit colour Pillow already cut to high bytes
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise InputError(f"{path} holds 32-bit pixels; save it with 8 or 16 bits a channel")
        return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "RGB":
        return np.array(image)
    if image.mode == "P" and image.palette is not None and "A" in image.palette.mode:
        image = image.convert("RGBA")  # a palette with alpha: colours first, then drop
    return np.array(image.convert("RGB"))


def read_image(path: str | Path) -> np.ndarray:
    """Read a photograph as uint8 (H, W, 3) RGB, upright.

    Grey is repeated to three channels; palettes are looked up; of 16 bits the high byte counts, as
    libpng does it; CMYK is converted; an EXIF orientation is applied. An alpha channel is dropped
    and the stored colours are kept as they are: nothing is blended with a background, so an opaque
    picture reads the same with and without the channel. Of several frames the first is read.

    Raises:
        InputError: names a file that is missing, empty, damaged, cut short, no image, or too large.
    """
    path = Path(path)
    try:
        with open_image(path) as image:
            return np.ascontiguousarray(_to_rgb(ImageOps.exif_transpose(image), path))
    except InputError:
        raise
    except Exception as error:  # decoders meet damaged bytes with errors of any type
        raise explain_image_error(path, error) from error


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of an image from its header, upright; the pixels are not decoded.

    An orientation that a PNG file tells only behind its pixels is not seen.

    Raises:
        InputError: as `read_image`, as far as the header shows it.
    """
    path = Path(path)
    try:
        with open_image(path) as image:
            width, height = image.size
            # Pillow decodes all of a PNG file to look for EXIF data behind the pixels.
            known = image.format != "PNG" or "exif" in image.info
            known = known and image.format != "TIFF"  # whose size Pillow has turned already
            turned = known and image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except Exception as error:
        raise explain_image_error(path, error) from error
    return (width, height) if turned else (height, width)


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 (H, W) or (H, W, 3 or 4) as PNG: under a temporary name, then renamed.

    Missing parent folders are made.

    Raises:
        WorkError: the file cannot be written (no permission, disk full).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="PNG")
        temporary.replace(path)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # what stopped the writing may stop this too
            temporary.unlink(missing_ok=True)
