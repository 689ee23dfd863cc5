"""Evaluate teacher, student and bicubic on benchmark sets: `python eval.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("eval"))
