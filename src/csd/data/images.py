"""Reading any image as uint8 RGB, and writing PNG files that are whole or absent."""

import itertools
import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from csd.data.decode import read_image_file
from csd.data.png_writer import encode_png
from csd.data.samples import to_rgb8
from csd.files import whole_file, writing

_numbers = itertools.count()


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as uint8 (H, W, 3) RGB, upright.

    Grey is repeated to three channels; palettes are looked up; of 16 bits the high byte counts, as
    libpng does it; CMYK is converted; an EXIF orientation is applied. An alpha channel is dropped
    and the stored colours are kept as they are: nothing is blended with a background, so an opaque
    image reads the same with and without the channel. Of several frames the first is read.

    Raises:
        InputError, WorkError: as `read_image_file`.
    """
    # Some decoders give memory that cannot be written to.
    return np.require(to_rgb8(read_image_file(path).pixels), requirements=["C", "W"])


def new_image(path: Path) -> AbstractContextManager[BinaryIO]:
    """`whole_file` for a name that may be as long as the system allows."""
    return whole_file(path, f".csd-{os.getpid()}-{threading.get_ident()}-{next(_numbers)}.tmp")


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 or uint16 (H, W) or (H, W, 1 to 4) as PNG: under a temporary name, then renamed.

    Missing parent folders are made.

    Raises:
        WorkError: the file cannot be written (no permission, disk full).
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_image(path) as file:
            encode_png(file, [image], image.shape, image.dtype)
