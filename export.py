"""Write a network of a checkpoint as MINDIR, AIR or ONNX: `python export.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("export"))
