"""An image in, an image out: tiling, self-ensemble, image files, the network that upscales."""

from csd.inference.images import (
    ImageFile,
    read_image_file,
    tile_plan,
    upscale_image,
    write_image_file,
)
from csd.inference.tiling import (
    DEFAULT_OVERLAP,
    DEFAULT_TILE,
    count_tiles,
    make_runner,
    restore,
    run_ensemble,
    to_uint8,
    to_uint16,
)

__all__ = [
    "DEFAULT_OVERLAP",
    "DEFAULT_TILE",
    "ImageFile",
    "count_tiles",
    "make_runner",
    "read_image_file",
    "restore",
    "run_ensemble",
    "tile_plan",
    "to_uint8",
    "to_uint16",
    "upscale_image",
    "write_image_file",
]
