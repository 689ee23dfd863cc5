"""When a run writes which checkpoint."""

import contextlib
from collections.abc import Iterator

from csd.training.folder import save_best, save_run
from csd.training.run import Run


class CheckpointPolicy:
    """A checkpoint every `train.save_every` steps and at each epoch's end; rank 0 alone writes.

    Attributes:
        due: whether one is to be written once the last step has changed the weights. While steps
            are skipped the weights may be what makes the loss explode: a checkpoint of them would
            push out a good one.
    """

    def __init__(self, run: Run):
        self._run = run
        self.due = False

    def after_step(self) -> None:
        """Note whether the step that `run.progress` names is one to save."""
        step, train = self._run.progress.step, self._run.config.train
        ended = step % train.steps_per_epoch == 0
        self.due |= ended or bool(train.save_every and step % train.save_every == 0)

    def save(self) -> None:
        """Write the checkpoint of this step, whether it is due or not."""
        self.due = False
        run = self._run
        if run.main:
            save_run(run.folder, run.config, run.net, run.widths, run.state, run.progress)

    def save_best(self) -> None:
        """Write best.ckpt."""
        run = self._run
        if run.main:
            save_best(run.folder, run.config, run.net, run.widths, run.progress)

    @contextlib.contextmanager
    def saving_on_failure(self) -> Iterator[None]:
        """What fails in here does not cost the steps since the last checkpoint."""
        try:
            yield
        except BaseException:
            self.save()
            raise
