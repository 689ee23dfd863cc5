"""A run from its configuration to its last checkpoint."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict

from csd import runtime as rt
from csd.data import find_pairs, open_store, train_dataset
from csd.errors import InputError, WorkError
from csd.training.build import (
    check_settings,
    create_network,
    create_step,
    step_state,
    trained_widths,
)
from csd.training.folder import (
    Progress,
    newest_good,
    prepare_folder,
    restore_run,
    save_best,
    save_config,
    save_run,
    share_run,
)
from csd.training.interrupt import Interrupted, StopRequest, StopVote
from csd.training.log import RunLog, progress_bar, val_column
from csd.training.profile import UNPROFILED, profiled
from csd.training.schedule import learning_rates
from csd.training.step import LOSSES
from csd.training.validation import Validation

MAX_SKIPPED = 10  # steps in a row without a finite loss and gradient, after which a run stops


def train(config: EasyDict) -> Path:
    """Train as the configuration says and return the run folder.

    Of several processes every one calls this; rank 0 alone writes to the run folder.

    Raises:
        InputError: wrong settings or input, before anything is trained or written over.
        WorkError: the run diverged, its folder could not be written, or a process was lost.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    if config.runtime.distributed and rt.is_scheduler():
        rt.setup(distributed=True)
        return Path(config.runtime.output_dir)
    with StopRequest() as stop, contextlib.ExitStack() as held:
        return _train(config, stop, held)


def _train(config: EasyDict, stop: StopRequest, held: contextlib.ExitStack) -> Path:
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
    run = _Run(config, device)
    if config.runtime.distributed and run.main:
        held.enter_context(prepare_folder(config))
    run.build(pairs)
    if run.progress.step >= run.total:
        run.say(f"nothing to do: {run.folder} holds all {run.total} steps")
        return run.folder
    stop.arm()
    run.go(stop)
    files = (run.folder / name for name in ("best.ckpt", "last.ckpt", "metrics.csv"))
    run.say(f"done: {', '.join(str(file) for file in files if file.is_file())}")
    return run.folder


def _find_data(config: EasyDict) -> dict[str, list]:
    """Photographs to train on and to validate with; errors come before MindSpore is loaded."""
    data, scale = config.data, config.model.scale
    val_dir = data.val_dir or None
    found = {
        split: find_pairs(data.data_dir, scale, data.layout, split, val_dir, data.lr)
        for split in ("train", "val")
        if split == "train" or config.train.validate_every
    }
    return {**found, "val": found.get("val", [])[: data.val_images]}


