"""A run from its configuration to its last checkpoint."""

import contextlib
from pathlib import Path

from easydict import EasyDict

from csd import runtime as rt
from csd.training.interrupt import Interrupted, StopRequest, StopVote
from csd.training.pending import PendingLosses
from csd.training.policy import CheckpointPolicy
from csd.training.report import RunReport
from csd.training.run import Run, build_run, step_outputs
from csd.training.validation import Validation


def train(config: EasyDict) -> Path:
    """Train as the configuration says and return the run folder.

    Of several processes every one calls this; rank 0 alone writes to the run folder.

    Raises:
        InputError: wrong settings or input, before anything is trained or written over.
        WorkError: the run diverged, its folder could not be written, or a process was lost.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    if config.runtime.distributed and rt.is_scheduler():
        rt.setup(distributed=True)
        return Path(config.runtime.output_dir)
    with StopRequest() as stop, contextlib.ExitStack() as held:
        run = build_run(config, held)
        if run.progress.step >= run.total:
            last = f"nothing to do: {run.folder} holds all {run.total} steps"
        else:
            stop.arm()
            _train(run, stop)
            files = (run.folder / name for name in ("best.ckpt", "last.ckpt", "metrics.csv"))
            last = f"done: {', '.join(str(file) for file in files if file.is_file())}"
        if run.main:
            print(last, flush=True)
        return run.folder


def _train(run: Run, stop: StopRequest) -> None:
    """All the steps that are left."""
    train, progress, validation = run.config.train, run.progress, run.validation
    checkpoint, vote = CheckpointPolicy(run), StopVote(run.device, progress.step)
    with RunReport(run) as report:
        losses = PendingLosses(progress.step, report.write, report.advance)
        for output in step_outputs(run):
            losses.add(output)
            progress.step += 1
            progress.samples += train.batch_size * run.device.ranks
            checkpoint.after_step()
            signum = vote.signum(progress.step, stop)

            if checkpoint.due or signum or progress.step % train.log_every == 0:
                report.losses(losses.take())
            elif losses.full:
                losses.read()

            if validation and validation.is_due(progress.step, train):
                if signum:  # a second signal must not lose the step
                    checkpoint.save()
                with checkpoint.saving_on_failure():
                    _validate(run, validation, report, checkpoint)

            if signum or progress.step == run.total or (checkpoint.due and losses.updated):
                checkpoint.save()
            if signum:
                _stop(run, signum)


def _validate(
    run: Run, validation: Validation, report: RunReport, checkpoint: CheckpointPolicy
) -> None:
    """PSNR-Y of every width; best.ckpt where the students' mean is at its best."""
    scores = validation.run()
    mean = validation.mean_of_students(scores)
    better = mean > run.progress.best_psnr
    if better:
        run.progress.best_psnr = mean
    report.validation(scores)
    if better:
        checkpoint.save_best()
    report.restart_clock()


def _stop(run: Run, signum: int) -> None:
    # The launcher ends all processes when the first one ends: not before the state is safe.
    run.device.barrier()
    raise Interrupted(
        f"stopped at step {run.progress.step} of {run.total}; the state is saved in "
        f"{run.folder}, continue with --resume",
        signum,
    )
