"""What an experiment trains: its runs, the settings of each, and what a finished one must match.

A run is one training: a variant, a seed, and the budget it belongs to: `steps` (every variant takes
as many steps), `time` (every variant takes as many steps as fit into the wall time that variant
`csd` needs for its own), or `timing` (a few steps, that measure how long one takes).
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easydict import EasyDict

from csd.config import RENAMED, defaults, plain
from csd.data import benchmark_pairs, check_pair, find_pairs
from csd.errors import InputError

STEPS, TIME, TIMING = "steps", "time", "timing"
TIMING_STEPS = 60  # of a run that only measures how long a step takes
REFERENCE = "csd"  # the variant whose wall time is the budget, compared with all others
# What the others are compared with as well: the first of these that is among the variants.
BASELINES = ("warm", "joint")
ALONE = ("student", "warm")  # methods that train one student, without its teacher

# What `experiment.smoke` puts over the file: seconds, to test and for a first look.
SMOKE = {
    "model": {"name": "edsr", "n_feats": 8, "n_resblocks": 1},
    "data": {"lr_patch": 8, "val_images": 1},
    "train": {"widths": [0.5], "batch_size": 4, "epochs": 2, "validate_every": 1, "log_every": 1},
    "optim": {"warmup": 0},
    "loss": {"vgg": "random", "vgg_arch": "vgg16", "negatives": 2},
    "experiment": {"steps": 4, "teacher_steps": 4},
}

# Settings that may differ between two calls without changing what a run computes.
_FREE = {
    ("data", "data_dir"),  # the images themselves are compared
    ("data", "val_dir"),
    ("data", "val_images"),
    ("data", "cache_dir"),
    ("data", "workers"),
    ("train", "teacher"),  # its contents are compared
    ("train", "validate_every"),
    ("train", "save_every"),
    ("train", "keep"),
    ("train", "log_every"),
    ("train", "resume"),
    ("train", "allow_changed"),
    ("runtime", "output_dir"),
}


@dataclass(frozen=True)
class Run:
    """One training run; `steps` is its length."""

    budget: str
    variant: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        """`steps/csd/seed1`: its folder below `runs`, and its name in messages."""
        return f"{self.budget}/{self.variant}/seed{self.seed}"


def step_runs(config: EasyDict) -> list[Run]:
    """The runs of equal steps, seed by seed: variants then meet the same hours of the machine.

    Where equal steps are not asked for, only the reference takes them; each other variant takes
    a few, with the first seed, so that the steps of equal time are known.
    """
    experiment = config.experiment
    seeds = list(dict.fromkeys(experiment.seeds))
    if STEPS in experiment.fair:
        return [
            Run(STEPS, r, seed, experiment.steps) for seed in seeds for r in experiment.variants
        ]
    epochs = config.train.epochs
    few = min(experiment.steps, epochs * math.ceil(TIMING_STEPS / epochs))
    timed = [Run(TIMING, r, seeds[0], few) for r in experiment.variants if r != REFERENCE]
    return [*timed, *(Run(STEPS, REFERENCE, seed, experiment.steps) for seed in seeds)]


def time_runs(config: EasyDict, steps: Mapping[str, int]) -> list[Run]:
    """The runs of equal time; the reference's own are its runs of equal steps."""
    seeds = dict.fromkeys(config.experiment.seeds)
    variants = [r for r in config.experiment.variants if r != REFERENCE]
    return [Run(TIME, r, seed, steps[r]) for seed in seeds for r in variants if r in steps]


def base_of(config: EasyDict, variant: str) -> str:
    """`student`, `warm`, `joint` or `csd`: what the named variant is a variant of."""
    return config.experiment.variants[variant]["method"]


def stored_widths(config: EasyDict, variant: str) -> list[float]:
    """The students' widths in the network that the variant writes: 1.0 where it is the student."""
    return [1.0] if base_of(config, variant) in ALONE else [float(w) for w in config.train.widths]


def score_name(config: EasyDict, set_name: str, number: int) -> str:
    """What the scores of student `number` on a set are called: with its width, if of several."""
    widths = config.train.widths
    return set_name if len(widths) == 1 else f"{set_name}, width {widths[number]:g}"


def set_names(config: EasyDict) -> list[str]:
    """The names that eval.py gives the benchmark sets."""
    return [Path(name).name or Path(name).resolve().name for name in config.experiment.sets]


