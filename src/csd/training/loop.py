"""A run from its configuration to its last checkpoint."""

import time
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict

from csd import runtime as rt
from csd.data import find_pairs, open_store, train_dataset
from csd.errors import WorkError
from csd.training.folder import (
    Progress,
    newest_good,
    prepare_folder,
    restore_run,
    save_best,
    save_config,
    save_run,
)
from csd.training.interrupt import Interrupted, StopRequest
from csd.training.log import RunLog, progress_bar, val_column
from csd.training.recipe import (
    check_recipe,
    create_network,
    create_step,
    step_state,
    trained_widths,
)
from csd.training.schedule import learning_rates
from csd.training.step import LOSSES
from csd.training.validation import Validation

MAX_SKIPPED = 10  # steps in a row without a finite loss and gradient, after which a run stops


def train(config: EasyDict) -> Path:
    """Train as the configuration says and return the run folder.

    Raises:
        InputError: wrong settings or input, before anything is trained or written over.
        WorkError: the run diverged, or its folder could not be written.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    check_recipe(config)
    pairs = _find_data(config)
    folder = prepare_folder(config)
    device = rt.setup(
        config.runtime.device_target,
        seed=config.train.seed,
        distributed=config.runtime.distributed,
        cache_dir=config.data.cache_dir,
    )
    scale, patch = config.model.scale, config.data.lr_patch
    checkpoint = newest_good(folder) if config.train.resume else None
    net = create_network(config)
    widths = trained_widths(config)
    cache, quiet = config.data.cache_dir or None, device.rank > 0
    store = open_store(
        pairs["train"], scale, cache, role="train", lr_patch=patch, progress=not quiet
    )
    step = create_step(config, net, device)
    state = step_state(step)
    progress = restore_run(checkpoint, config, net, state) if checkpoint else Progress()
    validation = None
    if config.train.validate_every:
        validation = Validation(net, widths, pairs["val"], scale, cache, device)
    if not quiet:
        save_config(folder, config)
    run = _Run(config, device, folder, net, widths, step, state, progress, validation)
    if not quiet:
        _announce(run, len(store), checkpoint is not None)
    with StopRequest() as stop:
        run.go(store, stop)
    return folder


def _find_data(config: EasyDict) -> dict[str, list]:
    """Photographs to train on and to validate with; errors come before MindSpore is loaded."""
    data, scale = config.data, config.model.scale
    val_dir = data.val_dir or None
    found = {
        split: find_pairs(data.data_dir, scale, data.layout, split, val_dir)
        for split in ("train", "val")
    }
    return {**found, "val": found["val"][: data.val_images]}


def _announce(run: "_Run", images: int, resumed: bool) -> None:
    train = run.config.train
    verb = f"resuming at step {run.progress.step}" if resumed else "training"
    what = ", ".join(f"{key} {value}" for key, value in run.net.describe().items())
    print(
        f"{verb}: recipe {train.recipe}; {what}; {images} photographs; {train.epochs} epochs of "
        f"{train.iterations} steps; {run.device.ranks} x {run.device.device_target}; into "
        f"{run.folder}",
        flush=True,
    )


class _Run:
    """The loop's state and its parts, so that each part is one short method."""

    def __init__(self, config, device, folder, net, widths, step, state, progress, validation):
        self.config, self.device, self.folder = config, device, folder
        self.net, self.widths, self.step, self.state = net, widths, step, state
        self.progress, self.validation = progress, validation
        train = config.train
        self.total = train.epochs * train.iterations
        self.rates = learning_rates(config.optim, train.epochs, train.iterations)
        self.main = device.rank == 0
        self.log = RunLog(folder, widths, progress.step) if self.main else None
        self.pending: list[ms.Tensor] = []  # outputs of steps not read back from the device yet
        self.since = time.perf_counter()
        self.skipped = 0

    def go(self, store, stop: StopRequest) -> None:
        """All the steps that are left."""
        title = f"{self.config.train.recipe} x{self.config.model.scale}"
        self.bar = progress_bar(self.total, self.progress.step, title, not self.main)
        try:
            if self.progress.step < self.total:
                for output in self.outputs(store):
                    self.after_step(output, stop)
        finally:
            self.bar.close()
            if self.main:
                self.log.close()

    def outputs(self, store) -> Iterator[ms.Tensor]:
        """Run step after step; what each returns."""
        train, data = self.config.train, self.config.data
        dataset = train_dataset(
            store,
            lr_patch=data.lr_patch,
            batch_size=train.batch_size,
            steps=self.total - self.progress.step,
            seed=train.seed,
            start_step=self.progress.step,
            start_samples=self.progress.samples,
            rank=self.device.rank,
            ranks=self.device.ranks,
            negatives=self.config.loss.negatives if train.recipe == "csd" else 0,
            augment=data.augment,
            workers=data.workers,
        )
        if self.sinks():
            sink = ms.data_sink(self.step, dataset)
            for _ in range(self.total - self.progress.step):
                yield sink()
        else:
            for batch in dataset.create_tuple_iterator(num_epochs=1, do_copy=False):
                yield self.step(*batch)

    def sinks(self) -> bool:
        """Whether batches are queued on the device, which the CPU backend cannot."""
        wanted = self.config.runtime.data_sink
        return self.device.device_target != "CPU" if wanted == "default" else wanted == "true"

    def after_step(self, output: ms.Tensor, stop: StopRequest) -> None:
        train, progress = self.config.train, self.progress
        self.pending.append(output)
        progress.step += 1
        progress.samples += train.batch_size * self.device.ranks
        ended = progress.step % train.iterations == 0
        due = progress.step % train.log_every == 0 or ended
        save = ended or (train.save_every and progress.step % train.save_every == 0)
        if due or save:
            self.flush()
        if ended and self.validation and self.is_validation_due():
            self.validate()
        # Ranks must stop at the same step: where there are several they agree on every log row.
        signum = stop.signum if self.device.ranks == 1 else 0
        if self.device.ranks > 1 and due:
            signum = int(self.device.max_over_ranks(float(stop.signum)))
        if save or signum:
            self.flush()
            if self.main:
                save_run(self.folder, self.config, self.net, self.widths, self.state, self.progress)
        if signum:
            raise Interrupted(
                f"stopped at step {progress.step} of {self.total}; the state is saved in "
                f"{self.folder}, go on with --resume",
                signum,
            )

    def is_validation_due(self) -> bool:
        epoch = self.progress.step // self.config.train.iterations
        return epoch % self.config.train.validate_every == 0 or self.progress.step == self.total

    def flush(self) -> None:
        """Read the pending steps back: a row of their means, a bar, and the non-finite ones."""
        if not self.pending:
            return
        rows = np.stack([output.asnumpy() for output in self.pending])
        count, self.pending = len(rows), []
        seconds = time.perf_counter() - self.since
        self.since = time.perf_counter()
        for updated in rows[:, -1] > 0:
            self.skipped = 0 if updated else self.skipped + 1
            if self.skipped >= MAX_SKIPPED:
                raise WorkError(
                    f"{MAX_SKIPPED} steps in a row, up to step {self.progress.step}, gave a loss "
                    f"or gradient that is not finite; the last good checkpoint is kept: lower "
                    f"optim.lr or set optim.clip_norm, then --resume --allow_changed"
                )
        if not self.main:
            return
        good = rows[rows[:, -1] > 0]
        losses = {
            name: float(value)
            for name, value in zip(LOSSES, good.mean(0), strict=False)  # the last is the flag
        } if len(good) else {}  # fmt: skip
        per_second = count * self.config.train.batch_size * self.device.ranks / max(seconds, 1e-9)
        self.row({"lr": float(self.rates[self.progress.step - 1]), **losses,
                  "images_per_second": round(per_second, 2)})  # fmt: skip
        self.bar.update(count)
        shown = {name: f"{value:.3f}" for name, value in losses.items() if value}
        self.bar.set_postfix({**shown, "img/s": f"{per_second:.1f}"}, refresh=False)

    def row(self, values: dict[str, float]) -> None:
        epoch = (self.progress.step - 1) // self.config.train.iterations + 1
        self.log.row(self.progress.step, {"epoch": epoch, **values})

    def validate(self) -> None:
        """PSNR-Y of every width; best.ckpt where the narrowest, the student, is at its best."""
        scores = self.validation.run()
        student = scores[min(self.widths)]
        better = student > self.progress.best_psnr
        if better:
            self.progress.best_psnr = student
        if self.main:
            self.row({val_column(width): score for width, score in scores.items()})
            words = ", ".join(f"width {w:g} {score:.3f} dB" for w, score in scores.items())
            self.bar.write(f"step {self.progress.step}: validation PSNR-Y: {words}")
            if better:
                save_best(self.folder, self.config, self.net, self.widths, self.progress)
        self.since = time.perf_counter()
