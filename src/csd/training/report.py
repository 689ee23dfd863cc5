"""What a run prints and logs: rank 0 speaks, the others are silent."""

import time

import numpy as np

from csd.config import save_yaml
from csd.training.log import RunLog, progress_bar, val_column
from csd.training.run import Run
from csd.training.schedule import learning_rate
from csd.training.step import LOSSES


class RunReport:
    """The progress bar, metrics.csv and the event files, open as long as the context lasts.

    Raises WorkError where the files cannot be written.
    """

    def __init__(self, run: Run):
        self._run = run
        train = run.config.train
        self._log = None
        if run.main:
            save_yaml(run.config, run.folder / "config.yaml")
            self._log = RunLog(run.folder, run.widths, run.progress.step)
        self._print(self._first_line())
        title = f"{train.method} x{run.config.model.scale}"
        self._bar = progress_bar(run.total, run.progress.step, title, not run.main)
        self._since = time.perf_counter()

    def __enter__(self) -> "RunReport":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._log:
            self._log.close()

    def _print(self, text: str) -> None:
        """Print a line where there is no bar yet or no longer."""
        if self._run.main:
            print(text, flush=True)

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        if self._run.main:
            self._bar.write(text)

    def advance(self, steps: int) -> None:
        """Move the bar."""
        if self._run.main and steps:
            self._bar.update(steps)

    def losses(self, rows: np.ndarray) -> None:
        """A row of the means of the steps since the last one, and the bar's numbers.

        `rows` is float32 (n, 5), of `PendingLosses.take`.
        """
        if not len(rows):
            return
        seconds = time.perf_counter() - self._since
        self._since = time.perf_counter()
        if not self._run.main:
            return
        good = rows[rows[:, -1] > 0]
        losses = {
            name: float(value)
            for name, value in zip(LOSSES, good.mean(0), strict=False)  # the last is the flag
        } if len(good) else {}  # fmt: skip
        images = len(rows) * self._run.config.train.batch_size * self._run.device.ranks
        per_second = images / max(seconds, 1e-9)
        rate = learning_rate(self._run.step.optimizer)
        self._row({"lr": rate, **losses, "images_per_second": round(per_second, 2)})
        shown = {name: f"{value:.3f}" for name, value in losses.items() if value}
        self._bar.set_postfix({**shown, "img/s": f"{per_second:.1f}"}, refresh=False)

    def validation(self, scores: dict[float, float]) -> None:
        """A row and a line of PSNR-Y by width; the time of a validation counts for no step."""
        self._row({val_column(width): score for width, score in scores.items()})
        words = ", ".join(f"width {w:g} {score:.3f} dB" for w, score in scores.items())
        self.write(f"step {self._run.progress.step}: validation PSNR-Y: {words}")

    def restart_clock(self) -> None:
        """What went before counts for no step."""
        self._since = time.perf_counter()

    def _row(self, values: dict[str, float]) -> None:
        if self._log:
            step = self._run.progress.step
            epoch = (step - 1) // self._run.config.train.steps_per_epoch + 1
            self._log.row(step, {"epoch": epoch, **values})

    def _first_line(self) -> str:
        run, train, step = self._run, self._run.config.train, self._run.progress.step
        what = ", ".join(f"{key} {value}" for key, value in run.net.describe().items())
        return (
            f"{f'resuming at step {step}' if step else 'training'}: method {train.method}; {what}; "
            f"{len(run.cached)} images; {train.epochs} epochs of {train.steps_per_epoch} steps; "
            f"{run.device.ranks} x {run.device.device_target}; into {run.folder}"
        )
