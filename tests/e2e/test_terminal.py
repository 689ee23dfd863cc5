"""A training and its terminal: stopped and continued, closed, left behind with nohup."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csd.checkpoints import load_checkpoint

pytestmark = pytest.mark.flaky(reruns=1)  # signals meet a busy machine's timing

ROOT = Path(__file__).resolve().parents[2]


def _saved(folder):
    return load_checkpoint(folder / "last.ckpt").meta["progress"]["step"]


def _command(config_file):
    file, options = config_file
    return ["train.py", "--config", file, "--device_target=CPU", *options, "--train.save_every=0"]


@pytest.mark.slow
def test_stopped_and_continued(config_file, launch, rows, tmp_path):
    """Ctrl-Z and `fg`, three times, before and while it trains: every step is there."""
    folder = tmp_path / "run"
    program = launch(*_command(config_file))
    for wanted in (0, 1, 40):
        program.until(lambda wanted=wanted: len(rows(folder)) >= wanted)
        program.send(signal.SIGSTOP)
        time.sleep(0.7)
        program.send(signal.SIGCONT)
    reached = len(rows(folder))
    program.until(lambda: len(rows(folder)) > reached + 40)
    program.send(signal.SIGINT)
    assert program.wait() == 130, program.output
    step = _saved(folder)
    assert [int(row["step"]) for row in rows(folder)] == list(range(1, step + 1))
    assert program.output.count("finishing the step and saving") == 1


@pytest.mark.slow
def test_closed_terminal_saves(config_file, rows, tmp_path, hang_up):
    """The terminal goes: the kernel sends SIGHUP, and every word that is written fails."""
    folder = tmp_path / "run"
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)

    def own_terminal():
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    command = [sys.executable, *map(str, _command(config_file))]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(theirs)
    try:
        deadline = time.monotonic() + 120
        while len(rows(folder)) < 5:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
            with contextlib.suppress(BlockingIOError):
                os.read(ours, 1 << 16)
        os.close(ours)
        assert process.wait(timeout=60) == 129
    finally:
        process.kill()
        process.wait()
    step = _saved(folder)
    assert step >= 5
    assert [int(row["step"]) for row in rows(folder)] == list(range(1, step + 1))


@pytest.mark.slow
def test_hang_up_twice_saves_and_under_nohup_nothing_ends(
    config_file, launch, rows, tmp_path, hang_up
):
    folder = tmp_path / "run"
    program = launch(*_command(config_file))
    program.until(lambda: len(rows(folder)) > 3)
    program.send(signal.SIGHUP)
    program.send(signal.SIGHUP)  # a shell and the kernel both send one
    assert program.wait() == 129, program.output
    step = _saved(folder)
    assert f"stopped at step {step} of 1000000; the state is saved in" in program.output

    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    program = launch(*_command(config_file), "--resume", preexec_fn=ignore)
    program.until(lambda: len(rows(folder)) > step + 3)
    program.send(signal.SIGHUP)
    reached = len(rows(folder))
    program.until(lambda: len(rows(folder)) > reached + 40)
    program.send(signal.SIGTERM)
    assert program.wait() == 143
    assert _saved(folder) > reached + 40
