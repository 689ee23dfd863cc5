"""kill -9 at random moments of a run that saves every step: nothing but the last step is lost."""

import random
import signal
import time

import pytest

from csd.checkpoints import load_checkpoint
from csd.errors import InputError

pytestmark = pytest.mark.flaky(reruns=1)  # signals meet a busy machine's timing


def _newest(folder):
    """(step of the newest checkpoint, how many of all are damaged)."""
    steps, damaged = [0], 0
    for path in (folder / "checkpoints").glob("step_*.ckpt"):
        try:
            steps.append(load_checkpoint(path).meta["progress"]["step"])
        except InputError:
            damaged += 1
    return max(steps), damaged


def _until_trained(program, folder, rows, reached):
    """Until it has trained behind step `reached`; what was logged there is cut first."""
    program.until(lambda: ": method" in program.output and len(rows(folder)) > reached)


def _kill(times, seed, config_file, launch, rows, folder):
    file, options = config_file
    command = ["train.py", "--config", file, *options, "--device_target=CPU", "--resume"]
    moments = random.Random(seed)
    damaged, lost, reached = 0, 0, 0
    for number in range(times):
        program = launch(*command)
        if number % 5:  # each fifth is killed wherever it is, start-up included
            _until_trained(program, folder, rows, reached)
        time.sleep(moments.uniform(0, 1.5 if number % 5 else 8))
        program.send(signal.SIGKILL)
        program.wait()
        step, broken = _newest(folder)
        logged = max([int(row["step"]) for row in rows(folder)], default=0)
        damaged += broken
        lost = max(lost, logged - step)  # a row is written before its step is saved
        assert step >= reached, "a checkpoint went"
        if "resuming at" in program.output:
            assert f"resuming at step {reached}:" in program.output
        reached = step
    program = launch(*command)
    _until_trained(program, folder, rows, reached)
    program.send(signal.SIGTERM)
    assert program.wait() == 143
    assert f"resuming at step {reached}:" in program.output
    steps = [int(row["step"]) for row in rows(folder)]
    assert steps == list(range(1, len(steps) + 1))
    print(
        f"\n{times} kills over {reached} steps: {damaged} damaged checkpoints, at most {lost} "
        f"step(s) lost at each"
    )
    assert damaged == 0 and lost <= 1 and reached >= times - times // 5


@pytest.mark.slow
def test_four_kills(config_file, launch, rows, tmp_path):
    _kill(4, 1, config_file, launch, rows, tmp_path / "run")


@pytest.mark.nightly
def test_twenty_kills(config_file, launch, rows, tmp_path):
    _kill(20, 2, config_file, launch, rows, tmp_path / "run")