class _Run:
    """The loop's state and its parts, so that each part is one short method."""

    def __init__(self, config: EasyDict, device: rt.Runtime):
        self.config, self.device = config, device
        self.folder = Path(config.runtime.output_dir)
        self.main = device.rank == 0
        self.total = config.train.epochs * config.train.steps_per_epoch
        self.pending: list[ms.Tensor] = []  # outputs of steps not read back from the device yet
        self.rows: list[np.ndarray] = []  # those read back, not in metrics.csv yet
        self.skipped = 0  # steps in a row that were not finite, at a loss scale that did not fall
        self.updated = True  # what the last step read back did to the weights
        self.owed = False  # a checkpoint is due
        self.log = None

    def say(self, text: str) -> None:
        if self.main:
            print(text, flush=True)

    def build(self, pairs: dict[str, list]) -> None:
        """Photographs, network and step, and what a resumed run left."""
        config = self.config
        scale, patch = config.model.scale, config.data.lr_patch
        self.sinking = self.sinks()
        checkpoint = newest_good(self.folder) if self.main and config.train.resume else None
        self.net = create_network(config)
        self.widths = trained_widths(config)
        cache = config.data.cache_dir or None
        self.store = open_store(
            pairs["train"], scale, cache, role="train", lr_patch=patch, progress=self.main
        )
        self.step = create_step(config, self.net, self.device)
        self.state = step_state(self.step)
        progress = Progress()
        if checkpoint:
            progress = restore_run(checkpoint, config, self.net, self.state)
        elif self.main and config.train.resume:
            self.say(f"no checkpoint in {self.folder} to go on from: starting with the first step")
        self.progress = share_run(self.device, self.net, self.state, progress)
        self.validation = None
        if config.train.validate_every:
            self.validation = Validation(
                self.net, self.widths, pairs["val"], scale, cache, self.device
            )

    def announce(self) -> None:
        train, step = self.config.train, self.progress.step
        what = ", ".join(f"{key} {value}" for key, value in self.net.describe().items())
        self.say(
            f"{f'resuming at step {step}' if step else 'training'}: method {train.method}; {what}; "
            f"{len(self.store)} photographs; {train.epochs} epochs of "
            f"{train.steps_per_epoch} steps; {self.device.ranks} x {self.device.device_target}; "
            f"into {self.folder}"
        )

    def go(self, stop: StopRequest) -> None:
        """All the steps that are left."""
        train = self.config.train
        self.rates = learning_rates(self.config.optim, train.epochs, train.steps_per_epoch)
        self.vote = StopVote(self.device, self.progress.step)
        if self.main:
            save_config(self.folder, self.config)
            self.log = RunLog(self.folder, self.widths, self.progress.step)
        self.announce()
        title = f"{train.method} x{self.config.model.scale}"
        self.bar = progress_bar(self.total, self.progress.step, title, not self.main)
        self.since = time.perf_counter()
        try:
            for output in self.profiled_outputs():
                self.after_step(output, stop)
        finally:
            self.bar.close()
            if self.log:
                self.log.close()

    def outputs(self) -> Iterator[ms.Tensor]:
        """Run step after step; what each returns."""
        train, data = self.config.train, self.config.data
        dataset = train_dataset(
            self.store,
            lr_patch=data.lr_patch,
            batch_size=train.batch_size,
            steps=self.total - self.progress.step,
            seed=train.seed,
            start_step=self.progress.step,
            start_samples=self.progress.samples,
            rank=self.device.rank,
            ranks=self.device.ranks,
            negatives=self.config.loss.negatives if train.method == "csd" else 0,
            augment=data.augment,
            workers=data.workers,
        )
        try:
            if self.sinking:
                sink = ms.data_sink(self.step, dataset)
                for _ in range(self.total - self.progress.step):
                    yield sink()
            else:
                for batch in dataset.create_tuple_iterator(num_epochs=1, do_copy=False):
                    yield self.step(*batch)
        except RuntimeError:
            if self.store.failure is None:
                raise
            raise self.store.failure from None

    def profiled_outputs(self) -> Iterator[ms.Tensor]:
        """The same, some of them watched by the profiler of rank 0."""
        left = self.total - self.progress.step
        watched = self.main and left > UNPROFILED
        steps = self.config.runtime.profile_steps if watched else 0
        return profiled(self.outputs(), self.folder / "profile", steps)

    def sinks(self) -> bool:
        """Whether batches are queued on the device, which the CPU backend cannot.

        On Ascend only with jit_level O2, whose graph engine runs the step, queue included, as one
        graph on the device. At the other levels the host launches every kernel and is there to
        hand over the batch.
        """
        wanted, target = self.config.runtime.data_sink, self.device.device_target
        if wanted == "true" and target == "CPU":
            raise InputError("runtime.data_sink=true: the CPU has no sink; leave it at default")
        if wanted != "default":
            return wanted == "true"
        return target == "GPU" or (target == "Ascend" and self.config.runtime.jit_level == "O2")

    def after_step(self, output: ms.Tensor, stop: StopRequest) -> None:
        train, progress = self.config.train, self.progress
        self.pending.append(output)
        progress.step += 1
        progress.samples += train.batch_size * self.device.ranks
        ended = progress.step % train.steps_per_epoch == 0
        signum = self.vote.signum(progress.step, stop)
        last = progress.step == self.total
        if ended or (train.save_every and progress.step % train.save_every == 0):
            self.owed = True
        if self.owed or signum or progress.step % train.log_every == 0:
            self.report()
        elif len(self.pending) >= MAX_SKIPPED:
            self.read_back()
        if ended and self.validation and self.is_validation_due():
            if signum:  # who asks twice shall not lose the step
                self.save()
            self.validate_or_save()
        # While steps are skipped the weights may be what makes the loss explode: a checkpoint of
        # them would push out a good one.
        if signum or last or (self.owed and self.updated):
            self.save()
            self.owed = False
        if signum:
            # The launcher ends all processes when the first one ends: not before the state is safe.
            self.device.barrier()
            raise Interrupted(
                f"stopped at step {progress.step} of {self.total}; the state is saved in "
                f"{self.folder}, go on with --resume",
                signum,
            )

    def save(self) -> None:
        if not self.main:
            return
        save_run(self.folder, self.config, self.net, self.widths, self.state, self.progress)

    def is_validation_due(self) -> bool:
        epoch = self.progress.step // self.config.train.steps_per_epoch
        return epoch % self.config.train.validate_every == 0 or self.progress.step == self.total

    def read_back(self) -> None:
        """Take the pending steps from the device; too many non-finite ones end the run."""
        if not self.pending:
            return
        first = self.progress.step - len(self.pending) + 1
        rows = np.stack([output.asnumpy() for output in self.pending])
        self.pending = []
        self.rows.extend(rows)
        for step, flag in enumerate(rows[:, -1], first):
            self.judge(step, flag)
        if self.main:
            self.bar.update(len(rows))

    def judge(self, step: int, flag: float) -> None:
        """Count or forgive a step: 1.0 updated, 0.0 skipped, -1.0 skipped for its loss scale."""
        self.updated = flag > 0
        if self.updated:
            self.skipped = 0
            return
        if self.main:
            then = "; a smaller loss scale is tried next" if flag < 0 else ""
            self.bar.write(f"step {step}: loss or gradient is not finite, update skipped{then}")
        if flag < 0:  # the scale may be all that is wrong: says nothing about the weights
            return
        self.skipped += 1
        if self.skipped >= MAX_SKIPPED:
            raise WorkError(
                f"{MAX_SKIPPED} steps in a row, up to step {step}, gave a loss or gradient "
                f"that is not finite; the last good checkpoint is kept: lower optim.lr or set "
                f"optim.clip_norm, then --resume --allow_changed"
            )

    def report(self) -> None:
        """A row of the means of the steps since the last one, and the bar's numbers."""
        self.read_back()
        if not self.rows:
            return
        rows, self.rows = np.stack(self.rows), []
        seconds = time.perf_counter() - self.since
        self.since = time.perf_counter()
        if not self.main:
            return
        good = rows[rows[:, -1] > 0]
        losses = {
            name: float(value)
            for name, value in zip(LOSSES, good.mean(0), strict=False)  # the last is the flag
        } if len(good) else {}  # fmt: skip
        images = len(rows) * self.config.train.batch_size * self.device.ranks
        per_second = images / max(seconds, 1e-9)
        self.row({"lr": float(self.rates[self.progress.step - 1]), **losses,
                  "images_per_second": round(per_second, 2)})  # fmt: skip
        shown = {name: f"{value:.3f}" for name, value in losses.items() if value}
        self.bar.set_postfix({**shown, "img/s": f"{per_second:.1f}"}, refresh=False)

    def row(self, values: dict[str, float]) -> None:
        epoch = (self.progress.step - 1) // self.config.train.steps_per_epoch + 1
        self.log.row(self.progress.step, {"epoch": epoch, **values})

    def validate_or_save(self) -> None:
        """Validate; should that fail, not at the price of the steps since the last checkpoint."""
        try:
            self.validate()
        except BaseException:
            self.save()
            raise

    def validate(self) -> None:
        """PSNR-Y of every width; best.ckpt where the students' mean is at its best."""
        scores = self.validation.run()
        students = [score for width, score in scores.items() if width < 1.0] or [scores[1.0]]
        mean = sum(students) / len(students)
        better = mean > self.progress.best_psnr
        if better:
            self.progress.best_psnr = mean
        if self.main:
            self.row({val_column(width): score for width, score in scores.items()})
            words = ", ".join(f"width {w:g} {score:.3f} dB" for w, score in scores.items())
            self.bar.write(f"step {self.progress.step}: validation PSNR-Y: {words}")
            if better:
                save_best(self.folder, self.config, self.net, self.widths, self.progress)
        self.since = time.perf_counter()
