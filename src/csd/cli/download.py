"""Download images (DIV2K, Set5, Set14, B100, Urban100) and VGG-19 weights."""

import argparse
from collections.abc import Sequence

from csd.errors import InputError

EPILOG = """Set5, Set14, B100 and Urban100 come from cv.snu.ac.kr, which has been reported
unreachable since August 2024, else from the copies at huggingface.co/datasets/eugenesiow (HR alone;
LR is made with MATLAB's bicubic). The server that delivered is printed; counts and sizes of the
images are verified. The tests use a local server: whether these addresses deliver today is not
verified."""
NAMES = ("div2k", "set5", "set14", "b100", "urban100", "vgg19")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="download.py", description=__doc__, epilog=EPILOG, allow_abbrev=False
    )
    cli.add_argument("names", nargs="+", metavar="NAME", help=", ".join(NAMES))
    cli.add_argument("--data_dir", required=True, help="folder to fill")
    cli.add_argument("--url", help="the only server: a folder ending in '/', or the archive itself")
    cli.add_argument("--scales", default="2,3,4", help="scales of the LR images that are made")
    cli.add_argument("--keep", action="store_true", help="keep the archives in DATA_DIR/.download")
    return cli


def main(argv: Sequence[str]) -> int:
    """Run the tool; see `--help`."""
    args = parser().parse_args(argv)
    for name in args.names:
        if name not in NAMES:
            raise InputError(f"'{name}' is unknown; known are {', '.join(NAMES)}")
    scales = args.scales.split(",")
    if not set(scales) <= {"2", "3", "4"}:
        raise InputError(f"--scales takes 2, 3 and 4, separated by commas, not '{args.scales}'")

    from csd.data.download.datasets import discard, download

    archives = set()
    for name in args.names:
        scales_wanted = [int(scale) for scale in scales]
        archives |= download(name, args.data_dir, url=args.url, scales=scales_wanted)
    if not args.keep:  # only now: several benchmark sets share one archive
        discard(archives)
    return 0
