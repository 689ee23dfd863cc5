"""Contrastive self-distillation for single-image super-resolution, in MindSpore.

    import csd

    upscaler = csd.load("edsr_x4")               # or any checkpoint, .mindir, .onnx, .xml
    large = upscaler.upscale(array_or_image)     # or the path of an image file

Everything below is imported when it is first used: `import csd` alone imports nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Name -> module that holds it.
_PUBLIC = {
    "Upscaler": "csd.inference",
    "create_model": "csd.nets",
    "extract_student": "csd.nets",
    "imresize_bicubic": "csd.data.imresize",
    "load": "csd.api",
    "load_network": "csd.api",
    "psnr_y": "csd.evaluation.metrics",
    "ssim_y": "csd.evaluation.metrics",
}

__all__ = [
    "Upscaler",
    "__version__",
    "create_model",
    "errors",
    "extract_student",
    "imresize_bicubic",
    "load",
    "load_network",
    "psnr_y",
    "ssim_y",
]

if TYPE_CHECKING:
    from csd import errors
    from csd.api import load, load_network
    from csd.data.imresize import imresize_bicubic
    from csd.evaluation.metrics import psnr_y, ssim_y
    from csd.inference import Upscaler
    from csd.nets import create_model, extract_student


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("csd.errors")
    if name in _PUBLIC:
        value = globals()[name] = getattr(importlib.import_module(_PUBLIC[name]), name)
        return value
    raise AttributeError(f"module 'csd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
