"""Any photograph through a network and back: what it is made of is kept.

Alpha is up-scaled and kept, grey stays grey, 16 bits stay 16 bits, the ICC profile goes along, an
EXIF orientation is applied. `csd.data.read_image` is the plain reader, uint8 RGB and nothing else.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from csd.data.images import explain_image_error, open_image
from csd.errors import InputError, WorkError
from csd.evaluation.png import encode_png
from csd.evaluation.restore import DEFAULT_OVERLAP, DEFAULT_TILE, PoolingRunner, Runner, restore

# The output is held in memory, three bytes a pixel: 62 megapixels up-scaled by 4.
MAX_OUTPUT_PIXELS = 1_000_000_000
_EXIF_ORIENTATION = 0x0112
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
# Shares of red, green and blue in the grey that Pillow and JPEG call luma (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Suffix -> Pillow's format, whether it holds alpha, the longest side it holds.
_FORMATS = {
    ".png": ("PNG", True, 2**31 - 1),
    ".jpg": ("JPEG", False, 65500),
    ".jpeg": ("JPEG", False, 65500),
    ".webp": ("WEBP", True, 16383),
    ".tif": ("TIFF", True, 2**31 - 1),
    ".tiff": ("TIFF", True, 2**31 - 1),
    ".bmp": ("BMP", False, 2**31 - 1),
    ".ppm": ("PPM", False, 2**31 - 1),
    ".pgm": ("PPM", False, 2**31 - 1),
}


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, upright.

    pixels: uint8 or uint16, (H, W) for grey or (H, W, 3) RGB; alpha: the same dtype, (H, W), or
    None; icc: a profile that fits the pixels, or None; notes: what was left out, in sentences.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.pixels.shape[:2]

    def planes(self) -> np.ndarray:
        """Pixels and alpha in one array, (H, W) or (H, W, C)."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


def read_photo(path: str | Path) -> Photo:
    """Read a photograph with all that `Photo` holds; of several frames the first.

    Raises:
        InputError: names a file that is missing, empty, damaged, no image, too large, or of
            floating-point or 32-bit pixels.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files
            with open_image(path) as image:
                return _decode(image, path)
    except InputError:
        raise
    except Exception as error:  # decoders meet damaged bytes with errors of any type
        raise explain_image_error(path, error) from error


def _decode(image: Image.Image, path: Path) -> Photo:
    notes = []
    if getattr(image, "is_animated", False):
        notes.append("it has several frames; the first is used")
    deep = _has_deep_colour(image)
    image.load()
    icc, grey = image.info.get("icc_profile"), image.mode in _GREY_MODES
    planes = _read_deep(path) if deep else None
    if deep and planes is None:
        notes.append("of its 16 bits a channel only 8 could be read")
    if planes is not None:
        planes = _grey_planes(planes) if grey else planes
    elif image.mode == "F":
        raise InputError(f"{path} holds floating-point pixels; save it with 8 or 16 bits a channel")
    elif image.mode.startswith("I"):
        planes = np.asarray(image)
        if planes.min() < 0 or planes.max() > 0xFFFF:
            raise InputError(f"{path} holds 32-bit pixels; save it with 8 or 16 bits a channel")
        planes = planes.astype(np.uint16)
    else:
        planes = np.asarray(_plain_mode(image, icc))
    planes = _upright(planes, image.getexif().get(_EXIF_ORIENTATION, 1))
    if planes.ndim == 3 and planes.shape[2] in (2, 4):
        pixels, alpha = planes[:, :, :-1], np.ascontiguousarray(planes[:, :, -1])
        pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    else:
        pixels, alpha = planes, None
    # A profile of CMYK, or of colour on a grey picture, would make viewers refuse or distort it.
    fits = icc and icc[16:20] == (b"GRAY" if pixels.ndim == 2 else b"RGB ")
    return Photo(np.ascontiguousarray(pixels), alpha, icc if fits else None, notes)


def _plain_mode(image: Image.Image, icc: bytes | None) -> Image.Image:
    """An 8-bit image as L, LA, RGB or RGBA."""
    if image.mode == "CMYK":
        if icc:
            with contextlib.suppress(ImageCms.PyCMSError, OSError):
                source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
                target = ImageCms.createProfile("sRGB")
                return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        return image.convert("RGB")
    transparent = "transparency" in image.info
    if image.mode in ("1", "L"):
        return image.convert("LA" if transparent else "L")
    if image.mode in ("LA", "RGBA"):
        return image
    palette_alpha = image.mode == "P" and image.palette is not None and "A" in image.palette.mode
    if image.mode in ("La", "RGBa", "PA") or palette_alpha or transparent:
        return image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("RGB")


def _has_deep_colour(image: Image.Image) -> bool:
    """Whether the file has 16 bits in several channels, of which Pillow keeps the high bytes."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (1,))
        return len(bits) > 1 and set(bits) == {16}
    if image.format == "PNG" and image.tile:
        return image.mode not in ("I", "I;16") and "16" in str(image.tile[0][3])
    if image.format == "PPM" and image.tile and image.mode == "RGB":
        args = image.tile[0][3]
        return isinstance(args, tuple) and int(args[-1]) > 255
    return False


