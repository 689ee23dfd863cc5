"""An image in, an image out: engines, tiling, self-ensemble, image files, the Upscaler."""

from csd.inference.engines import ENGINES, Engine, Machine
from csd.inference.engines.mindspore import make_runner
from csd.inference.images import (
    ImageFile,
    read_image_file,
    upscale_image,
    write_image_file,
)
from csd.inference.opening import network_upscaler, open_upscaler, shipped_checkpoint
from csd.inference.streaming import upscale_to_file
from csd.inference.tiling import (
    DEFAULT_OVERLAP,
    DEFAULT_TILE,
    count_tiles,
    run_ensemble,
    to_uint8,
    to_uint16,
    upscale,
)
from csd.inference.upscaler import Upscaler

__all__ = [
    "DEFAULT_OVERLAP",
    "DEFAULT_TILE",
    "ENGINES",
    "Engine",
    "ImageFile",
    "Machine",
    "Upscaler",
    "count_tiles",
    "make_runner",
    "network_upscaler",
    "open_upscaler",
    "read_image_file",
    "run_ensemble",
    "shipped_checkpoint",
    "to_uint8",
    "to_uint16",
    "upscale",
    "upscale_image",
    "upscale_to_file",
    "write_image_file",
]
