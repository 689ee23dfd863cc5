"""Download data sets and VGG-19 weights: `python tools/download.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("download"))
