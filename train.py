"""Train a teacher and its student: `python train.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("train"))
