"""The comparison as a user meets it: from start to report, again, interrupted, killed, changed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = """
experiment:
  variants:
    warm: {method: warm}
    csd: {method: csd}
  seeds: [1]
  sets: [Tiny]
  jobs: 2
"""

pytestmark = pytest.mark.slow


def _command(sample_images, folder, *options, variants=VARIANTS):
    file = folder.parent / f"{folder.name}.yaml"
    file.write_text(variants)
    return [
        sys.executable, "-m", "experiments.compare", "--config", file, "--smoke", "--scale=2",
        f"--data_dir={sample_images / 'photos'}", f"--benchmark_dir={sample_images / 'bench'}",
        f"--cache_dir={sample_images / 'cache'}", f"--output_dir={folder}", "--device_target=CPU",
        *options,
    ]  # fmt: skip


def _run(command, code=0):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def experiment(sample_images):
    """A finished experiment, its command, and what it said."""
    folder = sample_images / "out"
    command = _command(sample_images, folder)
    return folder, command, _run(command)


def _finished(folder):
    return {str(f.parent.relative_to(folder)): f.stat().st_mtime_ns
            for f in folder.glob("runs/*/*/*/metrics.json")}  # fmt: skip


def test_from_start_to_report(experiment):
    folder, _, output = experiment
    assert "[3/3]" in output and "that was the last" in output and "left, until" in output
    results = json.loads((folder / "results.json").read_text())
    runs = {(c["budget"], c["variant"], c["seed"]): c for c in results["runs"]}
    assert sorted(runs) == sorted(
        (budget, variant, 1) for budget in ("steps", "time") for variant in ("warm", "csd")
    )  # fmt: skip
    for run in runs.values():
        assert set(run["sets"]["Tiny"]["images"]) == {"0", "1", "2"}
        assert run["ms_per_step"] > 0 and run["seconds_with_compilation"] > 0
        assert [step for step, _ in run["curve"]] == [run["steps"] // 2, run["steps"]]
    assert {c["steps"] for key, c in runs.items() if key[0] == "steps"} == {4}
    longer = runs["time", "warm", 1]["steps"]
    assert longer == results["calibration"]["steps"]["warm"] > 4
    assert runs["time", "csd", 1]["sets"] == runs["steps", "csd", 1]["sets"]
    assert runs["steps", "warm", 1]["parameters"] == runs["steps", "csd", 1]["parameters"]
    assert runs["steps", "warm", 1]["sets"] != runs["time", "warm", 1]["sets"]
    for name in ("warm", "csd"):  # the student, not the full-width network, is what is scored
        assert results["teacher"]["parameters"] > 2 * runs["steps", name, 1]["parameters"]
    report = (folder / "report.md").read_text()
    assert "Equal steps, csd against warm: " in report and "python -m experiments.compare" in report
    assert "<svg" in (folder / "report.html").read_text()


def test_students_of_one_network_are_scored_apart(experiment, sample_images, tmp_path):
    both = VARIANTS.replace("warm: {method: warm}", "joint: {method: joint}")
    command = _command(
        sample_images, tmp_path / "both", "--train.widths=0.75,0.5", "--experiment.fair=time",
        f"--teacher={sample_images / 'out' / 'teacher' / 'last.ckpt'}", variants=both,
    )  # fmt: skip
    assert "[3/3]" in _run(command)
    results = json.loads((tmp_path / "both" / "results.json").read_text())
    names = {"Tiny, width 0.75", "Tiny, width 0.5"}
    assert [(run["budget"], run["variant"]) for run in results["runs"]] == [
        ("time", "joint"), ("time", "csd")
    ]  # fmt: skip
    assert results["runs"][0]["steps"] == results["calibration"]["steps"]["joint"]
    for run in results["runs"]:
        assert run["sets"].keys() == names
        assert len({score["psnr_y"] for score in run["sets"].values()}) == 2
    assert {row["set"] for row in results["comparisons"]} == names
    assert "student width 0.75 and 0.5" in (tmp_path / "both" / "report.md").read_text()


def test_finished_runs_are_not_trained_again(experiment):
    folder, command, _ = experiment
    before, numbers = _finished(folder), (folder / "calibration.json").read_text()
    output = _run(command)
    assert "2 of 2 runs are done" in output and "[" not in output
    assert _finished(folder) == before
    gone = "runs/steps/warm/seed1"
    score = json.loads((folder / gone / "metrics.json").read_text())["runs"][-1]["sets"]
    shutil.rmtree(folder / gone)
    output = _run(command)
    assert "[2/3] steps/warm/seed1" in output
    after = _finished(folder)
    assert after.pop(gone) != before.pop(gone)
    assert after == before
    assert (folder / "calibration.json").read_text() == numbers
    again = json.loads((folder / gone / "metrics.json").read_text())["runs"][-1]["sets"]
    assert again["Tiny"]["psnr_y"] == pytest.approx(score["Tiny"]["psnr_y"], abs=1e-3)


def test_what_has_changed_is_not_reused(experiment, sample_images):
    folder, command, _ = experiment
    before = _finished(folder)
    output = _run([*command, "--loss.contrast_weight=3", "--experiment.teacher_steps=4"], 2)
    assert "error: run steps/csd/seed1 was trained with other settings " in output
    assert "(loss.contrast_weight: 200.0 -> 3.0)" in output
    assert output.count("\n") == 1
    output = _run([*command, "--experiment.variant=warm"], 2)
    assert "unknown key experiment.variant; did you mean variants?" in output
    assert _finished(folder) == before


def test_a_failed_run_is_named_and_the_others_continue(experiment, sample_images, tmp_path):
    """Its checkpoints are damaged, all of them; another run only lacks its scores."""
    folder = tmp_path / "out"
    shutil.copytree(experiment[0], folder)
    bad, other = (folder / "runs" / "steps" / name / "seed1" for name in ("warm", "csd"))
    for run in (bad, other):
        (run / "metrics.json").unlink()
    for file in (bad / "checkpoints").glob("*.ckpt"):
        file.write_bytes(b"junk")
    output = _run(_command(sample_images, folder), 1)
    assert "steps/warm/seed1 FAILED: no checkpoint in" in output
    assert "] steps/csd/seed1: 4 steps, Tiny" in output
    assert "error: 1 of 3 runs failed: steps/warm/seed1" in output
    results = json.loads((folder / "results.json").read_text())
    there = {(c["budget"], c["variant"], c["seed"]) for c in results["runs"]}
    assert ("steps", "csd", 1) in there and ("steps", "warm", 1) not in there
    assert "Failed, and left out: steps/warm/seed1" in (folder / "report.md").read_text()


def _trained(folder):
    from csd.training.log import read_rows

    return len([row for row in read_rows(folder / "metrics.csv") if row["total"]])


def _until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.flaky(reruns=1)
def test_interrupted_and_killed_it_continues(experiment, sample_images, tmp_path):
    """One run through three lives: Ctrl-C, kill -9, to the end; its teacher was given."""
    folder = tmp_path / "out"
    variants = "experiment: {variants: {warm: warm}, seeds: [5], sets: [Tiny], fair: [steps]}\n"
    teacher = experiment[0] / "teacher" / "last.ckpt"
    command = _command(
        sample_images, folder, f"--teacher={teacher}", "--experiment.steps=1000",
        "--train.save_every=20",
        variants=variants,
    )  # fmt: skip
    run = folder / "runs" / "steps" / "warm" / "seed5"
    reached = 0
    for signum, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        with (tmp_path / "said.txt").open("w") as said:
            program = subprocess.Popen([str(p) for p in command], stdout=said, stderr=said)
        _until(lambda: _trained(run) > reached + 60, program)  # noqa: B023
        program.send_signal(signum)
        assert program.wait(60) == code
        if signum == signal.SIGINT:
            said = (tmp_path / "said.txt").read_text()
            assert "error: stopped; the same command resumes from here" in said
            assert "Traceback" not in said
        reached = _trained(run)
    # what the killed experiment had started ends by itself; until then the folder is taken
    end = time.monotonic() + 60
    while True:
        done = subprocess.run([str(p) for p in command], capture_output=True, text=True)
        if done.returncode != 2:
            break
        assert "another experiment works in" in done.stderr and time.monotonic() < end
        time.sleep(0.5)
    assert done.returncode == 0, done.stderr
    log = (run / "log.txt").read_text()
    starts = [line for line in log.splitlines() if line.startswith(("training: ", "resuming at"))]
    assert [line.split(":")[0].split(" at")[0] for line in starts] == [
        "training", "resuming", "resuming",
    ]  # fmt: skip
    assert not (folder / "teacher" / "last.ckpt").exists()
    (only,) = json.loads((folder / "results.json").read_text())["runs"]
    assert (only["seed"], only["steps"], len(only["curve"])) == (5, 1000, 2)
