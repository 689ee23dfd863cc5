"""Upscale images with a trained network: `python infer.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("infer"))
