"""An image in, an image out: engines, tiling, self-ensemble, image files, the Upscaler."""

from csd.data.decode import read_image_file
from csd.data.encode import write_image_file
from csd.data.image_file import ImageFile
from csd.inference.engines import Engine, Machine
from csd.inference.engines.mindspore import make_runner
from csd.inference.images import upscale_image
from csd.inference.opening import open_upscaler, shipped_checkpoint
from csd.inference.streaming import upscale_to_file
from csd.inference.tiling import DEFAULT_TILE, count_tiles, to_uint8, upscale
from csd.inference.upscaler import Upscaler

__all__ = [
    "DEFAULT_TILE",
    "Engine",
    "ImageFile",
    "Machine",
    "Upscaler",
    "count_tiles",
    "make_runner",
    "open_upscaler",
    "read_image_file",
    "shipped_checkpoint",
    "to_uint8",
    "upscale",
    "upscale_image",
    "upscale_to_file",
    "write_image_file",
]
