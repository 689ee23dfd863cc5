"""An image in, an image out: a network with all that decides how images go through it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from csd.data.decode import read_image_file
from csd.data.image_file import ImageFile
from csd.errors import InputError
from csd.inference.convert import from_array, from_pillow, to_array, to_pillow
from csd.inference.engines.base import Engine
from csd.inference.images import upscale_image
from csd.inference.tiling import DEFAULT_OVERLAP, DEFAULT_TILE, count_tiles

AnyImage = TypeVar("AnyImage", np.ndarray, Image.Image)

# LR pixels that a full-width network sees at once. A sub-network of width w keeps int(C * w)
# channels, and sees 1 / w times as many in the same memory.
_WINDOW_PIXELS = (DEFAULT_TILE + 2 * DEFAULT_OVERLAP) ** 2


@dataclass(frozen=True)
class Upscaler:
    """A network that is ready to upscale images of any size and kind.

    engine: what computes; its `name` says which runtime that is.
    model: name, scale and hyper-parameters of the full-width network; of an exported file, those of
        the dense network in it.
    scale: the factor. width: the one in use. widths: those it was trained at, the narrowest first.
    size: the one (H, W) that the engine takes, or None for any.
    whole_image: every output pixel depends on the whole input, so that tiles are approximate.
    at: the engine at another width, made once, or None where the file holds one width only.
    tile: side of the tiles in LR pixels; 0: the whole image at once; None: as `tile_for` says.
    overlap: context around a tile, LR pixels.
    self_ensemble: mean over the eight flips and transpositions, eight times the work.
    precision: "float32", or "int8" for an exported file that was quantised.
    """

    engine: Engine
    model: dict[str, Any]
    scale: int
    width: float
    widths: tuple[float, ...]
    size: tuple[int, int] | None = None
    whole_image: bool = False
    at: Callable[[float], Engine] | None = None
    tile: int | None = None
    overlap: int = DEFAULT_OVERLAP
    self_ensemble: bool = False
    precision: str = "float32"

    @property
    def name(self) -> str:
        """Of the backbone: "edsr", "rcan", ..."""
        return self.model["name"]

    def at_width(self, width: float) -> "Upscaler":
        """The same at another width in (0, 1]; InputError where the file holds one width only."""
        if width == self.width:
            return self
        if self.at is None:
            raise InputError(f"this file holds width {self.width:g} only, not {width:g}")
        return replace(self, width=width, engine=self.at(width))

    def upscale(self, image: "AnyImage | str | Path") -> "AnyImage | Image.Image":
        """Upscale one image.

        Args:
            image: uint8 or uint16 array (H, W) grey, (H, W, 3) RGB, (H, W, 2) or (H, W, 4) with
                alpha last; or a PIL image; or the path of an image file.

        Returns:
            The same kind, `scale` times as large: an array of the same dtype and channels, or a PIL
            image; for a path a PIL image as well, upright, and nothing is written. Alpha is
            upscaled and kept, grey stays grey. 16 bits stay 16 bits, except that PIL has 8 for
            colour.

        Raises:
            InputError: a file that cannot be read, or an array of another shape or dtype.
            WorkError: the network or the memory failed.
        """
        if isinstance(image, np.ndarray):
            return to_array(self.upscale_file(from_array(image)), image.ndim)
        if isinstance(image, Image.Image):
            return to_pillow(self.upscale_file(from_pillow(image)))
        return to_pillow(self.upscale_file(read_image_file(image)))

    def upscale_file(
        self, image: ImageFile, progress: Callable[[int], None] | None = None
    ) -> ImageFile:
        """`upscale_image` by this network; `progress` is called with 1 after every tile."""
        return upscale_image(self, image, progress)

    def tile_for(self, height: int, width: int) -> tuple[tuple[int, int], int]:
        """((height, width) of the tiles, overlap) for an LR image, all in pixels.

        Where no tile is set, an image goes through in one piece, or in tiles, so that the memory is
        what a full-width network takes for tiles of DEFAULT_TILE: neither depends on the machine.
        """
        if self.size is not None:
            return self._fixed_tile(self.size)
        pixels = int(_WINDOW_PIXELS / self.width)
        if self.tile == 0 or (self.tile is None and height * width <= pixels):
            return (height, width), self.overlap
        side = self.tile or math.isqrt(pixels) - 2 * self.overlap
        return (side, side), self.overlap

    def _fixed_tile(self, size: tuple[int, int]) -> tuple[tuple[int, int], int]:
        """Windows of exactly `size`."""
        if self.self_ensemble and size[0] != size[1]:
            raise InputError(
                f"--self_ensemble turns the image, and this network takes {size[0]}x{size[1]} "
                "only; export it for a square or with --size dynamic"
            )
        overlap = min(DEFAULT_OVERLAP, (min(size) - 1) // 4)
        return (size[0] - 2 * overlap, size[1] - 2 * overlap), overlap

    def count_tiles(self, height: int, width: int) -> int:
        """How many tiles an LR image of this size goes through in."""
        return count_tiles(height, width, self.tile_for(height, width)[0])
