"""Compare training methods under one budget: `python -m experiments.compare --help`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from csd.config import load_config
from csd.errors import run_main
from csd.interrupt import hold_interrupts, release_interrupts
from csd.settings import EXPERIMENT

ROOT = Path(__file__).resolve().parents[1]
DESCRIPTION = """Train a teacher, then every variant with every seed, under equal steps and under
equal wall time, and write tables, paired differences with confidence intervals, and a verdict:
report.html, report.md and results.json in --output_dir (default: output/experiment).

  python -m experiments.compare --config configs/experiment_edsr_x2.yaml \\
      --data_dir DIR --benchmark_dir DIR

Interrupted, or after a failure, the same command resumes; finished runs are not trained again."""


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config(EXPERIMENT, argv, DESCRIPTION)
    if config.experiment.smoke:
        from experiments.plan import SMOKE

        config = load_config(EXPERIMENT, argv, DESCRIPTION, preset=SMOKE)
    config.runtime.output_dir = config.runtime.output_dir or "output/experiment"

    from csd import runtime
    from experiments.run import Programs, run_experiment

    runtime.prepare_environment()
    programs = Programs(
        train=[sys.executable, str(ROOT / "train.py")],
        evaluate=[sys.executable, str(ROOT / "eval.py")],
    )
    release_interrupts()  # the experiment stops its runs first
    run_experiment(config, programs, shlex.join(["python", "-m", "experiments.compare", *argv]))
    return 0


if __name__ == "__main__":
    hold_interrupts()
    sys.exit(run_main(main))
