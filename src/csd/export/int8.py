"""A checkpoint's student in int8: as OpenVINO's file, or as what Ascend's converter makes it of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csd.errors import InputError
from csd.export.calibration import Calibration, as_input, fitted, read_calibration
from csd.export.dense import dense_network
from csd.export.description import WEIGHTS_DIGEST, sha256_of
from csd.export.exporter import Exported, describe, end_names, export_network, open_checkpoint
from csd.export.graph import export_any_size
from csd.export.quantize import (
    Judgement,
    Quality,
    check_quantizer,
    compiled,
    facts_of,
    judge,
    keep_if_good,
    quantize,
)
from csd.export.sizes import parse_sizes
from csd.files import temporary_folder, writing
from csd.nets import check_width


@dataclass(frozen=True)
class Quantised:
    """A file that was written and judged."""

    path: Path
    name: str
    scale: int
    width: float
    judgement: Judgement


def export_openvino(
    ckpt: str | Path,
    output_dir: str | Path,
    *,
    calibration: str | Path,
    quality: Quality,
    width: float | None = None,
    max_drop: float = 0.1,
) -> Quantised:
    """Quantise one network of a checkpoint to int8, as OpenVINO's `.xml` and `.bin`.

    Args:
        ckpt: a file that `csd.checkpoints.load_network` reads.
        output_dir: folder for `<name>_x<scale>_w<width>_int8.xml`, its `.bin` and its description.
        calibration: folder of HR images; every fifth, at least eight, is held back.
        quality: PSNR-Y of uint8 (SR, HR) without a border.
        width: None: the narrowest width that was trained.
        max_drop: largest loss against float32 on the images held back, dB.

    Raises:
        InputError: NNCF or OpenVINO is missing, too few images, an impossible width, an unreadable
            checkpoint.
        WorkError: int8 loses more than `max_drop`, or the file cannot be written.
    """
    check_quantizer()
    net, width, origin = open_checkpoint(ckpt, width)
    check_width(net, width)
    images = read_calibration(calibration, net.scale)
    dense = dense_network(net, width)
    target = Path(output_dir) / f"{net.name}_x{net.scale}_w{width:g}_int8.xml"
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(target.parent, ".export-") as folder:
            onnx = export_any_size(dense, folder / "network").read_bytes()
    float32 = compiled(onnx)

    def described(made: Path, judgement: Judgement) -> dict:
        facts = describe(net, width, dense, made, None, None, origin)
        facts[WEIGHTS_DIGEST] = sha256_of(made.with_suffix(".bin"))
        facts["precision"] = "int8"
        facts["int8"] = {**facts_of(judgement), "calibrated_with": len(images.used)}
        return facts

    judgement = keep_if_good(
        quantize(onnx, images.used),
        target,
        lambda made: judge(float32, compiled(made), images, net.scale, quality),
        described,
        max_drop,
    )
    return Quantised(target, net.name, net.scale, width, judgement)


def export_ascend(
    ckpt: str | Path,
    output_dir: str | Path,
    *,
    calibration: str | Path,
    size: str,
    width: float | None = None,
) -> list[tuple[Exported, Path]]:
    """A MINDIR for each size, and beside it the images and the settings for `converter_lite`.

    Args:
        ckpt, calibration, width: as `export_openvino`.
        size: fixed sizes, as `csd.export.sizes.parse_sizes` reads them.

    Returns:
        (exported file, config file) for each size.

    Raises:
        InputError, WorkError: as `export_network`; also for dynamic sizes and too few images.
    """
    sizes = parse_sizes(size)
    if sizes is None:
        raise InputError("int8 on Ascend needs fixed sizes; give them with --size, say 120x160")
    net, width, origin = open_checkpoint(ckpt, width)
    images = read_calibration(calibration, net.scale)
    exported = export_network(net, width, Path(output_dir), sizes=sizes, origin=origin)
    return [
        (item, _write_ascend(item.path, one, images))
        for item, one in zip(exported, sizes, strict=True)
    ]


def _write_ascend(model: Path, size: tuple[int, int], images: Calibration) -> Path:
    """Write the images and the config file that belong to a MINDIR."""
    folder, config = (model.with_name(f"{model.stem}_{kind}") for kind in ("images", "int8.cfg"))
    with writing(folder), temporary_folder(model.parent, ".export-") as temporary:
        made = temporary / folder.name
        made.mkdir()
        for number, image in enumerate(images.used):
            data = as_input(fitted(image, size)).transpose(0, 2, 3, 1)
            np.ascontiguousarray(data, "<f4").tofile(made / f"{number:04d}.bin")
        text = _config(model, folder.name, config.name, len(images.used), end_names(model)[0])
        (temporary / config.name).write_text(text, encoding="utf-8")
        if folder.is_dir():
            folder.rename(temporary / "old")
        made.rename(folder)
        (temporary / config.name).replace(config)
    return config


def _config(model: Path, folder: str, config: str, count: int, name: str | None) -> str:
    """The settings of a full quantisation as `converter_lite` reads them."""
    return f"""\
# Full quantisation of {model.name} for Ascend. Run in this folder:
#   converter_lite --fmk=MINDIR --modelFile={model.name} --outputFile={model.stem}_int8 \\
#     --optimize=ascend_oriented --configFile={config}
# {folder}/ holds one float32 image (1, H, W, 3) a file, RGB 0..255.
[common_quant_param]
quant_type=FULL_QUANT
bit_num=8

[data_preprocess_param]
calibrate_path={name}:{folder}
calibrate_size={count}
input_type=BIN

[full_quant_param]
activation_quant_method=MAX_MIN
bias_correction=true
per_channel=true
target_device=ASCEND
"""
