"""How long a step of each variant takes, and how many fit into the reference's wall time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from easydict import EasyDict

from csd.errors import InputError
from csd.files import write_text
from csd.reporting.report import read_curves
from experiments.plan import REFERENCE


def milliseconds(folder: Path, batch_size: int) -> list[float]:
    """Milliseconds per step of every row of a run's metrics.csv, the first left out.

    A row is the mean of `train.log_every` steps; validation is not in it. The first contains the
    compilation.
    """
    rows = read_curves(folder / "metrics.csv")
    rates = [rate for row in rows if (rate := row.get("images_per_second"))]
    return [1000.0 * batch_size / rate for rate in rates[1:] or rates]


def time_steps(budget_ms: float, ms_per_step: float, epochs: int) -> int:
    """The multiple of `epochs` nearest to the steps that fit into the budget; at least one each."""
    return epochs * max(1, round(budget_ms / ms_per_step / epochs))


def calibrate(file: Path, config: EasyDict, folders: Mapping[str, Sequence[Path]]) -> dict:
    """Milliseconds per step and equal-time steps of every variant that has finished runs.

    What the file holds already stays as it is, so that a resumed call uses the same numbers.

    Args:
        file: calibration.json, which is read where it exists, and written.
        folders: run folders of every variant's runs of equal steps.

    Returns:
        {"reference", "reference_steps", "ms_per_step": {variant: ms}, "steps": {variant: steps}};
        the budget of wall time is ms_per_step[reference] * reference_steps.
    """
    table = {"reference": REFERENCE, "reference_steps": config.experiment.steps,
             "ms_per_step": {}, "steps": {}}  # fmt: skip
    if file.is_file():
        try:
            table = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(table["ms_per_step"], dict) or not isinstance(table["steps"], dict):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{file} is damaged; remove it, and runs/time with it") from None
        if table["reference_steps"] != config.experiment.steps:
            raise InputError(
                f"{file} is of {table['reference_steps']} steps, not "
                f"{config.experiment.steps}; choose another --output_dir"
            )
    times, steps = table["ms_per_step"], table["steps"]
    for variant, runs in folders.items():
        rows = [ms for run in runs for ms in milliseconds(run, config.train.batch_size)]
        if rows and variant not in times:
            times[variant] = median(rows)
    for variant, ms in times.items():
        if REFERENCE in times and variant not in steps:
            budget = times[REFERENCE] * config.experiment.steps
            steps[variant] = time_steps(budget, ms, config.train.epochs)
    write_text(file, json.dumps(table, indent=1) + "\n")
    return table