def run_config(config: EasyDict, run: Run, teacher: str, folder: Path) -> EasyDict:
    """The configuration that train.py gets for a run."""
    made = EasyDict(plain(config))
    base = base_of(config, run.variant)
    _override(
        made, {k: v for k, v in config.experiment.variants[run.variant].items() if k != "method"}
    )
    made.train.method = "student" if base == "warm" else base
    made.train.teacher = "none" if base == "student" else teacher
    made.train.reorder &= base != "student"  # random channels have no order to speak of
    made.train.seed = run.seed
    made.optim.warmup = round(made.optim.warmup * run.steps / config.experiment.steps)
    return _of_length(made, run.steps, folder)


def teacher_config(config: EasyDict, folder: Path) -> EasyDict:
    """The configuration that train.py gets for the teacher."""
    made = EasyDict(plain(config))
    _override(made, config.experiment.teacher)
    made.train.method, made.train.teacher, made.train.reorder = "teacher", "none", False
    return _of_length(made, config.experiment.teacher_steps, folder)


def _override(config: EasyDict, values: Mapping[str, Any]) -> None:
    for dotted, value in values.items():
        section, name = dotted.split(".")
        config[section][name] = value


def _of_length(config: EasyDict, steps: int, folder: Path) -> EasyDict:
    config.train.steps_per_epoch = steps // config.train.epochs
    config.train.resume = True
    config.runtime.output_dir = str(folder)
    return config


def fingerprint(config: EasyDict, images: str, teacher: str) -> dict[str, Any]:
    """Everything that decides what a run computes, as `section.key: value`.

    Args:
        images, teacher: digests of the training images and of the teacher's file ("" for
            a variant without one).
    """
    sections = ["model", "data", "train", "optim"]
    if config.train.method in ("joint", "csd"):
        sections.append("loss")  # to the others it means nothing
    values = {
        f"{section}.{key}": value
        for section in sections
        for key, value in plain(config)[section].items()
        if (section, key) not in _FREE
    }
    return {**values, "images": images, "teacher": teacher}


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """`key: found -> wanted` where two fingerprints differ.

    A key that the program did not have yet when `found` was written had what is its default now.
    """
    usual = {
        f"{s}.{key}": value for s, keys in plain(defaults()).items() for key, value in keys.items()
    }
    found = {_new_name(key): value for key, value in found.items()}
    changes = []
    for key, value in wanted.items():
        before = found.get(key, usual.get(key))
        if before != value:
            changes.append(f"{key}: {before} -> {value}")
    return changes


def _new_name(dotted: str) -> str:
    section, _, name = dotted.partition(".")
    return f"{section}.{RENAMED.get(section, {}).get(name, name)}" if name else dotted


def digest_of_images(config: EasyDict) -> str:
    """A digest of the names and sizes in bytes of the images to train on.

    Raises InputError where there are none.
    """
    data = config.data
    val_dir = data.val_dir or None
    pairs = find_pairs(data.data_dir, config.model.scale, data.layout, "train", val_dir, data.lr)
    lines = [f"{pair.name} {pair.hr.stat().st_size}" for pair in pairs]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """A digest of a file's contents."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def check_plan(config: EasyDict) -> None:
    """Raise InputError for an experiment that cannot be run, before anything is trained."""
    experiment, train = config.experiment, config.train
    if not train.widths or max(train.widths) >= 1.0:
        raise InputError(
            f"the experiment compares students of widths below 1; train.widths is {train.widths}"
        )
    alone = [name for name in experiment.variants if base_of(config, name) in ALONE]
    if len(train.widths) > 1 and alone:
        raise InputError(
            f"variant {alone[0]} trains one student and train.widths has {len(train.widths)}: give "
            f"one width, or leave variants of student and warm out of experiment.variants"
        )
    if not experiment.seeds or not experiment.fair or not experiment.sets:
        empty = next(key for key in ("seeds", "fair", "sets") if not experiment[key])
        raise InputError(f"experiment.{empty} is empty")
    for key in ("steps", "teacher_steps"):
        if experiment[key] % train.epochs:
            raise InputError(
                f"experiment.{key} must be a multiple of train.epochs, which {experiment[key]} "
                f"is not of {train.epochs}"
            )
    if (
        TIME in experiment.fair
        and experiment.variants.get(REFERENCE, {}).get("method") != REFERENCE
    ):
        raise InputError(
            f"experiment.fair=time takes the wall time of variant {REFERENCE}, which "
            f"experiment.variants lacks"
        )
    if train.teacher == "none":
        raise InputError(
            "the experiment needs a teacher: give --teacher FILE, or leave it out to train one"
        )
    if not Path(experiment.benchmark_dir).is_dir():
        raise InputError(
            f"no folder {experiment.benchmark_dir} of benchmark sets; use --benchmark_dir"
        )
    for name in experiment.sets:
        for pair in benchmark_pairs(
            experiment.benchmark_dir, name, config.model.scale, config.data.lr
        ):
            check_pair(pair, config.model.scale)
