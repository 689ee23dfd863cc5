"""The run folder: configuration, checkpoints, and what a resumed run finds there.

    config.yaml                 the effective configuration
    checkpoints/step_0000001000.ckpt   weights and everything that decides the next step; the last N
    last.ckpt                   the newest of them (a hard link)
    best.ckpt                   weights alone, at the best validation
    metrics.csv, events/        losses, learning rate, validation
"""  # fmt: skip

import contextlib
import fcntl
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import mindspore as ms
import numpy as np
from easydict import EasyDict

from csd.backbones import BACKBONES
from csd.checkpoints import (
    Checkpoint,
    load_checkpoint,
    load_csd_state,
    network_state,
    save_checkpoint,
)
from csd.config import plain, renamed
from csd.errors import InputError
from csd.files import lock_file, new_file, write_new, writing
from csd.nets import SlimmableSR
from csd.runtime import Runtime
from csd.settings import hyper_of

# Keys that may change between a run and its continuation without changing what it computes. The
# number of devices is none of them: the data continue behind the samples consumed.
_FREE = {
    ("runtime", "output_dir"),
    ("runtime", "distributed"),
    ("runtime", "data_sink"),
    ("runtime", "recompute"),
    ("runtime", "profile_steps"),
    ("data", "cache_dir"),
    ("data", "workers"),
    ("data", "val_images"),
    ("train", "validate_every"),
    ("train", "save_every"),
    ("train", "keep"),
    ("train", "log_every"),
    ("train", "resume"),
    ("train", "allow_changed"),
    ("train", "teacher"),  # its weights are in the checkpoint by now
    ("train", "student"),
}

# What a run that was killed while it wrote can leave behind.
_LEFTOVER = re.compile(
    r"\.((last\.ckpt|best\.ckpt(\.sha256)?|config\.yaml|metrics\.csv|writable)"
    r"|step_[0-9]{10,19}\.ckpt(\.sha256)?)\.tmp"
)


@dataclass
class Progress:
    """Where a run is: steps done, samples consumed by all ranks together, best validation."""

    step: int = 0
    samples: int = 0
    best_psnr: float = float("-inf")


def prepare_folder(config: EasyDict) -> IO:
    """Make the run folder writable and refuse to write over another run; rank 0 alone calls it.

    Returns:
        An open file whose lock keeps other runs out of the folder until it is closed.

    Raises:
        InputError: it cannot be written, another run is writing to it, or it holds checkpoints
            and --resume was not given.
    """
    folder = Path(config.runtime.output_dir)
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
        for part in (folder, folder / "checkpoints"):
            for file in part.iterdir():
                if _LEFTOVER.fullmatch(file.name) and not file.is_dir():
                    file.unlink()
        probe = folder / ".writable.tmp"
        write_new(probe, "")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to the output folder {folder}: {error.strerror or error}; choose "
            f"another with --output_dir"
        ) from None
    found = checkpoints(folder)
    if found and not config.train.resume:
        raise InputError(
            f"{folder} holds a run of {_step_of(found[-1])} steps; continue with --resume, or "
            f"choose another --output_dir"
        )
    return lock


def _lock(folder: Path) -> IO:
    lock = lock_file(folder / ".lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise InputError(
            f"another run is writing to {folder}, or still ending; wait for it, or choose another "
            f"--output_dir"
        ) from None
    except OSError:
        pass  # a file system without locks
    return lock


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a run folder, the oldest first.

    Exactly the names that a run writes, for all but the newest are deleted: `step_best.ckpt`, and
    whatever else lies there, is the user's.
    """
    files = (folder / "checkpoints").glob("step_*.ckpt")
    return sorted((file for file in files if _step_of(file) >= 0), key=_step_of)


def _checkpoint_name(step: int) -> str:
    return f"step_{step:010d}.ckpt"


def _step_of(path: Path) -> int:
    """The step in the name of a checkpoint, -1 for another name."""
    match = re.fullmatch(r"step_([0-9]{10,19})\.ckpt", path.name)
    return int(match[1]) if match and path.name == _checkpoint_name(int(match[1])) else -1


def newest_good(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies; damaged ones are logged and set aside.

    Raises:
        InputError: there are checkpoints, and none is whole.
    """
    found, damaged = checkpoints(folder), []
    for path in reversed(found):
        try:
            checkpoint = load_checkpoint(path)
            progress = checkpoint.meta.get("progress") or {}
            if not {"step", "samples", "best_psnr"} <= progress.keys():
                raise InputError(f"{path} holds weights alone, not the state of a run")
        except (InputError, MemoryError) as error:
            logging.getLogger(__name__).warning("skipping a damaged checkpoint: %s", error)
            damaged.append(path)
            continue
        for file in damaged:  # out of the way: it must not count as the newest of the last N
            with contextlib.suppress(OSError):
                file.replace(file.with_name(f"{file.name}.damaged"))
        return checkpoint
    if found:
        raise InputError(
            f"no checkpoint in {folder / 'checkpoints'} is whole; start afresh with another "
            f"--output_dir"
        )
    return None


def changed_keys(old: Mapping, config: EasyDict) -> list[str]:
    """`section.key: old -> new` of every key that decides what is computed and differs."""
    new = plain(config)
    changes = []
    if old.get("model"):
        old = {**old, "model": _complete(old["model"])}
    new["model"] = _complete(new["model"])
    for section in ("model", "data", "train", "optim", "loss", "runtime"):
        for key, value in new[section].items():
            before = old.get(section, {}).get(key, value)
            if before != value and (section, key) not in _FREE:
                changes.append(f"{section}.{key}: {before} -> {value}")
    return changes


