"""Write one network of a checkpoint, dense, as MINDIR, AIR, ONNX or int8, and check the file."""

from collections.abc import Sequence

from csd.config import load_config
from csd.errors import InputError
from csd.settings import EXPORT

DESCRIPTION = """Write one network of a checkpoint, dense, as a file of its own, and check it.

  python export.py --ckpt best.ckpt                                       MINDIR
  python export.py --ckpt best.ckpt --file_format ONNX --size 120x160
  python export.py --ckpt best.ckpt --precision int8 --calibration DIV2K_valid_HR
  python export.py --ckpt best.ckpt --precision int8 --calibration DIV2K_valid_HR \\
      --file_format MINDIR --size 120x160

int8 writes OpenVINO's .xml and .bin, for CPUs. Every fifth image of --calibration, eight at least,
is held back; the file is kept if it loses no more than --max_drop dB on those. With --file_format
MINDIR it writes the float32 MINDIR, and beside it the images and the settings with which
`converter_lite` quantises it on an Ascend machine."""


def _check(options) -> None:
    if not options.ckpt:
        raise InputError("nothing to export: name a checkpoint with --ckpt FILE")
    if options.width == 0:
        raise InputError("--width 0 leaves no channel; 0.25, 0.5 and 1.0 are usual")
    if options.precision == "float32":
        if options.file_format == "OPENVINO":
            raise InputError("OpenVINO reads ONNX; use --file_format ONNX, or --precision int8")
        if options.calibration:
            raise InputError("--calibration is for int8; add --precision int8 or leave it out")
        return
    if options.file_format not in ("default", "OPENVINO", "MINDIR"):
        raise InputError(
            f"int8 is not written as {options.file_format}; use --file_format OPENVINO or MINDIR"
        )
    if not options.calibration:
        raise InputError("--precision int8 needs images: --calibration FOLDER")
    if options.file_format != "MINDIR" and options.size != "dynamic":
        raise InputError("an int8 file for OpenVINO takes images of any size; leave --size out")


def _export_float32(options, output_dir: str) -> None:
    from csd.export.exporter import export_checkpoint

    file_format = "MINDIR" if options.file_format == "default" else options.file_format
    exported = export_checkpoint(
        options.ckpt, output_dir, width=options.width, file_format=file_format, size=options.size
    )
    for item in exported:
        print(
            f"{item.path}: {item.name} x{item.scale}, width {item.width:g}, {item.size}; "
            f"differs from the checkpoint by {item.difference:.2g} at most"
        )


def _export_int8(options, output_dir: str) -> None:
    from csd.evaluation import psnr_y
    from csd.export.int8 import export_openvino

    item = export_openvino(
        options.ckpt,
        output_dir,
        calibration=options.calibration,
        quality=psnr_y,
        width=options.width,
        max_drop=options.max_drop,
    )
    result = item.judgement
    print(
        f"{item.path}: {item.name} x{item.scale}, width {item.width:g}, int8; "
        f"{result.int8:.2f} dB PSNR-Y on {result.images} images held back, "
        f"{result.drop:.3f} below float32; {result.speed:.2f} x its speed ({result.int8_ms:.0f} "
        f"and {result.float32_ms:.0f} ms for {result.timed_size[1]}x{result.timed_size[0]} on "
        f"{result.processor}{'' if result.vnni else ', which has no VNNI'})"
    )


def _export_for_ascend(options, output_dir: str) -> None:
    from csd.export.int8 import export_ascend

    for item, config in export_ascend(
        options.ckpt,
        output_dir,
        calibration=options.calibration,
        size=options.size,
        width=options.width,
    ):
        print(
            f"{item.path}: {item.name} x{item.scale}, width {item.width:g}, {item.size}, float32; "
            f"{config} is what converter_lite needs to make it int8"
        )


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config(EXPORT, argv, DESCRIPTION)
    options, output_dir = config.export, config.runtime.output_dir or "output/export"
    _check(options)

    from csd import runtime

    runtime.setup(
        config.runtime.device_target,
        jit_level=config.runtime.jit_level,
        precision_mode=config.runtime.precision_mode,
    )
    if options.precision == "float32":
        _export_float32(options, output_dir)
    elif options.file_format == "MINDIR":
        _export_for_ascend(options, output_dir)
    else:
        _export_int8(options, output_dir)
    return 0
