"""What a run tells: a progress bar, metrics.csv, TensorBoard event files."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from csd.errors import WorkError
from csd.training.step import LOSSES

COLUMNS = ("epoch", "step", "lr", *LOSSES, "images_per_second")


def val_column(width: float) -> str:
    """Column of the validation PSNR-Y of a width."""
    return f"val_psnr_{width}"


class RunLog:
    """Rows of a run to metrics.csv and to event files; rows behind `step` are forgotten first."""

    def __init__(self, folder: Path, widths: Sequence[float], step: int):
        from tensorboardX import SummaryWriter

        self.columns = [*COLUMNS, *(val_column(width) for width in widths)]
        self.path = folder / "metrics.csv"
        rows = [row for row in read_rows(self.path) if int(row["step"]) <= step]
        temporary = folder / ".metrics.csv.tmp"
        try:
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            temporary.replace(self.path)
            self.file = self.path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise WorkError(f"cannot write {self.path}: {error.strerror}") from None
        self.writer = csv.DictWriter(self.file, self.columns)
        self.events = SummaryWriter(str(folder / "events"), purge_step=step + 1 if step else None)

    def row(self, step: int, values: dict[str, float]) -> None:
        """Append a row; names of `values` are columns, absent ones stay empty."""
        try:
            self.writer.writerow({"step": step, **values})
            self.file.flush()
            for name, value in values.items():
                if name != "epoch":
                    self.events.add_scalar(name, value, step)
            self.events.flush()
        except OSError as error:
            raise WorkError(f"cannot write {self.path}: {error.strerror}") from None

    def close(self) -> None:
        self.file.close()
        self.events.close()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a metrics.csv; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def progress_bar(total: int, done: int, title: str, quiet: bool):
    """Steps done, speed and time to go; a line every 30 s where the output is not a terminal."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=title,
        unit="step",
        disable=quiet,
        mininterval=0.5 if terminal else 30.0,
        maxinterval=0.5 if terminal else 30.0,
        smoothing=0.05,
        dynamic_ncols=terminal,
    )
