"""The experiment from its configuration to its report.

    OUT/teacher/             run folder of the teacher that all runs start from, metrics.json
    OUT/runs/<budget>/<variant>/seed<N>/   the same of a run; run.json says what it must match
    OUT/calibration.json     milliseconds per step, and the steps of equal time
    OUT/results.json, report.md, report.html

A run is finished when its metrics.json is there. Everything else is made again from these files.
"""  # fmt: skip

import fcntl
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easydict import EasyDict

from csd.config import plain, save_yaml
from csd.errors import InputError, WorkError
from csd.evaluation.tables import read_metrics
from csd.files import lock_file, read_json, write_text
from csd.schema import anything, mapping
from experiments import calibration, plan
from experiments.plan import STEPS, TIME, Run
from experiments.processes import Job, last_error, run_jobs, shares, stop_on_signals
from experiments.results import collect, is_scored, write_results


@dataclass(frozen=True)
class Programs:
    """Commands that start train.py and eval.py, without their arguments."""

    train: Sequence[str]
    evaluate: Sequence[str]


def run_experiment(config: EasyDict, programs: Programs, command: str = "") -> Path:
    """Train, evaluate and compare what `config` says; resume where an earlier call stopped.

    Args:
        command: how the reader of the report can do the same; only printed there.

    Returns:
        The output folder.

    Raises:
        InputError: wrong settings, or an output folder of an experiment with other settings.
        WorkError: the teacher or some runs failed; all that could be done is done.
        Stopped: SIGINT or SIGTERM; nothing that was trained is lost.
    """
    plan.check_plan(config)
    _check_variants(config)
    with stop_on_signals(), _Experiment(config, programs, command) as experiment:
        experiment.teach()
        experiment.run(plan.step_runs(config))
        if TIME in config.experiment.fair:
            experiment.run(experiment.calibrated_runs())
        experiment.conclude()
    return experiment.folder


def _check_variants(config: EasyDict) -> None:
    """Raise, before hours of training, what train.py would raise in the midst of them."""
    from csd.checkpoints import read_vgg
    from csd.training.build import check_settings

    for variant in config.experiment.variants:
        made = plan.run_config(
            config, Run(STEPS, variant, 0, config.experiment.steps), "none", Path()
        )
        made.train.reorder = False  # the teacher may not be trained yet
        try:
            check_settings(made)
            if made.train.method == "csd" and made.loss.vgg != "random":
                read_vgg(made.loss.vgg)
        except InputError as error:
            raise InputError(f"variant {variant}: {error}") from None


