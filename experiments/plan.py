"""What the laboratory trains: its cells, the settings of each, and what a finished one must match.

A cell is one training run: a recipe, a seed, and the reading of "the same budget" it belongs to:
`steps` (every recipe takes the same number of steps) or `time` (every recipe takes as many steps as
fit into the wall time that recipe `csd` needs for its own).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easydict import EasyDict

from csd.config import RENAMED, defaults, plain
from csd.data import benchmark_pairs, check_pair, find_pairs
from csd.errors import InputError

STEPS, TIME = "steps", "time"
REFERENCE = "csd"  # the recipe whose wall time is the budget, and which is compared with all others
BASELINE = "warm"  # what the others are compared with as well

# What `lab.smoke` puts over the file: a laboratory of seconds, to test and for a first look.
SMOKE = {
    "model": {"name": "edsr", "n_feats": 8, "n_resblocks": 1},
    "data": {"lr_patch": 8, "val_images": 1},
    "train": {"widths": [0.5], "batch_size": 4, "epochs": 2, "validate_every": 1, "log_every": 1},
    "optim": {"warmup": 0},
    "loss": {"vgg": "random", "vgg_arch": "vgg16", "negatives": 2},
    "lab": {"steps": 4, "teacher_steps": 4},
}

# Settings that may differ between two calls without changing what a cell computes.
_FREE = {
    ("data", "data_dir"),  # the photographs themselves are compared
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
class Cell:
    """One training run; `steps` is its length."""

    reading: str
    recipe: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        """`steps/csd/seed1`: its folder below `cells`, and its name in messages."""
        return f"{self.reading}/{self.recipe}/seed{self.seed}"


def step_cells(config: EasyDict) -> list[Cell]:
    """The cells of equal steps, seed by seed: recipes then meet the same hours of the machine."""
    lab = config.lab
    return [
        Cell(STEPS, r, seed, lab.steps) for seed in dict.fromkeys(lab.seeds) for r in lab.recipes
    ]


def time_cells(config: EasyDict, steps: Mapping[str, int]) -> list[Cell]:
    """The cells of equal time; the reference's own are its cells of equal steps."""
    seeds = dict.fromkeys(config.lab.seeds)
    recipes = [r for r in config.lab.recipes if r != REFERENCE]
    return [Cell(TIME, r, seed, steps[r]) for seed in seeds for r in recipes if r in steps]


def base_of(config: EasyDict, recipe: str) -> str:
    """`student`, `warm`, `joint` or `csd`: what the named recipe is a variant of."""
    return config.lab.recipes[recipe]["recipe"]


def stored_width(config: EasyDict, recipe: str) -> float:
    """The student's width in the network that the recipe stores: 1.0 where that is the student."""
    return 1.0 if base_of(config, recipe) in ("student", "warm") else config.train.widths[0]


def set_names(config: EasyDict) -> list[str]:
    """The names that eval.py gives the benchmark sets."""
    return [Path(name).name or Path(name).resolve().name for name in config.lab.sets]


def cell_config(config: EasyDict, cell: Cell, teacher: str, folder: Path) -> EasyDict:
    """The configuration that train.py gets for a cell."""
    made = EasyDict(plain(config))
    base = base_of(config, cell.recipe)
    _override(made, {k: v for k, v in config.lab.recipes[cell.recipe].items() if k != "recipe"})
    made.train.method = "student" if base == "warm" else base
    made.train.teacher = "none" if base == "student" else teacher
    made.train.seed = cell.seed
    made.optim.warmup = round(made.optim.warmup * cell.steps / config.lab.steps)
    return _run_config(made, cell.steps, folder)


def teacher_config(config: EasyDict, folder: Path) -> EasyDict:
    """The configuration that train.py gets for the teacher."""
    made = EasyDict(plain(config))
    _override(made, config.lab.teacher)
    made.train.method, made.train.teacher = "teacher", "none"
    return _run_config(made, config.lab.teacher_steps, folder)


def _override(config: EasyDict, values: Mapping[str, Any]) -> None:
    for dotted, value in values.items():
        section, name = dotted.split(".")
        config[section][name] = value


def _run_config(config: EasyDict, steps: int, folder: Path) -> EasyDict:
    config.train.steps_per_epoch = steps // config.train.epochs
    config.train.resume = True
    config.runtime.output_dir = str(folder)
    return config


def fingerprint(config: EasyDict, photographs: str, teacher: str) -> dict[str, Any]:
    """Everything that decides what a cell computes, as `section.key: value`.

    Args:
        photographs, teacher: digests of the training photographs and of the teacher's file ("" for
            a recipe without one).
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
    return {**values, "photographs": photographs, "teacher": teacher}


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


def digest_of_photographs(config: EasyDict) -> str:
    """A digest of the names and sizes in bytes of the photographs to train on.

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
    """Raise InputError for a laboratory that cannot be run, before anything is trained."""
    lab, train = config.lab, config.train
    if len(train.widths) != 1 or train.widths[0] >= 1.0:
        raise InputError(
            f"the laboratory compares students of one width below 1; train.widths is {train.widths}"
        )
    if not lab.seeds or not lab.fair or not lab.sets:
        empty = next(key for key in ("seeds", "fair", "sets") if not lab[key])
        raise InputError(f"lab.{empty} is empty")
    for key in ("steps", "teacher_steps"):
        if lab[key] % train.epochs:
            raise InputError(
                f"lab.{key} must be a multiple of train.epochs, which {lab[key]} is not of "
                f"{train.epochs}"
            )
    if TIME in lab.fair and lab.recipes.get(REFERENCE, {}).get("recipe") != REFERENCE:
        raise InputError(
            f"lab.fair=time takes the wall time of recipe {REFERENCE}, which lab.recipes lacks"
        )
    if train.teacher == "none":
        raise InputError(
            "the laboratory needs a teacher: give --teacher FILE, or leave it out to train one"
        )
    if not Path(lab.benchmark_dir).is_dir():
        raise InputError(f"no folder {lab.benchmark_dir} of benchmark sets; use --benchmark_dir")
    for name in lab.sets:
        for pair in benchmark_pairs(lab.benchmark_dir, name, config.model.scale, config.data.lr):
            check_pair(pair, config.model.scale)
