"""What Pillow decodes: JPEG, WebP, GIF, BMP, AVIF, JPEG 2000, TGA, HEIC, and fax or JPEG in TIFF.

Where Pillow loses something, 16 bits in several channels of JPEG 2000 or the depth of HEIC, another
library reads the file, or a note says what is lost.
"""

import contextlib
import io
import struct
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms

from csd.data.formats import NEEDS_HEIF, check_pixels
from csd.data.image_file import ImageFile, make_image
from csd.data.metadata import ORIENTATION, to_dpi, valid_orientation
from csd.data.opencv import decode_deep
from csd.data.samples import to_8_bits, to_full_range
from csd.errors import InputError

_SRGB = (1, 13)  # primaries and transfer function in the code points of ITU-T H.273
_UNSPECIFIED = 2
_HEAD_BYTES = 1 << 16
_SEVERAL = "it has several frames; the first is used"
_open_lock = threading.Lock()


def open_pillow(file: BinaryIO, path: Path, kind: str) -> Image.Image:
    """The header of an image of that format; Pillow's own limit of pixels is replaced by ours."""
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=[kind])
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    check_pixels(path, *image.size)
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return valid_orientation(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata is no damage to the pixels
        return 1


def _metadata(image: Image.Image) -> dict:
    """EXIF, XMP and resolution as arguments of `make_image`."""
    info, dpi = image.info, image.info.get("dpi")
    if image.format in ("JPEG", "MPO"):  # Pillow invents 72 where the file says nothing
        unit = info.get("jfif_unit", 0) + 1  # inches are 1 in JFIF and 2 in EXIF
        x, y = info.get("jfif_density", (0, 0))
        dpi = to_dpi(x, y, unit)
    elif dpi:
        dpi = to_dpi(*dpi)
    return {"exif": info.get("exif"), "xmp": info.get("xmp"), "dpi": dpi}


def cmyk_to_rgb(planes: np.ndarray, icc: bytes | None) -> tuple[np.ndarray, list[str]]:
    """CMYK (H, W, 4), uint8 or uint16, 0 is no ink, as RGB uint8, by the profile if any; notes."""
    notes = []
    if planes.dtype == np.uint16:
        planes, notes = to_8_bits(planes), ["CMYK is converted with 8 bits a channel"]
    height, width = planes.shape[:2]
    image = Image.frombytes("CMYK", (width, height), np.ascontiguousarray(planes).tobytes())
    if icc:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            target = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    return np.asarray(image.convert("RGB")), notes


def planes_of(image: Image.Image, icc: bytes | None) -> np.ndarray:
    """The pixels of a loaded image: grey, grey and alpha, RGB or RGBA; uint8, uint16 for I;16."""
    if image.mode == "CMYK":
        return cmyk_to_rgb(np.asarray(image), icc)[0]
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("F", "I"):
        raise ValueError("its samples have more than 16 bits")
    transparent = "transparency" in image.info
    palette_alpha = image.mode == "P" and image.palette is not None and "A" in image.palette.mode
    if image.mode in ("1", "L"):
        wanted = "LA" if transparent else "L"
    elif image.mode in ("LA", "RGBA"):
        wanted = image.mode
    elif image.mode in ("La", "RGBa", "PA") or palette_alpha or transparent:
        wanted = "LA" if image.mode == "La" else "RGBA"
    else:
        wanted = "RGB"
    return np.asarray(image.convert(wanted))


def read_pillow(file: BinaryIO, path: Path, kind: str) -> ImageFile:
    """An image of Pillow's format `kind`. Of a TIFF file the orientation is left to the caller."""
    notes, colour = [], []
    if kind == "AVIF":
        notes, colour = _avif_facts(file)
    with open_pillow(file, path, kind) as image:
        if getattr(image, "is_animated", False):
            notes.append(_SEVERAL)
        orientation = 1 if kind == "TIFF" else _orientation(image)
        if kind == "TIFF":  # Pillow would turn it, and knows fewer orientations than there are
            tiff: Any = image
            tiff._exif, tiff.tag_v2[274] = None, 1
        image.load()
        icc = image.info.get("icc_profile")
        planes = planes_of(image, icc)
        facts = {} if kind == "TIFF" else _metadata(image)
    return make_image(
        planes, orientation=orientation, icc=icc, notes=notes, png_colour=colour, **facts
    )


def pillow_size(file: BinaryIO, path: Path, kind: str) -> tuple[int, int]:
    """(H, W) from the header, upright."""
    with open_pillow(file, path, kind) as image:
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def _nclx(head: bytes) -> list[tuple[bytes, bytes]]:
    """The colour space that AVIF or HEIC states beside a profile, as a PNG chunk, unless sRGB."""
    place = head.find(b"colrnclx")
    if place < 0 or len(head) < place + 12:
        return []
    primaries, transfer = struct.unpack(">HH", head[place + 8 : place + 12])
    usual = primaries in (_SRGB[0], _UNSPECIFIED) and transfer in (_SRGB[1], _UNSPECIFIED)
    if usual or max(primaries, transfer) > 255:
        return []
    return [(b"cICP", bytes([primaries, transfer, 0, 1]))]


def _avif_facts(file: BinaryIO) -> tuple[list[str], list[tuple[bytes, bytes]]]:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    place = head.find(b"av1C")
    deep = place >= 0 and len(head) > place + 6 and head[place + 6] & 0x40
    notes = ["of its 10 or 12 bits a channel only 8 could be read"] if deep else []
    return notes, _nclx(head)


def _siz_depths(file: BinaryIO) -> set[int]:
    """Ssiz of each component in the codestream of JPEG 2000: depth - 1, above 127 if signed."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    place = head.find(b"\xff\x4f\xff\x51")
    if place < 0 or len(head) < place + 42:
        raise ValueError("it holds no codestream")
    count = struct.unpack(">H", head[place + 40 : place + 42])[0]
    return set(head[place + 42 : place + 42 + 3 * count : 3])


def read_jpeg2000(file: BinaryIO, path: Path) -> ImageFile:
    """JPEG 2000 of 1 to 8 or of 16 bits a channel.

    Raises:
        InputError: another depth, or 16 bits of grey with alpha.
    """
    depths = _siz_depths(file)
    if max(depths) <= 7:
        return read_pillow(file, path, "JPEG2000")
    if depths != {15}:
        raise InputError(
            f"{path} is JPEG 2000 of neither 8 nor 16 bits a channel; save it with one of them"
        )
    with open_pillow(file, path, "JPEG2000") as image:
        icc, orientation, mode = image.info.get("icc_profile"), _orientation(image), image.mode
        facts = _metadata(image)
        if mode.startswith("I;16"):
            image.load()
            return make_image(planes_of(image, icc), orientation=orientation, icc=icc, **facts)
    if mode not in ("RGB", "RGBA"):
        raise InputError(f"{path} is JPEG 2000 of 16 bits in {mode}; save it as RGB or as PNG")
    file.seek(0)
    planes = decode_deep(file.read())
    return make_image(planes, orientation=orientation, icc=icc, **facts)


def _open_heif(file: BinaryIO, path: Path):
    try:
        import pillow_heif
    except ImportError:
        raise InputError(f"{path} is a HEIC image, which {NEEDS_HEIF}") from None
    heif = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    check_pixels(path, *heif.size)
    return heif


def read_heif(file: BinaryIO, path: Path) -> ImageFile:
    """HEIC of 8, 10 or 12 bits; 10 and 12 become 16. libheif turns it upright itself."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    heif = _open_heif(file, path)
    planes = np.asarray(heif)
    if planes.dtype == np.uint16:
        bits = heif.info["bit_depth"]
        planes = to_full_range(planes >> (16 - bits), (1 << bits) - 1)
    notes = [_SEVERAL] if len(heif) > 1 else []
    icc = heif.info.get("icc_profile")
    exif, xmp = heif.info.get("exif"), heif.info.get("xmp")
    return make_image(planes, icc=icc, notes=notes, png_colour=_nclx(head), exif=exif, xmp=xmp)


def heif_size(file: BinaryIO, path: Path) -> tuple[int, int]:
    """(H, W) from the header, upright."""
    return _open_heif(file, path).size[::-1]