class _Experiment:
    """The experiment's state, so that each of its stages is one short method."""

    def __init__(self, config: EasyDict, programs: Programs, command: str):
        self.config, self.programs, self.command = config, programs, command
        self.folder = Path(config.runtime.output_dir)
        self.images = plan.digest_of_images(config)
        self.failed: dict[str, str] = {}
        self.seconds: dict[tuple[str, str], list[float]] = {}  # (budget, variant): of whole runs
        self.parts = shares(config.experiment.jobs)
        self.done = 0
        experiment = config.experiment
        seeds, others = len(dict.fromkeys(experiment.seeds)), len(experiment.variants) - 1
        timed = seeds * others if TIME in experiment.fair else 0
        self.total = len(plan.step_runs(config)) + timed

    def __enter__(self) -> "_Experiment":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = lock_file(self.folder / ".lock")
        except OSError as error:
            raise InputError(
                f"cannot write to {self.folder}: {error.strerror or error}; choose another "
                f"--output_dir"
            ) from None
        try:  # the children hold it as well: what a killed experiment left must end first
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.lock.close()
            raise InputError(
                f"another experiment works in {self.folder}, or is still ending; wait for it, or "
                f"choose another --output_dir"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.close()

    def teach(self) -> None:
        """The teacher, unless one was given, and its scores."""
        given = self.config.train.teacher
        folder = self.folder / "teacher"
        made = plan.teacher_config(self.config, folder)
        digest = plan.digest_of_file(Path(given)) if given else ""
        self.match(folder, "teacher", plan.fingerprint(made, self.images, digest))
        self.teacher = Path(given) if given else folder / "last.ckpt"
        if not is_scored(self.config, folder):
            commands = [] if given else [self.train_command(folder, made)]
            commands.append(self.eval_command(folder, self.teacher, [1.0]))
            steps = self.config.experiment.teacher_steps
            log(f"teacher: evaluating {given}" if given else f"teacher: {steps} steps")
            job = Job("teacher", commands, folder / "log.txt")
            run_jobs([job], shares(1), self.teacher_ended, [self.lock.fileno()])
        self.teacher_digest = plan.digest_of_file(self.teacher)

    def teacher_ended(self, job: Job, code: int, seconds: float) -> None:
        if code:
            raise WorkError(f"the teacher failed: {last_error(job.log)} (all of it: {job.log})")
        log(f"teacher: done in {_duration(seconds)}")

    def run(self, runs: list[Run]) -> None:
        """Train and evaluate the runs that are not finished."""
        jobs = {}
        for run in runs:
            folder = self.run_folder(run)
            made = plan.run_config(self.config, run, str(self.teacher), folder)
            uses = made.train.teacher != "none"
            mark = plan.fingerprint(made, self.images, self.teacher_digest if uses else "")
            self.match(folder, f"run {run.name}", mark)
            widths = plan.stored_widths(self.config, run.variant)
            if is_scored(self.config, folder, len(widths)):
                self.done += 1
                continue
            commands = [
                self.train_command(folder, made),
                self.eval_command(folder, folder / "last.ckpt", widths),
            ]
            jobs[run.name] = (Job(run.name, commands, folder / "log.txt"), run)
        if runs and len(jobs) < len(runs):
            log(f"equal {runs[0].budget}: {len(runs) - len(jobs)} of {len(runs)} runs are done")
        self.waiting = {name: run for name, (_, run) in jobs.items()}
        queue = [job for job, _ in jobs.values()]
        run_jobs(queue, self.parts, self.run_ended, [self.lock.fileno()])

    def run_ended(self, job: Job, code: int, seconds: float) -> None:
        run = self.waiting.pop(job.name)
        self.done += 1
        if code:
            self.failed[run.name] = last_error(job.log)
            log(f"[{self.done}/{self.total}] {run.name} FAILED: {self.failed[run.name]} "
                f"(all of it: {job.log})")  # fmt: skip
            return
        self.seconds.setdefault((run.budget, run.variant), []).append(seconds)
        folder = self.run_folder(run)
        metrics = read_metrics(folder / "metrics.json")
        scores = ", ".join(
            f"{name} {result['psnr_y']:.2f} dB"
            for name, result in metrics["runs"][-1]["sets"].items()
        )
        log(f"[{self.done}/{self.total}] {run.name}: {run.steps} steps, {scores}, "
            f"{_duration(seconds)}; {self.outlook()}")  # fmt: skip
        self.write()

    def outlook(self) -> str:
        """How long the rest is expected to take, from the runs that ended in this call."""
        known = {key: sum(values) / len(values) for key, values in self.seconds.items()}
        mean = sum(known.values()) / len(known)
        reference = known.get((STEPS, plan.REFERENCE), mean)
        rest = [known.get((c.budget, c.variant), reference if c.budget == TIME else mean)
                for c in self.waiting.values()]  # fmt: skip
        rest += [reference] * max(0, self.total - self.done - len(self.waiting))
        left = sum(rest) / len(self.parts)
        end = time.strftime("%H:%M", time.localtime(time.time() + left))
        return f"about {_duration(left)} left, until {end}" if rest else "that was the last"

    def calibrated_runs(self) -> list[Run]:
        """The runs of equal time, once the runs of equal steps have shown how fast they are."""
        folders = {
            variant: [
                self.run_folder(run)
                for run in plan.step_runs(self.config)
                if run.variant == variant and run.name not in self.failed
            ]
            for variant in self.config.experiment.variants
        }
        table = calibration.calibrate(self.folder / "calibration.json", self.config, folders)
        for variant in self.config.experiment.variants:
            if variant not in table["steps"]:
                self.failed[f"{TIME}/{variant}"] = "its steps could not be timed"
        return plan.time_runs(self.config, table["steps"])

    def write(self) -> None:
        """Results and report of what is finished by now."""
        results = collect(self.config, self.folder, self.failed, self.command)
        write_results(self.folder, results)

    def conclude(self) -> None:
        """The last report; WorkError that names the runs that failed."""
        self.write()
        log(f"written: {self.folder / 'report.html'}, report.md, results.json")
        if self.failed:
            raise WorkError(
                f"{len(self.failed)} of {self.total} runs failed: {', '.join(self.failed)}; fix "
                f"what their log.txt says and give the same command"
            )

    def run_folder(self, run: Run) -> Path:
        return self.folder / "runs" / run.name

    def match(self, folder: Path, what: str, wanted: dict[str, Any]) -> None:
        """Write down what the folder's run is of, or see that it is that already."""
        file = folder / "run.json"
        if not file.is_file():
            if (folder / "checkpoints").is_dir() or (folder / "metrics.json").is_file():
                raise InputError(
                    f"{folder} holds a run of something else; choose another --output_dir"
                )
            write_text(file, json.dumps(wanted, indent=1) + "\n")
            return
        found = read_json(
            file, mapping(anything), "what an experiment wrote", f"remove {folder} to train again"
        )
        changes = ", ".join(plan.differences(found, wanted))
        if changes:
            raise InputError(
                f"{what} was trained with other settings ({changes}); undo that, choose another "
                f"--output_dir, or remove {folder}"
            )

    def train_command(self, folder: Path, config: EasyDict) -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        save_yaml(EasyDict(plain(config)), folder / "run.yaml")
        return [*self.programs.train, "--config", str(folder / "run.yaml")]

    def eval_command(self, folder: Path, ckpt: Path, widths: Sequence[float]) -> list[str]:
        config = self.config
        return [
            *self.programs.evaluate, f"--ckpt={ckpt}", f"--width={','.join(map(str, widths))}",
            f"--data_dir={config.experiment.benchmark_dir}",
            f"--sets={','.join(config.experiment.sets)}",
            f"--output_dir={folder}", f"--cache_dir={config.data.cache_dir}",
            f"--device_target={config.runtime.device_target}", f"--data.lr={config.data.lr}",
        ]  # fmt: skip


def log(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
