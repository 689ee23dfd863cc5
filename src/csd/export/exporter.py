"""Write a dense network as MINDIR, AIR or ONNX, read it back, and compare it with its origin."""

import sys
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np

from csd.checkpoints import load_network
from csd.errors import InputError, WorkError
from csd.export.dense import dense_network, receptive_radius
from csd.export.description import DIGEST, name_with_description, sha256_of
from csd.export.graph import export_any_size, export_example, import_onnx
from csd.export.sizes import Size, parse_sizes
from csd.export.verify import (
    TOLERANCE,
    largest_difference,
    onnx_session,
    operators,
    read_mindir,
)
from csd.files import temporary_folder, writing
from csd.nets import SlimmableSR, check_width

FILE_FORMATS = ("MINDIR", "AIR", "ONNX")


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked; `difference` is in of 255, on an image."""

    path: Path
    name: str
    scale: int
    width: float
    size: str
    difference: float


def export_checkpoint(
    ckpt: str | Path,
    output_dir: str | Path,
    *,
    width: float | None = None,
    file_format: str = "MINDIR",
    size: str = "dynamic",
) -> list[Exported]:
    """`export_network` for a checkpoint file.

    Args:
        ckpt: a file that `csd.checkpoints.load_network` reads.
        width: None: the narrowest width that was trained.
        size: as `csd.export.sizes.parse_sizes` reads it.

    Raises:
        InputError, WorkError: as `export_network`; also for an unreadable checkpoint.
    """
    sizes = parse_sizes(size)
    _check_format(file_format, sizes)
    net, width, origin = open_checkpoint(ckpt, width)
    return export_network(
        net, width, Path(output_dir), file_format=file_format, sizes=sizes, origin=origin
    )


def open_checkpoint(ckpt: str | Path, width: float | None) -> tuple[SlimmableSR, float, dict]:
    """(network, width, what descriptions say of the checkpoint); None: the narrowest trained width.

    A width that was not trained is warned of.
    """
    net, meta = load_network(ckpt)
    trained = [float(value) for value in meta.get("widths") or [1.0]]
    width = min(trained) if width is None else width
    if width not in trained:
        names = ", ".join(f"{value:g}" for value in trained)
        print(f"warning: width {width:g} was not trained ({names} was)", file=sys.stderr)
    return net, width, {"file": Path(ckpt).name, "sha256": sha256_of(Path(ckpt))}


def export_network(
    net: SlimmableSR,
    width: float,
    output_dir: Path,
    *,
    file_format: str = "MINDIR",
    sizes: list[Size] | None = None,
    origin: dict | None = None,
) -> list[Exported]:
    """Export `net` at `width`, one file for each size, and check each file on an image.

    Args:
        net: the slimmable network of the checkpoint; it is not changed.
        width: which dense network of it, in (0, 1].
        output_dir: folder for `<name>_x<scale>_w<width>_<HxW|dynamic>.<suffix>` and, beside each
            file, the same name and `.json`, which describes it.
        file_format: `MINDIR`, `AIR` (on Ascend only) or `ONNX`.
        sizes: (height, width) of the LR image, for each file; None: any size (MINDIR and ONNX; an
            ONNX file then takes any batch, too).
        origin: what the description says of the checkpoint (file name, digest).

    Returns:
        The exported files.

    Raises:
        InputError: a format, size or width that cannot be had here.
        WorkError: the file cannot be written, or differs from the checkpoint by more than
            `TOLERANCE`; then it is removed.
    """
    check_width(net, width)
    _check_format(file_format, sizes)
    dense = dense_network(net, width)
    written = []
    for size in sizes or (None,):
        label = "x".join(map(str, size)) if size else "dynamic"
        stem = f"{net.name}_x{net.scale}_w{width:g}_{label}"
        target = Path(output_dir) / f"{stem}.{file_format.lower()}"
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            # A temporary folder, not a temporary name: the exporter chooses the suffix itself.
            with temporary_folder(target.parent, ".export-") as folder:
                made = _write(dense, size, folder / stem, file_format)
                difference = _compare(net, width, dense, made, size)
                facts = describe(net, width, dense, made, size, difference, origin or {})
                name_with_description(made, target, facts)
        written.append(Exported(target, net.name, net.scale, width, label, difference))
    return written


def _check_format(file_format: str, sizes: list[Size] | None) -> None:
    if file_format not in FILE_FORMATS:
        raise InputError(
            f"unknown file format {file_format!r}; use one of {', '.join(FILE_FORMATS)}"
        )
    if file_format == "AIR" and ms.get_context("device_target") != "Ascend":
        raise InputError(
            "AIR files can only be written on an Ascend machine, with --device_target Ascend; "
            "MINDIR works everywhere"
        )
    if file_format == "AIR" and sizes is None:
        raise InputError("AIR needs fixed sizes; give them with --size, say 64x64")
    if file_format == "ONNX":
        if sizes is None:
            import_onnx()
        try:
            import onnxruntime  # noqa: F401
        except ImportError:
            onnx_session(Path())  # says what is missing, before any work is done


def _write(dense: SlimmableSR, size: Size | None, stem: Path, file_format: str) -> Path:
    """Export to `stem` plus the format's suffix, and return that path."""
    if file_format == "ONNX" and size is None:
        return export_any_size(dense, stem)
    if size:
        example = ms.Tensor(np.zeros((1, 3, *size), np.float32))
    else:
        example = ms.Tensor(shape=(1, 3, None, None), dtype=ms.float32)
    return export_example(dense, example, stem, file_format)


