"""metrics.csv and event files, also behind a resumed, a killed or a full-disk run."""

import resource

import pytest

from csd.errors import InputError, WorkError
from csd.training.log import RunLog, read_rows

VALUES = {"epoch": 1, "lr": 1e-4, "total": 3.0, "student": 2.0, "teacher": 1.0, "contrast": 0.0}


def _log(folder, first, last, resumed=0):
    log = RunLog(folder, [1.0, 0.25], resumed)
    for step in range(first, last + 1):
        log.row(step, {**VALUES, "total": float(step), "images_per_second": 1.0})
    log.close()


def _steps(folder):
    return [int(row["step"]) for row in read_rows(folder / "metrics.csv")]


def test_rows_behind_the_checkpoint_are_forgotten(tmp_path):
    _log(tmp_path, 1, 5)
    _log(tmp_path, 4, 6, resumed=3)
    assert _steps(tmp_path) == [1, 2, 3, 4, 5, 6]
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[:3] == ["epoch", "step", "lr"] and header[-2:] == [
        "val_psnr_1.0",
        "val_psnr_0.25",
    ]


def test_a_line_cut_short_is_left_out(tmp_path):
    _log(tmp_path, 1, 3)
    file = tmp_path / "metrics.csv"
    file.write_text(file.read_text() + "1,4,0.0001,12.5")
    assert _steps(tmp_path) == [1, 2, 3]
    _log(tmp_path, 4, 4, resumed=3)
    assert _steps(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize("step", ["\u00b2", "9" * 5000, "-1", "1.5", "\0", ""])
def test_a_line_whose_step_was_changed_is_left_out(tmp_path, step):
    _log(tmp_path, 1, 2)
    file = tmp_path / "metrics.csv"
    file.write_text(f"{file.read_text()}1,{step}{',1' * (len(VALUES) + 2)}\n")
    _log(tmp_path, 3, 3, resumed=2)
    assert _steps(tmp_path) == [1, 2, 3]


def test_a_metrics_file_that_is_none_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_text(f"step,lr\n1,{'9' * (11 << 20)}\n")
    with pytest.raises(InputError, match=r"metrics.csv is no metrics.csv of a run \(field larger"):
        RunLog(tmp_path, [1.0], 1)


def test_tensorboard_shows_a_resumed_run_once(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _log(tmp_path, 1, 5)
    _log(tmp_path, 4, 6, resumed=3)
    events = accumulator.EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    found = events.Scalars("total")
    assert [(e.step, e.value) for e in found] == [(n, float(n)) for n in range(1, 7)]
    assert set(events.Tags()["scalars"]) == {*VALUES.keys(), "images_per_second"} - {"epoch"}


def test_full_disk_is_an_error_and_not_a_hang(tmp_path):
    log = RunLog(tmp_path, [1.0], 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(WorkError, match=r"cannot write .*metrics.csv: File too large"):
            for step in range(1, 200):
                log.row(step, VALUES)
        log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(read_rows(tmp_path / "metrics.csv")) > 5
