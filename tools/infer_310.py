"""Steps of scripts/run_infer_310.sh that need Python: `python tools/infer_310.py --help`."""

import sys

from csd.cli import run

if __name__ == "__main__":
    sys.exit(run("infer_310"))
