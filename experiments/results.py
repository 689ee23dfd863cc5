"""What the finished cells say: results.json, and from it the report."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from easydict import EasyDict

from csd.config import plain
from csd.evaluation.tables import read_metrics
from csd.files import write_text
from csd.reporting.report import environment, read_curves
from experiments import plan
from experiments.calibration import milliseconds
from experiments.plan import BASELINE, REFERENCE, STEPS, TIME, Cell
from experiments.statistics import interval, paired


def collect(config: EasyDict, folder: Path, failed: Mapping[str, str], command: str) -> dict:
    """Everything that results.json holds, read from the cells that are finished.

    {"command", "config", "environment", "teacher", "bicubic", "calibration", "failed",
    "cells": [{"reading", "trained_as", "recipe", "seed", "steps", "ms_per_step", "seconds",
    "seconds_with_compilation", "parameters", "sets": {name: {"psnr_y", "ssim_y", "images"}},
    "curve": [[step, dB], ..]}, ..],
    "summary": [{"reading", "recipe", "set", "psnr_y": interval, "ssim_y": interval}, ..],
    "comparisons": [{"reading", "recipe", "against", "set", "seeds": interval, "images": interval}]}

    An interval is {"mean", "n", "sd", "low", "high"}, the last three null where n is 1. Values of
    a comparison are PSNR-Y of `recipe` minus that of `against`, in dB.
    """
    cells = _cells(config, folder)
    teacher = read_metrics(folder / "teacher" / "metrics.json")["runs"]
    table = folder / "calibration.json"
    return {
        "command": command,
        "config": plain(config),
        "environment": environment(),
        "teacher": {"steps": None if config.train.teacher else config.lab.teacher_steps,
                    **_scores(config, teacher[-1])},
        "bicubic": _scores(config, teacher[0]),
        "calibration": json.loads(table.read_text(encoding="utf-8")) if table.is_file() else None,
        "failed": dict(failed),
        "cells": cells,
        "summary": summarise(cells),
        "comparisons": compare(cells),
    }  # fmt: skip


def training_seconds(folder: Path, batch_size: int) -> float:
    """Seconds that the steps of a run took, compilation included and validation not."""
    seconds, before = 0.0, 0.0
    for row in read_curves(folder / "metrics.csv"):
        if rate := row.get("images_per_second"):
            step = row["step"] or 0.0
            seconds += (step - before) * batch_size / rate
            before = step
    return seconds


def _cells(config: EasyDict, folder: Path) -> list[dict]:
    """One entry per finished cell and reading; the reference's serve both."""
    found = []
    table = folder / "calibration.json"
    steps = json.loads(table.read_text(encoding="utf-8"))["steps"] if table.is_file() else {}
    for cell in plan.step_cells(config):
        if STEPS in config.lab.fair:
            found.append((STEPS, cell))
        if TIME in config.lab.fair and cell.recipe == REFERENCE:
            found.append((TIME, cell))
    if TIME in config.lab.fair:
        found += [(TIME, cell) for cell in plan.time_cells(config, steps)]
    entries = []
    for reading, cell in found:
        place = folder / "cells" / cell.name
        if (place / "metrics.json").is_file():
            entries.append(_entry(config, reading, cell, place))
    order = {name: i for i, name in enumerate(config.lab.recipes)}
    return sorted(entries, key=lambda e: (e["reading"], order[e["recipe"]], e["seed"]))


def _entry(config: EasyDict, reading: str, cell: Cell, place: Path) -> dict:
    batch = config.train.batch_size
    ms = median(milliseconds(place, batch))
    run = read_metrics(place / "metrics.json")["runs"][-1]
    column = f"val_psnr_{plan.stored_width(config, cell.recipe)}"
    curve = [[row["step"], row[column]] for row in read_curves(place / "metrics.csv")
             if row.get(column) is not None]  # fmt: skip
    return {
        "reading": reading,
        "trained_as": cell.reading,
        "recipe": cell.recipe,
        "seed": cell.seed,
        "steps": cell.steps,
        "ms_per_step": ms,
        "seconds": cell.steps * ms / 1000,
        "seconds_with_compilation": training_seconds(place, batch),
        **_scores(config, run),
        "curve": curve,
    }


