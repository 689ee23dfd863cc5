"""Arrays and PIL images as `ImageFile`s, and back."""

import numpy as np
from PIL import Image

from csd.data.image_file import ImageFile, make_image
from csd.data.pillow_files import planes_of
from csd.errors import InputError


def from_array(image: np.ndarray) -> ImageFile:
    """uint8 or uint16 (H, W) or (H, W, C): grey, grey and alpha, RGB, RGBA; else InputError."""
    channels = image.shape[2] if image.ndim == 3 else 1
    typed = image.dtype in (np.uint8, np.uint16) and image.ndim in (2, 3)
    if not typed or not 1 <= channels <= 4 or image.size == 0:
        raise InputError(
            "an image must be a uint8 or uint16 array (H, W) or (H, W, C) of 1 to 4 channels, not "
            f"{image.dtype} {image.shape}"
        )
    return make_image(image)


def to_array(image: ImageFile, ndim: int) -> np.ndarray:
    """(H, W) or, where `ndim` is 3, (H, W, C)."""
    planes = image.planes()
    return planes[:, :, None] if ndim > planes.ndim else planes


def from_pillow(image: Image.Image) -> ImageFile:
    """A PIL image as its pixels lie: an orientation in its EXIF data is not applied.

    Palettes, CMYK and black-and-white become RGB or grey. InputError for more than 16 bits.
    """
    icc = image.info.get("icc_profile")
    try:
        return make_image(planes_of(image, icc), icc=icc)
    except ValueError as error:
        raise InputError(f"this image of mode {image.mode} cannot be upscaled: {error}") from None


def to_pillow(image: ImageFile) -> Image.Image:
    """Mode L, LA, RGB or RGBA, or I;16 for grey of 16 bits without alpha; else 8 bits remain."""
    planes = image.planes()
    if planes.dtype == np.uint16 and planes.ndim == 3:
        planes = (planes // 257).astype(np.uint8)
    made = Image.fromarray(planes)
    if image.icc:
        made.info["icc_profile"] = image.icc
    return made