def _read_deep(path: Path) -> np.ndarray | None:
    """uint16 (H, W, 3 or 4) RGB, or None where OpenCV reads something else in the file."""
    import cv2

    planes = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if planes is None or planes.dtype != np.uint16 or planes.ndim != 3:
        return None
    order = cv2.COLOR_BGRA2RGBA if planes.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(planes, order)


def _grey_planes(planes: np.ndarray) -> np.ndarray:
    """Grey that OpenCV repeated to three channels, as one, with its alpha."""
    return planes[:, :, [0, 3]] if planes.shape[2] == 4 else planes[:, :, 0]


def _upright(planes: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1 to 8, to (H, W, ...)."""
    if orientation in (5, 6, 7, 8):  # rows of the file are columns of the scene
        planes = planes.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        planes = planes[::-1]
    if orientation in (2, 3, 6, 7):
        planes = planes[:, ::-1]
    return planes


def restore_photo(
    run: Runner,
    photo: Photo,
    *,
    scale: int,
    tile: int | None = DEFAULT_TILE,
    size: tuple[int, int] | None = None,
    self_ensemble: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Photo:
    """Super-resolve a photograph and everything that belongs to it.

    Args:
        run, scale, tile, self_ensemble, progress: as for `csd.evaluation.restore`.
        size: (height, width) of the only input that `run` takes, such as a graph that was exported
            for one size; its tiles have that size, whatever `tile` says.

    Raises:
        InputError, WorkError: as `restore`; also for an output above MAX_OUTPUT_PIXELS.
    """
    height, width = photo.size
    if height * width * scale**2 > MAX_OUTPUT_PIXELS:
        most = MAX_OUTPUT_PIXELS // scale**2 // 1_000_000
        raise InputError(
            f"{height * width // 1_000_000} megapixels are too many to up-scale by {scale}; "
            f"cut it into pictures of at most {most}"
        )
    grey, deep = photo.pixels.ndim == 2, photo.pixels.dtype == np.uint16
    lr = photo.pixels / np.float32(257) if deep else photo.pixels
    lr = np.repeat(lr[:, :, None], 3, axis=2) if grey else lr
    tiles, overlap = tile_plan(size, tile, self_ensemble)
    if size:  # a picture smaller than the graph's input is mirrored up to it
        missing = [(0, max(0, size[axis] - lr.shape[axis])) for axis in (0, 1)]
        lr = np.pad(lr, [*missing, (0, 0)], mode="symmetric")
    pixels = restore(
        _grey_runner(run) if grey else run,
        lr,
        scale=scale,
        tile=tiles,
        overlap=overlap,
        self_ensemble=self_ensemble,
        progress=progress,
        dtype=np.uint16 if deep else np.uint8,
    )[: scale * height, : scale * width]
    alpha = None if photo.alpha is None else upscale_plane(photo.alpha, scale)
    return replace(photo, pixels=pixels[:, :, 0] if grey else pixels, alpha=alpha)


def tile_plan(
    size: tuple[int, int] | None, tile: int | None, self_ensemble: bool = False
) -> tuple[int | tuple[int, int] | None, int]:
    """(tile, overlap) for `restore`: windows of exactly `size` where the network takes no other."""
    if size is None:
        return tile, DEFAULT_OVERLAP
    if self_ensemble and size[0] != size[1]:
        raise InputError(
            f"--self_ensemble turns the picture, and this network takes {size[0]}x{size[1]} only; "
            "export it for a square or with --size dynamic"
        )
    overlap = min(DEFAULT_OVERLAP, (min(size) - 1) // 4)
    return (size[0] - 2 * overlap, size[1] - 2 * overlap), overlap


def _grey_runner(run: Runner) -> Runner:
    """The network's luma in all three channels, so that grey in is grey out, rounded once."""

    def grey(x: np.ndarray) -> np.ndarray:
        y = run(x)
        luma = np.tensordot(_LUMA, y[0], axes=1)
        return np.broadcast_to(luma, (1, 3, *luma.shape))

    if isinstance(run, PoolingRunner):
        return PoolingRunner(grey, lambda small: _grey_runner(run.pooled_over(small)))
    return grey


def upscale_plane(plane: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic up-scaling of uint8 or uint16 (H, W), rounded and clipped to its range."""
    height, width = plane.shape
    size = (width * scale, height * scale)
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
    wide = Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.floor(np.asarray(wide) + 0.5), 0, 65535).astype(np.uint16)


def write_photo(path: str | Path, photo: Photo) -> list[str]:
    """Write a photograph in the format of the path's suffix: a temporary name, then renamed.

    Returns what the format could not hold, in sentences.

    Raises:
        InputError: a suffix that is not written here, or a picture too large for its format.
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
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            notes = _encode(file, photo, path.suffix.lower())
        temporary.replace(path)
        return notes
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _encode(file, photo: Photo, suffix: str) -> list[str]:
    kind, holds_alpha, _ = _FORMATS[suffix]
    if kind == "PNG":
        encode_png(file, photo.planes(), photo.icc)
        return []
    notes = []
    if photo.alpha is not None and not holds_alpha:
        notes.append(f"{kind} holds no transparency, which is left out; --format png keeps it")
        photo = replace(photo, alpha=None)
    planes = photo.planes()
    if planes.dtype == np.uint16:
        if kind == "TIFF":
            return notes + _encode_deep_tiff(file, planes, photo.icc)
        notes.append(f"{kind} holds 8 bits a channel; --format png keeps 16")
        planes = (planes >> 8).astype(np.uint8)
    options = {"icc_profile": photo.icc} if photo.icc else {}
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind == "JPEG":
        options["subsampling"] = 0
    if kind == "TIFF":
        options["compression"] = "tiff_lzw"
    Image.fromarray(planes).save(file, format=kind, **options)
    return notes


def _encode_deep_tiff(file, planes: np.ndarray, icc: bytes | None) -> list[str]:
    """16 bits of colour as TIFF, which Pillow cannot write."""
    import cv2

    if planes.ndim == 3 and planes.shape[2] == 2:
        planes = planes[:, :, [0, 0, 0, 1]]  # OpenCV knows no grey with alpha
    if planes.ndim == 3:
        planes = cv2.cvtColor(
            planes, cv2.COLOR_RGBA2BGRA if planes.shape[2] == 4 else cv2.COLOR_RGB2BGR
        )
    file.write(cv2.imencode(".tiff", planes)[1])
    return ["16-bit TIFF is written without its colour profile"] if icc else []
