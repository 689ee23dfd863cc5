"""What a run records: a progress bar, metrics.csv, TensorBoard event files."""

import contextlib
import csv
import io
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from csd.errors import InputError
from csd.files import new_file, read_bytes, writing
from csd.training.step import LOSSES

_STEP = re.compile("[0-9]{1,19}")
COLUMNS = ("epoch", "step", "lr", *LOSSES, "images_per_second")


def val_column(width: float) -> str:
    """Column of the validation PSNR-Y of a width."""
    return f"val_psnr_{width}"


class RunLog:
    """Rows of a run to metrics.csv and to event files; rows behind `step` are forgotten first.

    Raises:
        WorkError: the files cannot be written.
    """

    def __init__(self, folder: Path, widths: Sequence[float], step: int):
        self.columns = [*COLUMNS, *(val_column(width) for width in widths)]
        self.path = folder / "metrics.csv"
        rows = [row for row in read_rows(self.path) if int(row["step"]) <= step]
        temporary = folder / ".metrics.csv.tmp"
        with writing(self.path):
            with io.TextIOWrapper(new_file(temporary), encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            temporary.replace(self.path)
            self.file = self.path.open("a", newline="", encoding="utf-8")
            self.writer = csv.DictWriter(self.file, self.columns)
            self.events = Events(folder / "events", step)

    def row(self, step: int, values: dict[str, float]) -> None:
        """Append a row; names of `values` are columns, absent ones stay empty."""
        with writing(self.path):
            self.writer.writerow({"step": step, **values})
            self.file.flush()
            self.events.add(step, {k: v for k, v in values.items() if k != "epoch"})

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk has been reported by now
            self.events.close()
        with contextlib.suppress(OSError):
            self.file.close()


class Events:
    """A TensorBoard event file, written in this thread.

    tensorboardX's SummaryWriter writes in a thread of its own, and waits for it forever once that
    thread has died of a full disk.
    """

    def __init__(self, folder: Path, step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder.mkdir(exist_ok=True)
        self.writer = EventsWriter(str(folder / "events"), f".{step}")
        if step:  # TensorBoard then forgets what the interrupted run logged from here on
            start = SessionLog(status=SessionLog.START)
            self.writer.write_event(Event(step=step + 1, session_log=start))
        self.writer.flush()

    def add(self, step: int, values: dict[str, float]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for name, value in values.items():
            event = Event(step=step, wall_time=time.time(), summary=scalar(name, value))
            self.writer.write_event(event)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a metrics.csv; a line without a step, or cut short by a crash, is left out."""
    if not path.is_file():
        return []
    text = read_bytes(path, "a metrics.csv").decode("utf-8", "replace")
    whole = text[: text.rfind("\n") + 1]
    try:
        rows = list(csv.DictReader(whole.splitlines()))
    except csv.Error as error:
        raise InputError(f"{path} is no metrics.csv of a run ({error}); remove it") from None
    return [
        row for row in rows if None not in row.values() and _STEP.fullmatch(row.get("step", ""))
    ]


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
