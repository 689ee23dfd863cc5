"""Convert weights from and to other formats: `python tools/convert.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("convert"))
