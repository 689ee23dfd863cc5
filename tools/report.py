"""Turn run folders into one HTML page: `python tools/report.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("report"))