def _compare(
    net: SlimmableSR, width: float, dense: SlimmableSR, made: Path, size: Size | None
) -> float:
    """The largest difference from the checkpoint's own network on the image."""
    sizes = [size] if size else [(41, 57), (16, 9)]

    def checkpoint(image: np.ndarray) -> np.ndarray:
        return net(ms.Tensor(image), width).asnumpy()

    if made.suffix == ".air":
        # Nothing here runs AIR; what can be compared is the network that was written.
        image = np.zeros((1, 3, *sizes[0]), np.float32)
        difference = float(np.abs(dense(ms.Tensor(image)).asnumpy() - checkpoint(image)).max())
    else:
        difference = largest_difference(made, checkpoint, sizes)
    if not difference <= TOLERANCE:
        raise WorkError(
            f"{made.name} differs from the checkpoint by {difference:.2g} of 255, more than "
            f"{TOLERANCE:g}; it was removed (a device that computes in half precision does this: "
            "try --device_target CPU)"
        )
    return difference


def describe(
    net: SlimmableSR,
    width: float,
    dense: SlimmableSR,
    made: Path,
    size: Size | None,
    difference: float | None,
    origin: dict,
) -> dict:
    """What a program needs to know to run the file, as plain data; difference: None if unknown."""
    low, high = size or (None, None), tuple(net.scale * n for n in size) if size else (None, None)
    names = end_names(made)
    radius = receptive_radius(dense)
    facts = {
        "file": made.name,
        DIGEST: sha256_of(made),
        "architecture": dense.describe(),
        "scale": net.scale,
        "width": width,
        "parameters": int(sum(p.size for p in dense.trainable_params())),
        "input": _tensor(names[0], low),
        "output": _tensor(names[1], high),
        "receptive_field": {
            "radius": round(radius, 4),
            "unit": "pixels of the LR image",
            "whole_image": dense.pools,
        },
        "checkpoint": origin,
        "largest_difference": difference,
        "mindspore": ms.__version__,
    }
    if made.suffix == ".mindir":
        facts["operators"] = dict(sorted(operators(made).items()))
    return facts


def _tensor(name: str | None, size: tuple) -> dict:
    return {
        "name": name,
        "shape": [1, 3, *size],
        "dtype": "float32",
        "layout": "NCHW",
        "colour": "RGB",
        "range": [0, 255],
    }


def end_names(made: Path) -> tuple[str | None, str | None]:
    """Names of the input and the output in the file; None where nothing here can read them."""
    if made.suffix == ".xml":
        return "x", "output"
    if made.suffix == ".mindir":
        graph = read_mindir(made).graph
        return graph.input[0].name, graph.output[0].name
    if made.suffix == ".onnx":
        session = onnx_session(made)
        return session.get_inputs()[0].name, session.get_outputs()[0].name
    return None, None
