"""Called by run_standalone_train.sh and run_distribute_train.sh."""

import sys
from pathlib import Path

from csd.cli.launch import main
from csd.errors import run_main

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.exit(run_main(lambda argv: main(argv, ROOT)))
