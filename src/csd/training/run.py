"""Everything that a run consists of, built before its first step."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
from easydict import EasyDict

from csd import runtime as rt
from csd.data import Batches, CachedPairs, cache_pairs, find_pairs, train_dataset, window_dataset
from csd.errors import InputError
from csd.nets import SlimmableSR
from csd.training.build import (
    check_memory,
    check_settings,
    create_network,
    create_step,
    create_step_between,
    step_state,
    trained_widths,
)
from csd.training.folder import Progress, load_progress, newest_good, prepare_folder, share_run
from csd.training.profile import UNPROFILED, profiled
from csd.training.step import CSDTrainOneStep
from csd.training.validation import Validation

AT_ONCE = 10_000_000  # steps of one dataset, which keeps a list of them: 160 MB


@dataclass
class Run:
    """The parts of a run.

    Attributes:
        folder: the run folder; rank 0 alone writes to it.
        widths: the trained widths, the widest first.
        between: the step that leaves the contrastive loss out, where `loss.every` asks for one.
        state: what decides the next step beside the weights, by its name in a checkpoint.
        cached: the training images.
        progress: where the run is; the trainer moves it.
        validation: None where `train.validate_every` is 0.
    """

    config: EasyDict
    device: rt.Runtime
    folder: Path
    net: SlimmableSR
    widths: list[float]
    step: CSDTrainOneStep
    between: CSDTrainOneStep | None
    state: dict[str, ms.Parameter]
    cached: CachedPairs
    progress: Progress
    validation: Validation | None

    @property
    def main(self) -> bool:
        """Whether this is rank 0, which writes and prints."""
        return self.device.rank == 0

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.config.train.epochs * self.config.train.steps_per_epoch


def build_run(config: EasyDict, held: contextlib.ExitStack) -> Run:
    """Check the settings, find the images, prepare device and folder, and load what was saved.

    Args:
        held: is given the lock of the run folder.

    Raises:
        InputError: wrong settings or input, before anything is written over.
    """
    check_settings(config)
    pairs = _find_data(config)
    if not config.runtime.distributed:
        held.enter_context(prepare_folder(config))  # errors before MindSpore is loaded
    device = rt.setup(
        config.runtime.device_target,
        seed=config.train.seed,
        distributed=config.runtime.distributed,
        jit_level=config.runtime.jit_level,
        precision_mode=config.runtime.precision_mode,
    )
    config.runtime.device_target = device.device_target  # what `auto` was
    check_memory(config, rt.device_memory(device.device_target))
    main = device.rank == 0
    if config.runtime.distributed and main:
        held.enter_context(prepare_folder(config))
    sinks(config)
    scale, cache = config.model.scale, config.data.cache_dir or None
    checkpoint = _checkpoint(config) if main and config.train.resume else None
    cached = cache_pairs(
        pairs["train"], scale, cache, role="train", lr_patch=config.data.lr_patch, progress=main
    )
    net, widths = create_network(config, None if checkpoint else cached), trained_widths(config)
    step = create_step(config, net, device)
    state, between = step_state(step), create_step_between(config, step)
    progress = load_progress(checkpoint, config, net, state) if checkpoint else Progress()
    progress = share_run(device, net, state, progress)
    validation = None
    if config.train.validate_every:
        validation = Validation(net, widths, pairs["val"], scale, cache, device)
    folder = Path(config.runtime.output_dir)
    return Run(
        config, device, folder, net, widths, step, between, state, cached, progress, validation
    )


def _find_data(config: EasyDict) -> dict[str, list]:
    """Images to train on and to validate with; errors come before MindSpore is loaded."""
    data, scale = config.data, config.model.scale
    val_dir = data.val_dir or None
    found = {
        split: find_pairs(data.data_dir, scale, data.layout, split, val_dir, data.lr)
        for split in ("train", "val")
        if split == "train" or config.train.validate_every
    }
    return {**found, "val": found.get("val", [])[: data.val_images]}


def _checkpoint(config: EasyDict):
    folder = config.runtime.output_dir
    checkpoint = newest_good(Path(folder))
    if checkpoint is None:
        print(
            f"no checkpoint in {folder} to continue from: starting with the first step", flush=True
        )
    return checkpoint


def sinks(config: EasyDict) -> bool:
    """Whether batches are queued on the device (`runtime.device_target`), which a CPU cannot.

    On Ascend only with jit_level O2, whose graph engine runs the step, queue included, as one
    graph on the device. At the other levels the host launches every kernel and is there to
    hand over the batch. Nor with loss.every above 1: the queue hands over whole batches.
    """
    wanted, target = config.runtime.data_sink, config.runtime.device_target
    if wanted == "true" and target == "CPU":
        raise InputError("runtime.data_sink=true: the CPU has no sink; leave it at default")
    sparse = config.train.method == "csd" and config.loss.every > 1
    if wanted == "true" and sparse:
        raise InputError("loss.every above 1 needs runtime.data_sink=false, or default")
    if wanted != "default" or sparse:
        return wanted == "true"
    return target == "GPU" or (target == "Ascend" and config.runtime.jit_level == "O2")


def step_outputs(run: Run) -> Iterator[ms.Tensor]:
    """Run the steps that are left; what each returns, float32 (5,), still on the device.

    Some of them are watched by the profiler of rank 0 (`runtime.profile_steps`).
    """
    watched = run.main and run.total - run.progress.step > UNPROFILED
    steps = run.config.runtime.profile_steps if watched else 0
    return profiled(_steps(run), run.folder / "profile", steps)


def _steps(run: Run) -> Iterator[ms.Tensor]:
    # Each dataset continues where the trainer counts that the last one has ended, as resuming does.
    while left := run.total - run.progress.step:
        yield from _some_steps(run, min(left, AT_ONCE))


def _some_steps(run: Run, steps: int) -> Iterator[ms.Tensor]:
    dataset, first, every = _batches(run, steps), run.progress.step, run.config.loss.every
    try:
        if sinks(run.config):
            sink = ms.data_sink(run.step, dataset)
            for _ in range(steps):
                yield sink()
        else:
            batches = dataset.create_tuple_iterator(num_epochs=1, do_copy=False)
            for number, batch in enumerate(batches, first):
                if run.between and number % every:
                    yield run.between(*batch[:2])
                else:
                    yield run.step(*batch)
    except RuntimeError:
        if run.cached.failure is None:
            raise
        raise run.cached.failure from None


def _batches(run: Run, steps: int):
    """The dataset of the next steps."""
    train, data, loss, done = run.config.train, run.config.data, run.config.loss, run.progress
    csd = train.method == "csd"
    batches = Batches(
        lr_patch=data.lr_patch,
        batch_size=train.batch_size,
        seed=train.seed,
        negatives=loss.negatives if csd else 0,
        augment=data.augment,
    )
    dataset = train_dataset(
        run.cached,
        batches,
        steps=steps,
        start_step=done.step,
        start_samples=done.samples,
        rank=run.device.rank,
        ranks=run.device.ranks,
        workers=data.workers,
    )
    if not (csd and loss.crop):
        return dataset
    windows = window_dataset(
        data.lr_patch * run.config.model.scale,
        loss.crop,
        steps=steps,
        seed=train.seed,
        start_step=done.step,
        rank=run.device.rank,
    )
    return ms.dataset.zip((dataset, windows))
