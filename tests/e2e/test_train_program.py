"""train.py as a user meets it: interrupted, resumed, out of disk."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from csd.checkpoints import load_checkpoint

pytestmark = pytest.mark.flaky(reruns=1)  # signals meet a busy machine's timing
ROOT = Path(__file__).resolve().parents[2]


def _step(folder):
    return load_checkpoint(folder / "last.ckpt").meta["progress"]["step"]


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True], ids=["output", "output and errors"])
def test_reader_goes_away(config_file, rows, tmp_path, both):
    """`train.py | head -1`: the run continues to its end without printing, and saves."""
    file, options = config_file
    folder = tmp_path / "run"
    command = [sys.executable, ROOT / "train.py", "--config", file, "--device_target=CPU", *options,
               "--train.epochs=2", "--train.steps_per_epoch=3",
               "--train.validate_every=1"]  # fmt: skip
    read, write = os.pipe()
    errors = write if both else subprocess.DEVNULL
    program = subprocess.Popen([str(word) for word in command], stdout=write, stderr=errors)
    os.close(write)
    with os.fdopen(read) as reader:
        assert reader.readline()
    assert program.wait(120) == 0
    assert _step(folder) == 6
    assert [int(row["step"]) for row in rows(folder)] == list(range(1, 7))
    assert (folder / "best.ckpt").is_file()


@pytest.mark.slow
def test_terminated_then_interrupted_then_out_of_disk(config_file, launch, rows, tmp_path):
    """One run through three lives: SIGTERM, Ctrl-C, a full disk; nothing that was saved is lost."""
    file, options = config_file
    folder, command = tmp_path / "run", ["train.py", "--config", file, "--device_target=CPU"]
    here = tmp_path / "here"
    here.mkdir()
    lives = []
    for signum, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = len(lives) and lives[-1]
        program = launch(*command, *options, "--resume", cwd=here)
        program.until(lambda before=before: len(rows(folder)) > before + 3)
        program.send(signum)
        assert program.wait() == code
        step = _step(folder)
        assert f"error: stopped at step {step} of 1000000; the state is saved in" in program.output
        assert "Traceback" not in program.output
        assert [int(row["step"]) for row in rows(folder)] == list(range(1, step + 1))
        lives.append(step)
    assert lives[1] > lives[0] + 3
    assert f"resuming at step {lives[0]}:" in program.output

    # A limit below the size of a checkpoint stands for the disk that is full.
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    program = launch(*command, *options, "--resume", preexec_fn=limit)
    assert program.wait() == 1
    assert "error: cannot write " in program.output and "File too large" in program.output
    assert "Traceback" not in program.output
    assert _step(folder) == lives[1]
    assert not list(folder.rglob(".*.tmp"))  # no half-written file is left
    assert not list(here.iterdir())  # and nothing was written beside the run folder
