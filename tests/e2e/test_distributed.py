"""Several processes through scripts/run_distribute_train.sh: same numbers, clean ends."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from csd.checkpoints import load_checkpoint, network_state, save_checkpoint

pytestmark = pytest.mark.flaky(reruns=1)  # signals meet a busy machine's timing

SCRIPT = "scripts/run_distribute_train.sh"
LR, STEPS = 0.01, 5


def _processes(folder):
    """Process id -> environment of those whose command line names `folder`."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found[int(entry.name)] = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
    return found


def _worker(folder, rank):
    """The process id of a rank."""
    marks = {b"MS_ROLE=MS_WORKER", b"RANK_ID=%d" % rank}
    return next(pid for pid, env in _processes(folder).items() if marks <= set(env))


def _leftovers(folder):
    """Processes of the job that are still there; those just ended may take a moment."""
    end = time.monotonic() + 5
    while (left := _processes(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    return list(left)


def _settings(config_file, *extra):
    file, options = config_file
    return file, [*options, "--train.epochs=1", f"--train.steps_per_epoch={STEPS}",
                  "--train.keep=9", "--optim.name=sgd", f"--optim.lr={LR}", *extra]  # fmt: skip


@pytest.fixture
def teacher(mindspore_cpu, tmp_path):
    """A checkpoint that every run starts from, and its weights."""
    from csd.nets import create_model

    net = create_model("edsr", scale=2, n_feats=8, n_resblocks=1)
    file = tmp_path / "teacher.ckpt"
    save_checkpoint(file, network_state(net), {"model": net.describe(), "widths": [1.0]})
    return file, network_state(net)


def _weights(folder, first):
    """The weights before the first step and after every one."""
    names = (f"step_{step:010d}.ckpt" for step in range(1, STEPS + 1))
    return [first, *(load_checkpoint(folder / "checkpoints" / name).params for name in names)]


def _gradients(weights):
    """The averaged gradients of every step: what SGD took from the weights, over its rate."""
    return [
        {name: (before[name].astype(np.float64) - after[name]) / LR for name in before}
        for before, after in pairwise(weights)
    ]


def _assert_close(found, expected, weights):
    """Equal to 1e-5 of a tensor's largest gradient, and what its weights' last digit hides."""
    worst = 0.0
    for step, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.keys() == b.keys()
        for name in a:
            largest = np.abs(b[name]).max()
            hidden = np.spacing(np.abs(weights[step][name]).max()) / LR / largest
            error = np.abs(a[name] - b[name]).max() / largest
            worst = max(worst, error - 2 * hidden)
            assert error <= 1e-5 + 2 * hidden, (step, name, error, hidden)
    print(f"\nlargest relative error of an averaged gradient, behind that digit: {worst:.1e}")


LOSSES = ("total", "student", "teacher", "contrast")


@pytest.mark.slow
def test_joint_on_two_ranks_is_joint_on_one(config_file, teacher, launch, rows, tmp_path):
    file, options = _settings(config_file, "--method=joint", f"--teacher={teacher[0]}")
    two = launch(SCRIPT, "CPU", "2", file, *options)
    assert two.wait(200) == 0, two.output
    alone = tmp_path / "alone"
    one = launch(
        "scripts/run_standalone_train.sh", "CPU", file, *options,
        f"--output_dir={alone}", "--train.batch_size=8",
    )  # fmt: skip
    assert one.wait(200) == 0, one.output
    pair, single = rows(tmp_path / "run"), rows(alone)
    assert len(pair) == len(single) == STEPS
    for a, b in zip(pair, single, strict=True):
        for name in LOSSES:
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-5)
    weights, expected = (_weights(f, teacher[1]) for f in (tmp_path / "run", alone))
    _assert_close(_gradients(weights), _gradients(expected), weights)
    progress = load_checkpoint(tmp_path / "run" / "last.ckpt").meta["progress"]
    assert (progress["step"], progress["samples"]) == (STEPS, STEPS * 8)


@pytest.mark.slow
def test_csd_on_two_ranks_averages_two_half_batches(config_file, teacher, launch, rows, tmp_path):
    """Each rank draws its negatives from its own batch; one process takes both halves in turn."""
    import mindspore as ms
    from mindspore import nn

    from csd.config import load_config
    from csd.data import Batches, cache_pairs, find_pairs, sample_batch
    from csd.runtime import Runtime
    from csd.settings import TRAIN
    from csd.training.build import create_network, create_step

    file, options = _settings(
        config_file, "--method=csd", f"--teacher={teacher[0]}", "--loss.contrast_weight=2"
    )
    two = launch(SCRIPT, "CPU", "2", file, *options)
    assert two.wait(250) == 0, two.output

    config = load_config(TRAIN, ["--config", str(file), *options])
    net = create_network(config)
    step = create_step(config, net, Runtime("CPU"))

    class Gradients(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.step = step

        def construct(self, lr, hr, negatives):
            as_float = [x.astype(ms.float32) for x in (lr, hr, negatives)]
            return self.step.gradients(as_float[0], as_float[1], self.step.upscale(as_float[2]))

    gradients, losses, averaged = Gradients(), [], []
    pairs = find_pairs(config.data.data_dir, 2)
    cached = cache_pairs(pairs, 2, config.data.cache_dir, lr_patch=8, progress=False)
    names = [parameter.name for parameter in step.weights]
    weights = _weights(tmp_path / "run", teacher[1])
    for number in range(STEPS):
        # Every step from the run's own weights: rounding must not add up over the steps. Where it
        # turns the sign of an absolute difference, the next step's losses move by 1e-5.
        for parameter in step.weights:
            parameter.set_data(ms.Tensor(weights[number][parameter.name]))
        halves = []
        for rank in range(2):
            batches = Batches(lr_patch=8, batch_size=4, seed=1, negatives=2)
            batch = sample_batch(cached, batches, step=number, consumed=8 * number, rank=rank)
            halves.append(gradients(*(ms.Tensor(part) for part in batch)))
        losses.append(np.mean([half[0].asnumpy() for half in halves], axis=0))
        both = zip(*(half[1] for half in halves), strict=True)
        mean = [(a.asnumpy() + b.asnumpy()) / 2 for a, b in both]
        averaged.append(dict(zip(names, mean, strict=True)))
    found = rows(tmp_path / "run")
    assert len(found) == STEPS
    for row, expected in zip(found, losses, strict=True):
        assert [float(row[n]) for n in LOSSES] == pytest.approx(expected.tolist(), rel=1e-5)
    _assert_close(_gradients(weights), averaged, weights)


@pytest.mark.slow
def test_a_worker_dies_and_the_run_continues_with_two_and_with_one(
    config_file, launch, rows, tmp_path
):
    file, options = config_file
    folder = tmp_path / "run"
    here = tmp_path / "here"
    here.mkdir()

    def steps():
        return [int(row["step"]) for row in rows(folder)]

    # kill -9 of rank 1: the whole job ends within a minute and says who died.
    job = launch(SCRIPT, "CPU", "2", file, *options, cwd=here)
    job.until(lambda: len(steps()) > 3)
    start = time.monotonic()
    os.kill(_worker(folder, 1), signal.SIGKILL)
    assert job.wait(60) == 1
    print(f"\nended {time.monotonic() - start:.1f} s after kill -9")
    assert "error: rank 1 died of signal 9" in job.output
    assert _leftovers(folder) == []
    saved = load_checkpoint(folder / "last.ckpt").meta["progress"]
    assert saved["samples"] == 8 * saved["step"]

    # Two continue; SIGTERM stops both at the same step, with the state saved.
    job = launch(SCRIPT, "CPU", "2", file, *options, "--resume", cwd=here)
    job.until(lambda: "resuming at" in job.output and len(steps()) > saved["step"] + 2)
    assert f"resuming at step {saved['step']}:" in job.output and "2 x CPU" in job.output
    job.send(signal.SIGTERM)
    assert job.wait(60) == 143
    both = load_checkpoint(folder / "last.ckpt").meta["progress"]
    assert f"error: stopped at step {both['step']} of 1000000" in job.output
    assert both["samples"] == 8 * both["step"] and _leftovers(folder) == []

    # One continues behind the samples that two consumed.
    job = launch("scripts/run_standalone_train.sh", "CPU", file, *options, "--resume", cwd=here)
    job.until(lambda: "resuming at" in job.output and len(steps()) > both["step"] + 2)
    job.send(signal.SIGINT)
    assert job.wait(60) == 130
    end = load_checkpoint(folder / "last.ckpt").meta["progress"]
    assert end["samples"] == both["samples"] + 4 * (end["step"] - both["step"])
    assert steps() == list(range(1, end["step"] + 1))
    assert not list(here.iterdir())  # nothing was written beside the run folder
    logs = sorted(path.name for path in (folder / "logs").rglob("worker_*.log"))
    assert logs == ["worker_0.log", "worker_0.log", "worker_1.log", "worker_1.log"]


@pytest.fixture
def two(config_file, launch, rows, tmp_path, hang_up):
    """Two ranks that train, saving at the end alone; and the steps that are logged."""
    file, options = config_file

    def steps():
        return len(rows(tmp_path / "run"))

    job = launch(SCRIPT, "CPU", "2", file, *options, "--train.save_every=0")
    job.until(lambda: steps() > 3)
    return job, steps


@pytest.mark.slow
def test_a_job_without_its_scheduler_ends(two, tmp_path):
    """The workers stand still without it, and nothing else would notice."""
    job, _ = two
    marks = {b"MS_ROLE=MS_SCHED"}
    scheduler = next(p for p, env in _processes(tmp_path / "run").items() if marks <= set(env))
    start = time.monotonic()
    os.kill(scheduler, signal.SIGKILL)
    assert job.wait(60) == 1
    print(f"\nended {time.monotonic() - start:.1f} s after kill -9 of the scheduler")
    assert "error: the scheduler, which introduces the ranks to each other, has died" in job.output
    assert "Traceback" not in job.output.partition("error: the scheduler")[2]
    assert _leftovers(tmp_path / "run") == []


@pytest.mark.slow
def test_workers_without_their_launcher_save_and_end(two, tmp_path):
    job, steps = two
    job.send(signal.SIGKILL)
    job.process.wait()
    reached, end = steps(), time.monotonic() + 60
    while _processes(tmp_path / "run") and time.monotonic() < end:
        time.sleep(0.2)
    assert _leftovers(tmp_path / "run") == []
    saved = load_checkpoint(tmp_path / "run" / "last.ckpt").meta["progress"]
    assert saved["step"] >= reached and saved["samples"] == 8 * saved["step"]


@pytest.mark.slow
def test_hang_up_saves_and_a_second_one_hurries_nobody(two, tmp_path):
    job, steps = two
    reached = steps()
    job.send(signal.SIGHUP)
    time.sleep(0.1)
    job.send(signal.SIGHUP)
    assert job.wait(60) == 129
    saved = load_checkpoint(tmp_path / "run" / "last.ckpt").meta["progress"]
    assert saved["step"] >= reached and _leftovers(tmp_path / "run") == []
    assert f"error: stopped at step {saved['step']} of 1000000" in job.output


@pytest.mark.slow
def test_a_stopped_and_continued_rank_continues(two, tmp_path):
    """Ctrl-Z reaches the launcher alone; a rank is stopped by its process id."""
    job, steps = two
    for pid in (_worker(tmp_path / "run", 1), _worker(tmp_path / "run", 0), job.process.pid):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(pid, signal.SIGCONT)
        reached = steps()
        job.until(lambda reached=reached: steps() > reached + 20)
    job.send(signal.SIGINT)
    assert job.wait(60) == 130
    saved = load_checkpoint(tmp_path / "run" / "last.ckpt").meta["progress"]
    assert saved["samples"] == 8 * saved["step"] and _leftovers(tmp_path / "run") == []
