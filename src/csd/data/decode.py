"""Any image file as a `ImageFile`: the one place where programs decode images."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from csd.data import pillow_files, png, pnm, tiff
from csd.data.formats import explain_image_error, find_format
from csd.data.image_file import ImageFile
from csd.errors import CSDError
from csd.files import open_file

# Pillow's remarks on odd files. Not for the time of a call: images are decoded in threads, which
# share the filters.
warnings.filterwarnings("ignore", module=r"PIL\.")

_Result = TypeVar("_Result")
_READERS = {
    "PNG": png.read_png,
    "PNM": pnm.read_pnm,
    "TIFF": tiff.read_tiff,
    "JPEG2000": pillow_files.read_jpeg2000,
    "HEIF": pillow_files.read_heif,
}
_SIZES = {
    "PNG": png.png_size,
    "PNM": pnm.pnm_size,
    "TIFF": tiff.tiff_size,
    "HEIF": pillow_files.heif_size,
}


def _on_file(path: Path, work: Callable[[BinaryIO, Path, str], _Result]) -> _Result:
    """`work` on the open file and its format; whatever it raises becomes one sentence."""
    try:
        with open_file(path) as file:
            return work(file, path, find_format(file, path))
    except CSDError:
        raise
    except Exception as error:  # decoders meet damaged bytes with errors of any type
        raise explain_image_error(path, error) from error


def _read(file: BinaryIO, path: Path, kind: str) -> ImageFile:
    reader = _READERS.get(kind)
    return reader(file, path) if reader else pillow_files.read_pillow(file, path, kind)


def _size(file: BinaryIO, path: Path, kind: str) -> tuple[int, int]:
    reader = _SIZES.get(kind)
    return reader(file, path) if reader else pillow_files.pillow_size(file, path, kind)


def read_image_file(path: str | Path) -> ImageFile:
    """Read an image with all that `ImageFile` holds; of several frames the first.

    Raises:
        InputError: names a file that is missing, empty, damaged, no image, too large, no regular
            file, or of a layout that is not read (docs/formats.md lists what is).
        WorkError: there is not enough memory.
    """
    return _on_file(Path(path), _read)


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of an image from its header, upright; the pixels are not decoded.

    Raises:
        InputError: as `read_image_file`, as far as the header shows it.
    """
    return _on_file(Path(path), _size)
