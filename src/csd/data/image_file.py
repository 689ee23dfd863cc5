"""A decoded image with all that belongs to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from csd.data.metadata import exif_block, exif_dpi, turned_dpi, upright_exif, upright_xmp


@dataclass(frozen=True)
class ImageFile:
    """A decoded image, upright.

    pixels: uint8 or uint16, (H, W) for grey or (H, W, 3) RGB; alpha: the same dtype, (H, W), or
    None; icc: a profile that fits the pixels, or None; notes: what was left out, in sentences;
    png_colour: PNG chunks (type, data) that say how the numbers are meant: gAMA, cHRM, cICP, ...
    exif: EXIF data from its byte order mark on; xmp: an XMP packet; both say orientation 1 or none;
    dpi: horizontal and vertical resolution in pixels per inch.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    notes: list[str] = field(default_factory=list)
    png_colour: tuple[tuple[bytes, bytes], ...] = ()
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        height, width = self.pixels.shape[:2]
        return height, width

    def planes(self) -> np.ndarray:
        """Pixels and alpha in one array, (H, W) or (H, W, C)."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])

    def stripped(self) -> "ImageFile":
        """Without EXIF, XMP and resolution; the colours keep their profile."""
        return replace(self, exif=None, xmp=None, dpi=None)


def make_image(
    planes: np.ndarray,
    *,
    orientation: int = 1,
    icc: bytes | None = None,
    notes: Sequence[str] = (),
    png_colour: Sequence[tuple[bytes, bytes]] = (),
    exif: bytes | None = None,
    xmp: bytes | None = None,
    dpi: Sequence[float] | None = None,
) -> ImageFile:
    """An ImageFile of decoded planes, turned upright.

    planes: uint8 or uint16, (H, W) or (H, W, C) with C of 1 to 4: grey, grey and alpha, RGB, RGBA.
    icc: kept where it is made for such pixels: one of CMYK, or of colour on grey, would make
    viewers refuse or distort the image. exif, xmp: as the file holds them; damaged EXIF data is
    left out. dpi: (x, y) of the planes as they are; None: what the EXIF data says.
    """
    planes = upright(planes if planes.ndim == 3 else planes[:, :, None], orientation)
    alpha = None
    if planes.shape[2] in (2, 4):
        planes, alpha = planes[:, :, :-1], np.ascontiguousarray(planes[:, :, -1])
    pixels = np.ascontiguousarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    fits = icc and icc[16:20] == (b"GRAY" if pixels.ndim == 2 else b"RGB ")
    block = exif_block(exif)
    exif = block and upright_exif(block, orientation)
    return ImageFile(
        pixels,
        alpha,
        icc if fits else None,
        list(notes),
        tuple(png_colour),
        exif,
        upright_xmp(xmp) if xmp else None,
        turned_dpi(dpi, orientation) or (exif_dpi(exif) if exif else None),
    )


def upright(planes: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1 to 8, to (H, W, ...)."""
    if orientation in (5, 6, 7, 8):  # rows of the file are columns of the scene
        planes = planes.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        planes = planes[::-1]
    if orientation in (2, 3, 6, 7):
        planes = planes[:, ::-1]
    return planes
