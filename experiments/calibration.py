"""How long a step of each variant takes, and how many fit into the reference's wall time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from easydict import EasyDict

from csd.errors import InputError, shown
from csd.files import read_json, write_text
from csd.reporting.report import read_curves
from csd.schema import integer, mapping, number, table
from experiments.plan import REFERENCE


def _reference(value: Any, where: str = "it") -> None:
    if value != REFERENCE:
        raise ValueError(f"{where} must be {REFERENCE!r}, not {shown(value)}")


_REMEDY = "remove it, and runs/time with it"
_CALIBRATION = table(
    {
        "reference": _reference,
        "reference_steps": integer(1),
        "ms_per_step": mapping(number(1e-3, 1e9)),
        "steps": mapping(integer(1, 10**9)),
    }
)


def read_calibration(file: Path) -> dict:
    """What `calibrate` wrote; InputError, naming the value, where the file is something else."""
    return read_json(file, _CALIBRATION, "a calibration.json of an experiment", _REMEDY)


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
    found = {"reference": REFERENCE, "reference_steps": config.experiment.steps,
             "ms_per_step": {}, "steps": {}}  # fmt: skip
    if file.is_file():
        found = read_calibration(file)
        if found["reference_steps"] != config.experiment.steps:
            raise InputError(
                f"{file} is of {found['reference_steps']} steps, not "
                f"{config.experiment.steps}; choose another --output_dir"
            )
    epochs = config.train.epochs
    if odd := [variant for variant, count in found["steps"].items() if count % epochs]:
        raise InputError(
            f"{file}: the steps of {odd[0]} are no multiple of the {epochs} epochs; {_REMEDY}"
        )
    times, steps = found["ms_per_step"], found["steps"]
    for variant, runs in folders.items():
        rows = [ms for run in runs for ms in milliseconds(run, config.train.batch_size)]
        if rows and variant not in times:
            times[variant] = median(rows)
    for variant, ms in times.items():
        if REFERENCE in times and variant not in steps:
            budget = times[REFERENCE] * config.experiment.steps
            steps[variant] = time_steps(budget, ms, epochs)
    write_text(file, json.dumps(found, indent=1) + "\n")
    return found
