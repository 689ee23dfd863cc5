"""Compare recipes under one budget, over several seeds: `python -m experiments.compare --help`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from csd.config import LAB, load_config
from csd.errors import run_main
from csd.interrupt import hold_interrupts, release_interrupts

ROOT = Path(__file__).resolve().parents[1]
DESCRIPTION = """Train a teacher, then every recipe with every seed, under equal steps and under
equal wall time, and write tables, paired differences with confidence intervals, and a verdict:
report.html, report.md and results.json in --output_dir (default: output/lab).

  python -m experiments.compare --config configs/lab_edsr_x2.yaml --data_dir DIR --benchmark_dir DIR

Interrupted, or after a failure, the same command goes on; finished runs are not trained again."""


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config(LAB, argv, DESCRIPTION)
    if config.lab.smoke:
        from experiments.plan import SMOKE

        config = load_config(LAB, argv, DESCRIPTION, preset=SMOKE)
    config.runtime.output_dir = config.runtime.output_dir or "output/lab"

    from csd import runtime
    from experiments.run import Programs, run_lab

    runtime.prepare_environment()
    programs = Programs(
        train=[sys.executable, str(ROOT / "train.py")],
        evaluate=[sys.executable, str(ROOT / "eval.py")],
    )
    release_interrupts()  # the laboratory stops its runs first
    run_lab(config, programs, shlex.join(["python", "-m", "experiments.compare", *argv]))
    return 0


if __name__ == "__main__":
    hold_interrupts()
    sys.exit(run_main(main))
