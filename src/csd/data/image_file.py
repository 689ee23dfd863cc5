"""A decoded image with all that belongs to it, and the orientation that EXIF and XMP state."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

_EXIF_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True)
class ImageFile:
    """A decoded image, upright.

    pixels: uint8 or uint16, (H, W) for grey or (H, W, 3) RGB; alpha: the same dtype, (H, W), or
    None; icc: a profile that fits the pixels, or None; notes: what was left out, in sentences;
    png_colour: PNG chunks (type, data) that say how the numbers are meant: gAMA, cHRM, cICP, ...
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    notes: list[str] = field(default_factory=list)
    png_colour: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.pixels.shape[:2]

    def planes(self) -> np.ndarray:
        """Pixels and alpha in one array, (H, W) or (H, W, C)."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


def make_photo(
    planes: np.ndarray,
    *,
    orientation: int = 1,
    icc: bytes | None = None,
    notes: Sequence[str] = (),
    png_colour: Sequence[tuple[bytes, bytes]] = (),
) -> ImageFile:
    """A ImageFile of decoded planes, turned upright.

    planes: uint8 or uint16, (H, W) or (H, W, C) with C of 1 to 4: grey, grey and alpha, RGB, RGBA.
    icc: kept where it is made for such pixels: one of CMYK, or of colour on grey, would make
    viewers refuse or distort the image.
    """
    planes = upright(planes if planes.ndim == 3 else planes[:, :, None], orientation)
    alpha = None
    if planes.shape[2] in (2, 4):
        planes, alpha = planes[:, :, :-1], np.ascontiguousarray(planes[:, :, -1])
    pixels = np.ascontiguousarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    fits = icc and icc[16:20] == (b"GRAY" if pixels.ndim == 2 else b"RGB ")
    return ImageFile(pixels, alpha, icc if fits else None, list(notes), tuple(png_colour))


def upright(planes: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1 to 8, to (H, W, ...)."""
    if orientation in (5, 6, 7, 8):  # rows of the file are columns of the scene
        planes = planes.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        planes = planes[::-1]
    if orientation in (2, 3, 6, 7):
        planes = planes[:, ::-1]
    return planes


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
        return valid_orientation(exif.get(_EXIF_ORIENTATION, 1))
    except Exception:  # Pillow meets damaged EXIF data with errors of any type
        return 1


def xmp_orientation(data: bytes) -> int:
    """The orientation in an XMP packet; 1 where there is none."""
    found = _XMP_ORIENTATION.search(data)
    return valid_orientation(int(found[1])) if found else 1
