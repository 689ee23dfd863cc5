"""Upscaling whole images with a network: one compilation for all sizes, tiles, self-ensemble.

Everything here works on numpy arrays; a *runner* is any callable that takes float32
(1, 3, H, W), RGB 0..255, and returns float32 (1, 3, scale * H, scale * W).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from csd.errors import InputError, WorkError
from csd.inference.engines.base import Runner

# Context around a tile, in LR pixels. A deep EDSR sees further in theory; the weight of what lies
# beyond is small, and the tests hold the difference to the whole image above 60 dB.
DEFAULT_OVERLAP = 24
# LR pixels of a tile's side. Fixed, so that a result never depends on the machine's memory.
DEFAULT_TILE = 192


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Round half up and clip to 0..255: the paper's `clamp(0, 255).round()` on an RGB 0..255 image.

    (torch rounds exact halves to even; a network's float output practically never is one.)
    """
    return _rounded(image + np.float32(0.5), 255).astype(np.uint8)


def to_uint16(image: np.ndarray) -> np.ndarray:
    """As `to_uint8`, keeping the fraction: RGB 0..255 to 0..65535, where 255 is 65535."""
    return _rounded(image * np.float32(257) + np.float32(0.5), 65535).astype(np.uint16)


def _rounded(image: np.ndarray, most: int) -> np.ndarray:
    """Floored and clipped to 0..most, in the array that is given."""
    np.floor(image, out=image)
    return np.clip(image, 0, most, out=image)


_FINISH: dict[Any, Any] = {
    np.uint8: to_uint8,
    np.uint16: to_uint16,
    np.float32: lambda image: image,
}


def _dihedral(x: np.ndarray, flip: bool, turns: int) -> np.ndarray:
    """One of the eight symmetries of a square applied to (..., H, W)."""
    return np.rot90(x[..., ::-1] if flip else x, turns, axes=(-2, -1))


def _inverse_dihedral(x: np.ndarray, flip: bool, turns: int) -> np.ndarray:
    x = np.rot90(x, -turns, axes=(-2, -1))
    return x[..., ::-1] if flip else x


_VIEWS = tuple((flip, turns) for flip in (False, True) for turns in range(4))


def _run_views(runs: Sequence[Runner], x: np.ndarray) -> np.ndarray:
    """Mean over the first views of x, each by its own runner; of all eight the self-ensemble (x8).

    Averaged before any rounding (Timofte et al., "Seven ways to improve example-based single image
    super resolution", 2016).
    """
    if len(runs) == 1:
        return runs[0](x)
    total: Any = 0.0
    for run, view in zip(runs, _VIEWS, strict=False):
        total = total + _inverse_dihedral(run(_dihedral(x, *view)), *view).astype(np.float64)
    return (total / len(runs)).astype(np.float32)


def _to_input(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) to float32 (1, 3, H, W)."""
    return image.astype(np.float32).transpose(2, 0, 1)[None]


def _view_runners(
    run: Runner, lr: np.ndarray, window: tuple[int, int], self_ensemble: bool
) -> list[Runner]:
    """The runner of each view of the tiles of `lr`, whose windows are (height, width).

    Where the network averages over the whole image and a window is less, the averages come from a
    copy of the image shrunk to a window's pixels: one tile's work for each view. Measured on an
    RCAN trained for 150 steps, tiles of 192, images of 600 x 800, against one pass over the
    whole: 86 to 95 dB, with each tile's own averages 52 to 54 dB.
    """
    views = _VIEWS if self_ensemble else _VIEWS[:1]
    height, width = lr.shape[:2]
    pooled_over = getattr(run, "pooled_over", None)
    if pooled_over is None or window == (height, width):
        return [run] * len(views)
    import cv2

    share = math.sqrt(window[0] * window[1] / (height * width))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = _to_input(cv2.resize(np.ascontiguousarray(lr), size, interpolation=cv2.INTER_AREA))
    return [pooled_over(_dihedral(small, *view)) for view in views]


def _spans(length: int, tile: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut `length` into tiles: (start, stop) of each and the (begin, end) of its window.

    Every window has the same size, min(tile + 2 * overlap, length), and lies inside the image: at a
    border it is moved inward instead of padded, so that the network meets its own zero padding
    exactly where it meets it in the whole image.
    """
    window = min(tile + 2 * overlap, length)
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        begin = min(max(start - overlap, 0), length - window)
        yield start, stop, begin, begin + window