def _complete(model: Mapping) -> dict:
    """A section `model` with the hyper-parameters of its backbone alone, defaults filled in."""
    shared = {key: model[key] for key in ("name", "scale", "init") if key in model}
    return {**shared, **(hyper_of(model) if model.get("name") in BACKBONES else {})}


def load_progress(
    checkpoint: Checkpoint, config: EasyDict, net: SlimmableSR, state: Mapping[str, ms.Parameter]
) -> Progress:
    """Put a checkpoint's weights and training state into place; where the run was.

    Raises:
        InputError: the configuration differs in a key that matters and --allow_changed is absent,
            or the checkpoint is of another network.
    """
    changes = changed_keys(renamed(checkpoint.meta.get("config", {})), config)
    if changes and not config.train.allow_changed:
        raise InputError(
            f"the configuration has changed since the checkpoint ({'; '.join(changes)}); undo "
            f"that, or add --allow_changed"
        )
    if "progress" not in checkpoint.meta:
        raise InputError("the checkpoint holds weights alone, not the state of a run")
    for name, parameter in net.parameters_and_names():
        if name in checkpoint.params:
            _check_kind(name, checkpoint.params[name], parameter)
    load_csd_state(net, checkpoint.params, "the checkpoint")
    for name, parameter in state.items():
        if name not in checkpoint.train_state:
            if config.train.allow_changed:
                continue  # another optimizer: it starts afresh
            raise InputError(f"the checkpoint has no {name}; add --allow_changed to resume without")
        value = checkpoint.train_state[name]
        _check_kind(name, value, parameter)
        parameter.set_data(ms.Tensor(value))
    where = checkpoint.meta["progress"]
    best = where["best_psnr"]
    return Progress(where["step"], where["samples"], float("-inf") if best is None else best)


def _check_kind(name: str, value: np.ndarray, parameter: ms.Parameter) -> None:
    """InputError unless an array of a checkpoint is of the parameter's shape and type.

    Another type would be converted on the way, and the run would not continue as it was.
    """
    expected = parameter.asnumpy()
    if (value.shape, value.dtype) != (expected.shape, expected.dtype):
        raise InputError(
            f"the checkpoint: tensor '{name}' should have shape {expected.shape} and type "
            f"{expected.dtype}, found {value.shape} and {value.dtype}; resume from one that the "
            "run itself wrote"
        )


def share_run(
    device: Runtime, net: SlimmableSR, state: Mapping[str, ms.Parameter], progress: Progress
) -> Progress:
    """Rank 0's weights, training state and progress, bit-exact, on every rank.

    So that only rank 0 needs the run folder, and the ranks cannot start from different weights.
    """
    if device.ranks == 1:
        return progress
    parameters = {**dict(net.parameters_and_names()), **state}
    where = np.array([progress.step, progress.samples, progress.best_psnr], np.float64)
    arrays = {name: parameter.asnumpy() for name, parameter in parameters.items()}
    received = device.broadcast({**arrays, "progress": where})
    where = received["progress"]
    if device.rank > 0:
        for name, parameter in parameters.items():
            parameter.set_data(ms.Tensor(received[name]))
    return Progress(int(where[0]), int(where[1]), float(where[2]))


def save_run(
    folder: Path,
    config: EasyDict,
    net: SlimmableSR,
    widths: list[float],
    state: Mapping[str, ms.Parameter],
    progress: Progress,
) -> None:
    """Write the checkpoint of this step, point last.ckpt at it, drop all but the newest N."""
    path = folder / "checkpoints" / _checkpoint_name(progress.step)
    train_state = {name: np.asarray(parameter.asnumpy()) for name, parameter in state.items()}
    save_checkpoint(path, network_state(net), _meta(config, net, widths, progress), train_state)
    _point(folder / "last.ckpt", path)
    for old in checkpoints(folder)[: -config.train.keep]:
        for file in (old, old.with_name(f"{old.name}.sha256")):
            file.unlink(missing_ok=True)


def save_best(
    folder: Path, config: EasyDict, net: SlimmableSR, widths: list[float], progress: Progress
) -> None:
    """Write best.ckpt: weights alone, for evaluation and export."""
    meta = _meta(config, net, widths, progress)
    save_checkpoint(folder / "best.ckpt", network_state(net), meta)


def _meta(config: EasyDict, net: SlimmableSR, widths: list[float], progress: Progress) -> dict:
    best = progress.best_psnr
    return {
        "model": net.describe(),
        "widths": widths,
        "method": config.train.method,
        "config": plain(config),
        "progress": {
            "step": progress.step,
            "samples": progress.samples,
            "epoch": progress.step // config.train.steps_per_epoch,
            "best_psnr": None if best == float("-inf") else best,
            # Order, crops, flips and negatives are functions of this and the two counters: there
            # is no other random state.
            "seed": config.train.seed,
        },
    }


def _point(link: Path, target: Path) -> None:
    """Make `link` another name of `target`; a copy where the file system has no hard links."""
    temporary = link.with_name(f".{link.name}.tmp")
    with writing(link):
        temporary.unlink(missing_ok=True)
        try:
            os.link(target, temporary)
        except OSError:
            with target.open("rb") as source, new_file(temporary) as copy:
                shutil.copyfileobj(source, copy)
        temporary.replace(link)
