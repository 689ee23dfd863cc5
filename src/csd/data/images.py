"""Reading any image as uint8 RGB, and writing PNG files that are whole or absent."""

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from csd.data.decode import image_size, read_image_file
from csd.data.png_writer import encode_png
from csd.errors import WorkError
from csd.files import new_file

__all__ = ["image_size", "read_image", "whole_file", "write_png"]

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
    pixels = read_image_file(path).pixels
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    # Some decoders give memory that cannot be written to.
    return np.require(pixels, requirements=["C", "W"])


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that gets the name `path` at the end of the block, or leaves nothing behind.

    Raises:
        WorkError: it cannot be written (no permission, disk full).
    """
    # Its name does not depend on the file's own, which may be as long as the system allows.
    name = f".csd-{os.getpid()}-{threading.get_ident()}-{next(_numbers)}.tmp"
    temporary = path.with_name(name)
    try:
        with new_file(temporary) as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # what stopped the writing may stop this too
            temporary.unlink(missing_ok=True)


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 or uint16 (H, W) or (H, W, 1 to 4) as PNG: under a temporary name, then renamed.

    Missing parent folders are made.

    Raises:
        WorkError: the file cannot be written (no permission, disk full).
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error
    with whole_file(path) as file:
        encode_png(file, [image], image.shape, image.dtype)
