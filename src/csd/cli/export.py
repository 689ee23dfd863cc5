"""Write one network of a checkpoint, dense, as MINDIR, AIR or ONNX, and check the file."""

from collections.abc import Sequence

from csd.config import EXPORT, load_config
from csd.errors import InputError


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config(EXPORT, argv, __doc__)
    options = config.export
    if not options.ckpt:
        raise InputError("nothing to export: name a checkpoint with --ckpt FILE")
    if options.width == 0:
        raise InputError("--width 0 leaves no channel; 0.25, 0.5 and 1.0 are usual")

    from csd import runtime

    runtime.setup(
        config.runtime.device_target,
        jit_level=config.runtime.jit_level,
        precision_mode=config.runtime.precision_mode,
    )

    from csd.export.exporter import export_checkpoint

    exported = export_checkpoint(
        options.ckpt,
        config.runtime.output_dir or "output/export",
        width=options.width,
        file_format=options.file_format,
        size=options.size,
    )
    for item in exported:
        print(
            f"{item.path}: {item.name} x{item.scale}, width {item.width:g}, {item.size}; "
            f"differs from the checkpoint by {item.difference:.2g} at most"
        )
    return 0