def count_tiles(height: int, width: int, tile: int | tuple[int, int] | None) -> int:
    """How many calls of `progress` a upscaling of a (height, width) LR image makes."""
    if tile is None:
        return 1
    down, across = tile if isinstance(tile, tuple) else (tile, tile)
    return -(-height // down) * -(-width // across)


@dataclass(frozen=True)
class Cut:
    """How an image is cut, see `upscale`."""

    tile: int | tuple[int, int] | None = None
    overlap: int = DEFAULT_OVERLAP
    self_ensemble: bool = False


def upscale(
    run: Runner,
    lr: np.ndarray,
    *,
    scale: int,
    tile: int | tuple[int, int] | None = None,
    overlap: int = DEFAULT_OVERLAP,
    self_ensemble: bool = False,
    progress: Callable[[int], None] | None = None,
    dtype: type = np.uint8,
) -> np.ndarray:
    """Super-resolve one image.

    Args:
        run: a runner at this scale, such as `make_runner` gives.
        lr: (H, W, 3) RGB with values 0..255, uint8 or floating.
        tile: side of the tiles in LR pixels, or (height, width); None upscales the image in one
            piece. With tiles the memory in use, beside input and output, does not grow with the
            image.
        overlap: context around a tile, LR pixels. Of a network that averages over the whole image
            (RCAN's channel attention) an engine with `pooled_over` brings tiles near the whole; any
            other runner of one, such as an exported file's, gives each tile its own averages.
        self_ensemble: mean over the eight flips and rotations, taken tile by tile.
        progress: called with 1 after every tile.
        dtype: np.uint8 rounds half up and clips to 0..255; np.uint16 also, after stretching to
            0..65535; np.float32 leaves the values alone.

    Returns:
        (scale * H, scale * W, 3) of `dtype`.

    Raises:
        InputError: a wrong shape, tile or overlap, or a runner of another scale.
        WorkError: the runner gave infinite or undefined values.
    """
    cut = Cut(tile, overlap, self_ensemble)
    strips = upscale_in_strips(run, lr, scale, cut, progress=progress, dtype=dtype)
    first = next(strips)
    if len(first) == scale * len(lr):
        return first
    out = np.empty((scale * len(lr), *first.shape[1:]), dtype)
    place = 0
    for strip in itertools.chain([first], strips):
        out[place : place + len(strip)] = strip
        place += len(strip)
    return out


def upscale_in_strips(
    run: Runner,
    lr: np.ndarray,
    scale: int,
    cut: Cut,
    *,
    progress: Callable[[int], None] | None = None,
    dtype: type = np.uint8,
) -> Iterator[np.ndarray]:
    """`upscale`, a row of tiles at a time: (n, scale * W, 3) from top to bottom.

    A strip is computed when it is asked for; nothing of it is kept here.
    """
    if lr.ndim != 3 or lr.shape[2] != 3 or min(lr.shape) < 1:
        raise InputError(f"an image to upscale must have the shape (H, W, 3), not {lr.shape}")
    height, width = lr.shape[:2]
    tile, overlap = cut.tile, cut.overlap
    whole = max(height, width)
    tiles = tile if isinstance(tile, tuple) else (whole if tile is None else tile,) * 2
    if min(tiles) < 1 or overlap < 0:
        raise InputError(
            f"tile must be at least 1 and overlap at least 0, not {tile} and {overlap}"
        )
    window = (min(tiles[0] + 2 * overlap, height), min(tiles[1] + 2 * overlap, width))
    runs = _view_runners(run, lr, window, cut.self_ensemble)
    for top, bottom, y0, y1 in _spans(height, tiles[0], overlap):
        strip = np.empty((scale * (bottom - top), scale * width, 3), dtype)
        rows = slice(scale * (top - y0), scale * (bottom - y0))
        for left, right, x0, x1 in _spans(width, tiles[1], overlap):
            y = _run_tile(runs, _to_input(lr[y0:y1, x0:x1]), scale)
            core = y[0, :, rows, scale * (left - x0) : scale * (right - x0)].transpose(1, 2, 0)
            strip[:, scale * left : scale * right] = _FINISH[dtype](core)
            if progress is not None:
                progress(1)
        yield strip


def _run_tile(runs: Sequence[Runner], x: np.ndarray, scale: int) -> np.ndarray:
    """`_run_views` with its result checked."""
    y = _run_views(runs, x)
    if y.shape != (1, 3, scale * x.shape[2], scale * x.shape[3]):
        raise InputError(
            f"the network turned {x.shape} into {y.shape}, which is not scale {scale}; "
            "give the scale the network was trained for"
        )
    if not np.isfinite(y).all():
        raise WorkError(
            "the network gave infinite or undefined pixels: its weights are damaged or its "
            "training diverged; use an earlier checkpoint"
        )
    return y
