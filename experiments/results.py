"""What the finished runs give: results.json, and from it the report."""

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
from csd.errors import InputError
from csd.evaluation.tables import read_metrics
from csd.files import write_text
from csd.reporting.report import environment, read_curves
from experiments import plan
from experiments.calibration import milliseconds, read_calibration
from experiments.plan import BASELINES, REFERENCE, STEPS, TIME, Run
from experiments.statistics import interval, paired


def collect(config: EasyDict, folder: Path, failed: Mapping[str, str], command: str) -> dict:
    """Everything that results.json holds, read from the runs that are finished.

    {"command", "config", "environment", "teacher", "bicubic", "calibration", "failed",
    "runs": [{"budget", "trained_as", "variant", "seed", "steps", "ms_per_step", "seconds",
    "seconds_with_compilation", "parameters", "sets": {name: {"psnr_y", "ssim_y", "images"}},
    "curve": [[step, dB], ..]}, ..],
    "summary": [{"budget", "variant", "set", "psnr_y": interval, "ssim_y": interval}, ..],
    "comparisons": [{"budget", "variant", "against", "set", "seeds": interval,
    "images": interval}, ..]}

    An interval is {"mean", "n", "sd", "low", "high"}, the last three null where n is 1. Values of
    a comparison are PSNR-Y of `variant` minus that of `against`, in dB.
    """
    runs = _runs(config, folder)
    teacher = read_metrics(folder / "teacher" / "metrics.json")["runs"]
    table = folder / "calibration.json"
    return {
        "command": command,
        "config": plain(config),
        "environment": environment(),
        "teacher": {"steps": None if config.train.teacher else config.experiment.teacher_steps,
                    **_scores(config, [teacher[-1]] * len(config.train.widths))},
        "bicubic": _scores(config, [teacher[0]] * len(config.train.widths)),
        "calibration": read_calibration(table) if table.is_file() else None,
        "failed": dict(failed),
        "runs": runs,
        "summary": summarise(runs),
        "comparisons": compare(runs),
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


def _runs(config: EasyDict, folder: Path) -> list[dict]:
    """One entry per finished run and budget; the reference's serve both."""
    found = []
    table = folder / "calibration.json"
    steps = read_calibration(table)["steps"] if table.is_file() else {}
    for run in plan.step_runs(config):
        if STEPS in config.experiment.fair:
            found.append((STEPS, run))
        if TIME in config.experiment.fair and run.variant == REFERENCE:
            found.append((TIME, run))
    if TIME in config.experiment.fair:
        found += [(TIME, run) for run in plan.time_runs(config, steps)]
    entries = []
    for budget, run in found:
        place = folder / "runs" / run.name
        if is_scored(config, place, len(plan.stored_widths(config, run.variant))):
            entries.append(_entry(config, budget, run, place))
            _check_images(entries, place)
    order = {name: i for i, name in enumerate(config.experiment.variants)}
    return sorted(entries, key=lambda e: (e["budget"], order[e["variant"]], e["seed"]))


def is_scored(config: EasyDict, place: Path, widths: int = 1) -> bool:
    """Whether a run folder has scores of so many widths, of all the sets that are asked for."""
    file = place / "metrics.json"
    if not file.is_file():
        return False
    there = read_metrics(file)["runs"][-widths:]
    names = plan.set_names(config)
    return len(there) == widths and all(name in run["sets"] for run in there for name in names)


def _check_images(entries: Sequence[dict], place: Path) -> None:
    """Raise InputError where the last run was scored on other images than the first."""
    first, last = entries[0]["sets"], entries[-1]["sets"]
    for name, result in last.items():
        if result["images"].keys() != first[name]["images"].keys():
            raise InputError(
                f"{place / 'metrics.json'} has other images of {name} than the other runs; remove "
                "it to score them again"
            )


def _entry(config: EasyDict, budget: str, run: Run, place: Path) -> dict:
    batch = config.train.batch_size
    times = milliseconds(place, batch)
    if not times:
        raise InputError(
            f"{place / 'metrics.csv'} does not say how long a step took; remove {place} to train "
            "again"
        )
    ms = median(times)
    widths = plan.stored_widths(config, run.variant)
    scored = read_metrics(place / "metrics.json")["runs"][-len(widths) :]
    column = f"val_psnr_{widths[-1]}"
    curve = [[row["step"], row[column]] for row in read_curves(place / "metrics.csv")
             if row.get(column) is not None]  # fmt: skip
    return {
        "budget": budget,
        "trained_as": run.budget,
        "variant": run.variant,
        "seed": run.seed,
        "steps": run.steps,
        "ms_per_step": ms,
        "seconds": run.steps * ms / 1000,
        "seconds_with_compilation": training_seconds(place, batch),
        **_scores(config, scored),
        "curve": curve,
    }


def _scores(config: EasyDict, runs: Sequence[dict]) -> dict:
    """What is compared of the runs of metrics.json, one a width: the sets asked for, maybe not all.

    Students of several widths are scored apart: a set then counts once for each of them.
    """
    keys = ("psnr_y", "ssim_y")
    wanted = {
        plan.score_name(config, name, i): run["sets"][name]
        for name in plan.set_names(config)
        for i, run in enumerate(runs)
    }
    sets = {
        name: {
            **{key: result[key] for key in keys},
            "images": {image: {key: score[key] for key in keys}
                       for image, score in result["images"].items()},
        }
        for name, result in wanted.items()
    }  # fmt: skip
    return {"parameters": runs[0].get("parameters"), "sets": sets}


def _names(runs: Sequence[dict], key: str) -> list:
    return list(dict.fromkeys(run[key] for run in runs))


def _of(runs: Sequence[dict], budget: str, variant: str) -> dict[int, dict]:
    """Seed -> run."""
    return {c["seed"]: c for c in runs if (c["budget"], c["variant"]) == (budget, variant)}


def summarise(runs: Sequence[dict]) -> list[dict]:
    """Mean and spread over the seeds, of every budget, variant and set."""
    rows = []
    for budget in _names(runs, "budget"):
        for variant in _names(runs, "variant"):
            seeds = _of(runs, budget, variant)
            for name in next(iter(seeds.values()))["sets"] if seeds else ():
                values = {
                    key: asdict(interval([run["sets"][name][key] for run in seeds.values()]))
                    for key in ("psnr_y", "ssim_y")
                }
                rows.append({"budget": budget, "variant": variant, "set": name, **values})
    return rows


def pairs_to_compare(variants: Sequence[str]) -> list[tuple[str, str]]:
    """(variant, against): the reference against all others; these against the baseline."""
    first = [name for name in BASELINES if name in variants][:1]
    others = [name for name in variants if name not in (REFERENCE, *first)]
    pairs = [(REFERENCE, other) for other in first + others] if REFERENCE in variants else []
    return pairs + [(other, baseline) for baseline in first for other in others]


def compare(runs: Sequence[dict]) -> list[dict]:
    """Paired differences of PSNR-Y, per set: over the seeds, and over the images.

    Over seeds: one difference of the set's mean per seed that both have. Over images: one per
    image, the mean of those seeds; it says how the difference varies from image to image,
    not from training to training.
    """
    rows = []
    for budget in _names(runs, "budget"):
        for variant, against in pairs_to_compare(_names(runs, "variant")):
            ours, theirs = _of(runs, budget, variant), _of(runs, budget, against)
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
                        "budget": budget,
                        "variant": variant,
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
