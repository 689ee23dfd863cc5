"""Convert weights: from PyTorch, safetensors, MindSpore or HDF5 to a checkpoint, and back."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from csd.errors import InputError

EXAMPLES = """\
examples:
  python tools/convert.py --input edsr_x4.pt --output edsr_x4.ckpt
  python tools/convert.py --input csd.pth --output csd.ckpt --widths 1.0,0.25
  python tools/convert.py --input csd.ckpt --output student.safetensors --width 0.25
  python tools/convert.py --input csd.ckpt --output csd.pth
  python tools/convert.py --input hed --output vgg16.ckpt
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="convert.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cli.add_argument("--input", required=True, help="file of weights; its kind is recognised")
    cli.add_argument("--output", required=True, help="file.ckpt, file.safetensors or file.pth")
    cli.add_argument(
        "--res_scale", type=float, help="residual scale of an EDSR whose file does not say it"
    )
    cli.add_argument("--scale", type=int, help="which of several up-samplers in the file to take")
    cli.add_argument("--widths", help="widths the network was trained for, such as 1.0,0.25")
    cli.add_argument("--width", type=float, help="write the dense student of this width")
    cli.add_argument("--no_verify", action="store_true", help=argparse.SUPPRESS)  # does nothing now
    return cli


def main(argv: Sequence[str]) -> int:
    """Run the tool; see `--help`."""
    args = parser().parse_args(argv)
    widths = _widths(args.widths)
    if widths is not None and args.width is not None:
        raise InputError("--width writes one dense network, which --widths does not fit; give one")

    from csd import runtime

    runtime.setup(device_target="CPU")

    from csd.checkpoints.convert import convert

    words = convert(
        args.input, args.output,
        res_scale=args.res_scale, scale=args.scale, widths=widths, width=args.width,
    )  # fmt: skip
    print(f"{words}\n{Path(args.output)}: written")
    return 0


def _widths(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--widths takes numbers such as 1.0,0.25, not '{text}'") from error
