"""Open whatever holds a network, a checkpoint or an exported file, ready to up-scale images."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from csd.errors import InputError
from csd.inference.tiling import Runner, make_runner
from csd.nets import check_width

EXPORTED_SUFFIXES = (".mindir", ".onnx")
SHIPPED_SCALES = (2, 4)


@dataclass(frozen=True)
class Upscaler:
    """A network that can be run.

    run: float32 (1, 3, H, W), RGB 0..255 -> (1, 3, scale * H, scale * W); widths: those it was
    trained at, the narrowest first; size: the one (H, W) that it takes, or None for any;
    whole_image: every output pixel depends on the whole input, so that tiles are approximate;
    at: the runner at another width, made once, or None where the file holds one width only.
    """

    run: Runner
    name: str
    scale: int
    width: float
    widths: tuple[float, ...]
    size: tuple[int, int] | None = None
    whole_image: bool = False
    at: Callable[[float], Runner] | None = None


def shipped_checkpoint(scale: int = 4) -> Path:
    """The trained checkpoint that comes with the package.

    Raises:
        InputError: none for this scale.
    """
    path = Path(__file__).resolve().parents[1] / "pretrained" / f"edsr_x{scale}.ckpt"
    if not path.is_file():
        raise InputError(
            f"no trained checkpoint for scale {scale} comes with this package; name one with "
            "--ckpt FILE, such as the best.ckpt of train.py"
        )
    return path


def open_upscaler(
    path: str | Path, *, width: float | None = None, scale: int | None = None
) -> Upscaler:
    """Open a checkpoint that `csd.checkpoints.load_network` reads, or a `.mindir` or `.onnx` file
    that `export.py` wrote, with its description beside it.

    Args:
        width: None: the narrowest width that was trained.
        scale: None, or the scale that the caller expects.

    Raises:
        InputError: a missing, foreign or damaged file, a width or a scale that it does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint {path}; train.py writes best.ckpt and last.ckpt")
    opener = _open_exported if path.suffix.lower() in EXPORTED_SUFFIXES else _open_checkpoint
    upscaler = opener(path, width)
    if scale is not None and scale != upscaler.scale:
        raise InputError(
            f"{path} was trained for scale {upscaler.scale}, not {scale}; "
            "leave --scale out or give the checkpoint of that scale"
        )
    return upscaler


def _open_checkpoint(path: Path, width: float | None) -> Upscaler:
    from csd.checkpoints import load_network
    from csd.export.dense import sees_whole_image

    net, meta = load_network(path)
    widths = tuple(sorted(float(w) for w in meta.get("widths") or [1.0]))
    width = widths[0] if width is None else width
    check_width(net, width)
    at = functools.cache(lambda other: make_runner(net, other))
    return Upscaler(
        run=at(width),
        name=net.name,
        scale=net.scale,
        width=width,
        widths=widths,
        whole_image=sees_whole_image(net),
        at=at,
    )


def _open_exported(path: Path, width: float | None) -> Upscaler:
    from csd.export.verify import open_file

    facts_path = path.with_name(path.name + ".json")
    try:
        facts = json.loads(facts_path.read_text(encoding="utf-8"))
        height, across = facts["input"]["shape"][2:]
        size = None if height is None or across is None else (int(height), int(across))
        made_at, scale = float(facts["width"]), int(facts["scale"])
        name = str(facts["architecture"]["name"])
        whole_image = bool(facts["receptive_field"]["whole_image"])
    except OSError:
        raise InputError(
            f"{path} comes without {facts_path.name}, which says its scale; export.py writes both"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{facts_path} does not describe an exported network; export it again"
        ) from None
    if width is not None and width != made_at:
        raise InputError(
            f"{path} was exported at width {made_at:g}, not {width:g}; leave --width out"
        )
    try:
        run = open_file(path)
    except InputError:
        raise
    except Exception as error:  # MindSpore and ONNX Runtime have their own, of several types
        raise InputError(f"{path} cannot be loaded, it is damaged; export it again") from error
    return Upscaler(run, name, scale, made_at, (made_at,), size, whole_image)
