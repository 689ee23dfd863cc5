"""What `import csd` offers beside the classes and functions of the packages."""

import re
from pathlib import Path
from typing import Any

from csd.errors import InputError
from csd.inference.engines import Machine
from csd.inference.opening import SHIPPED_SCALES, open_upscaler, shipped_checkpoint
from csd.inference.upscaler import Upscaler


def load(
    name_or_path: str | Path,
    *,
    width: float | None = None,
    engine: str = "auto",
    device: str = "auto",
) -> Upscaler:
    """A network that is ready to upscale images.

    Args:
        name_or_path: "edsr_x2", "edsr_x4" and the like, which come with the package; or a file: a
            checkpoint (of this program, PyTorch, safetensors, HDF5), or a `.mindir`, `.onnx` or
            OpenVINO `.xml` with the description that `export.py` wrote beside it.
        width: share of the channels in (0, 1]; None: the narrowest that was trained, the fastest.
        engine: "mindspore" (any device), "openvino" or "onnxruntime" (CPU), or "auto": OpenVINO on
            the CPU, MindSpore elsewhere. The MindSpore engine sets MindSpore to graph mode.
        device: "auto", "Ascend", "GPU" or "CPU".

    Returns:
        An `Upscaler`: `upscale(image)`, `scale`, `width`, `widths`, `engine`.

    Raises:
        csd.errors.InputError: an unknown name, a missing or damaged file, a width that the file
            does not have, an engine or a device that is not there.
    """
    return open_upscaler(_path(name_or_path), width=width, machine=Machine(engine, device))


def load_network(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """The MindSpore network in a checkpoint of any kind that is read here, and its metadata.

    Returns:
        (net, meta): `net(x, width)` takes float32 (N, 3, H, W), RGB 0..255, and gives
        (N, 3, scale * H, scale * W); `meta["widths"]` are the trained widths.

    Raises:
        csd.errors.InputError: names the file, the tensor, what was expected and what was found.
    """
    from csd import checkpoints, runtime

    runtime.prepare_environment()
    return checkpoints.load_network(_path(path))


def _path(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    shipped = re.fullmatch(r"edsr_x(\d+)", str(name_or_path))
    if shipped and not path.exists():
        return shipped_checkpoint(int(shipped[1]))
    if not path.exists() and not path.suffix:
        names = ", ".join(f"edsr_x{scale}" for scale in SHIPPED_SCALES)
        raise InputError(f"no file {name_or_path}, and no network of that name; known are {names}")
    return path