def _scores(config: EasyDict, run: dict) -> dict:
    """Of a run of metrics.json what is compared: the sets asked for, which may not be all."""
    keys = ("psnr_y", "ssim_y")
    wanted = {name: run["sets"][name] for name in plan.set_names(config)}
    sets = {
        name: {
            **{key: result[key] for key in keys},
            "images": {image: {key: score[key] for key in keys}
                       for image, score in result["images"].items()},
        }
        for name, result in wanted.items()
    }  # fmt: skip
    return {"parameters": run.get("parameters"), "sets": sets}


def _names(cells: Sequence[dict], key: str) -> list:
    return list(dict.fromkeys(cell[key] for cell in cells))


def _of(cells: Sequence[dict], reading: str, recipe: str) -> dict[int, dict]:
    """Seed -> cell."""
    return {c["seed"]: c for c in cells if (c["reading"], c["recipe"]) == (reading, recipe)}


def summarise(cells: Sequence[dict]) -> list[dict]:
    """Mean and spread over the seeds, of every reading, recipe and set."""
    rows = []
    for reading in _names(cells, "reading"):
        for recipe in _names(cells, "recipe"):
            seeds = _of(cells, reading, recipe)
            for name in next(iter(seeds.values()))["sets"] if seeds else ():
                values = {
                    key: asdict(interval([cell["sets"][name][key] for cell in seeds.values()]))
                    for key in ("psnr_y", "ssim_y")
                }
                rows.append({"reading": reading, "recipe": recipe, "set": name, **values})
    return rows


def pairs_to_compare(recipes: Sequence[str]) -> list[tuple[str, str]]:
    """(recipe, against): the reference against all others; these against the warm start."""
    pairs = []
    if REFERENCE in recipes:
        first = [BASELINE] if BASELINE in recipes else []
        others = first + [r for r in recipes if r not in (REFERENCE, BASELINE)]
        pairs += [(REFERENCE, other) for other in others]
    if BASELINE in recipes:
        pairs += [(r, BASELINE) for r in recipes if r not in (REFERENCE, BASELINE)]
    return pairs


def compare(cells: Sequence[dict]) -> list[dict]:
    """Paired differences of PSNR-Y, per set: over the seeds, and over the photographs.

    Over seeds: one difference of the set's mean per seed that both have. Over photographs: one per
    photograph, the mean of those seeds; it says how the difference varies from picture to picture,
    not from training to training.
    """
    rows = []
    for reading in _names(cells, "reading"):
        for recipe, against in pairs_to_compare(_names(cells, "recipe")):
            ours, theirs = _of(cells, reading, recipe), _of(cells, reading, against)
            seeds = [seed for seed in ours if seed in theirs]
            for name in ours[seeds[0]]["sets"] if seeds else ():
                means = [
                    [side[s]["sets"][name]["psnr_y"] for s in seeds] for side in (ours, theirs)
                ]
                images = list(ours[seeds[0]]["sets"][name]["images"])
                scores = [
                    np.mean([[side[s]["sets"][name]["images"][i]["psnr_y"] for i in images]
                             for s in seeds], axis=0)
                    for side in (ours, theirs)
                ]  # fmt: skip
                rows.append(
                    {
                        "reading": reading,
                        "recipe": recipe,
                        "against": against,
                        "set": name,
                        "seeds": asdict(paired(*means)),
                        "images": asdict(paired(*scores)),
                    }
                )
    return rows


def write_results(folder: Path, results: dict) -> None:
    """Write results.json, report.md and report.html."""
    from experiments.report import html_page, markdown

    text = json.dumps(_strict(results), indent=1, allow_nan=False, ensure_ascii=False)
    write_text(folder / "results.json", text + "\n")
    write_text(folder / "report.md", markdown(results))
    write_text(folder / "report.html", html_page(results))


def _strict(value: Any) -> Any:
    """Infinite and undefined numbers as strings: JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    return [_strict(entry) for entry in value] if isinstance(value, (list, tuple)) else value
