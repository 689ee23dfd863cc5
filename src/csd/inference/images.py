"""Any image through a network and back: what it is made of is kept.

Alpha is upscaled and kept, grey stays grey, 16 bits stay 16 bits; `csd.data` decodes and encodes.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from csd.data.image_file import ImageFile
from csd.data.samples import to_rgb8
from csd.errors import InputError
from csd.inference.engines.base import Engine, Runner
from csd.inference.tiling import Cut, upscale_in_strips

if TYPE_CHECKING:
    from csd.inference.upscaler import Upscaler

# The output is held in memory, three bytes a pixel: 62 megapixels up-scaled by 4.
MAX_OUTPUT_PIXELS = 1_000_000_000
_BICUBIC_REACH = 3  # rows on either side that a row's bicubic interpolation reads, and one more
# Shares of red, green and blue in the grey that Pillow and JPEG call luma (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def upscale_image(
    upscaler: "Upscaler", image: ImageFile, progress: Callable[[int], None] | None = None
) -> ImageFile:
    """Super-resolve an image and everything that belongs to it.

    Colours under full transparency, of which nobody sees anything, do not shine through: the
    network sees `fill_transparent` of the pixels. `progress` is called with 1 after every tile.

    Raises:
        InputError, WorkError: as `upscale`; also for an output above MAX_OUTPUT_PIXELS.
    """
    height, width = (upscaler.scale * side for side in image.size)
    pixels = np.empty((height, width, *image.pixels.shape[2:]), image.pixels.dtype)
    alpha = None if image.alpha is None else np.empty((height, width), image.alpha.dtype)
    top = 0
    for strip, mask in upscale_strips(upscaler, image, progress):
        pixels[top : top + len(strip)] = strip
        if alpha is not None:
            alpha[top : top + len(strip)] = mask
        top += len(strip)
    return replace(image, pixels=pixels, alpha=alpha)


def upscale_strips(
    upscaler: "Upscaler", image: ImageFile, progress: Callable[[int], None] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """`upscale_image`, a row of tiles at a time: (pixels, alpha or None), from top to bottom.

    A strip is computed when it is asked for, so that the output is never held as a whole.
    """
    (height, width), scale, size = image.size, upscaler.scale, upscaler.size
    if height * width * scale**2 > MAX_OUTPUT_PIXELS:
        most = MAX_OUTPUT_PIXELS // scale**2 // 1_000_000
        raise InputError(
            f"{height * width // 1_000_000} megapixels are too many to up-scale by {scale}; "
            f"cut it into images of at most {most}"
        )
    grey, deep = image.pixels.ndim == 2, image.pixels.dtype == np.uint16
    lr = image.pixels if image.alpha is None else fill_transparent(image.pixels, image.alpha)
    lr = lr / np.float32(257) if deep else lr
    lr = np.repeat(lr[:, :, None], 3, axis=2) if grey else lr
    if size:  # an image smaller than the graph's input is mirrored up to it
        missing = [(0, max(0, size[axis] - lr.shape[axis])) for axis in (0, 1)]
        lr = np.pad(lr, [*missing, (0, 0)], mode="symmetric")
    strips = upscale_in_strips(
        _grey_runner(upscaler.engine) if grey else upscaler.engine,
        lr,
        scale,
        Cut(*upscaler.tile_for(*lr.shape[:2]), upscaler.self_ensemble),
        progress=progress,
        dtype=np.uint16 if deep else np.uint8,
    )
    top = 0
    for strip in strips:
        strip = strip[: scale * height - top, : scale * width]
        bottom = top + len(strip)
        mask = None
        if image.alpha is not None:
            mask = upscale_rows(image.alpha, scale, top // scale, bottom // scale)
        yield strip[:, :, 0] if grey else strip, mask
        top = bottom
        if top == scale * height:
            return  # what is left is mirrored


def fill_transparent(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The pixels, those of alpha 0 with the colour of the nearest other one.

    pixels: (H, W) or (H, W, 3); alpha: (H, W). Where everything is transparent nothing changes.
    """
    import cv2

    clear = alpha == 0
    if not clear.any() or clear.all():
        return pixels
    _, labels = cv2.distanceTransformWithLabels(
        clear.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((labels.max() + 1, *pixels.shape[2:]), pixels.dtype)
    colours[labels[~clear]] = pixels[~clear]  # each of these pixels has a label of its own
    return colours[labels]


def _grey_runner(engine: Engine) -> Engine:
    """The network's luma in all three channels, so that grey in is grey out, rounded once."""

    def grey(run: Runner) -> Runner:
        def call(x: np.ndarray) -> np.ndarray:
            y = run(x)
            luma = np.tensordot(_LUMA, y[0], axes=1)
            return np.broadcast_to(luma, (1, 3, *luma.shape))

        return call

    pooled = engine.pooled_over
    return Engine(engine.name, grey(engine.run), pooled and (lambda small: grey(pooled(small))))


def upscale_plane(plane: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic up-scaling of uint8 or uint16 (H, W), rounded and clipped to its range."""
    height, width = plane.shape
    size = (width * scale, height * scale)
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
    wide = Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.floor(np.asarray(wide) + 0.5), 0, 65535).astype(np.uint16)


def upscale_rows(plane: np.ndarray, scale: int, top: int, bottom: int) -> np.ndarray:
    """The rows of `upscale_plane` that the rows `top` to `bottom` of the plane become."""
    first, last = max(0, top - _BICUBIC_REACH), bottom + _BICUBIC_REACH
    wide = upscale_plane(plane[first:last], scale)
    return wide[scale * (top - first) : scale * (bottom - first)]


def as_rgb8(image: ImageFile) -> np.ndarray:
    """The pixels as uint8 (H, W, 3); alpha is left out, what it hides is filled."""
    pixels = image.pixels
    return to_rgb8(pixels if image.alpha is None else fill_transparent(pixels, image.alpha))
