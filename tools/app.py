"""Serve a web page that upscales images: `python tools/app.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("app"))
