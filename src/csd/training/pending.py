"""The steps whose losses are still on the device, and those that no row of metrics.csv has yet."""

from collections.abc import Callable

import mindspore as ms
import numpy as np

from csd.errors import WorkError

MAX_SKIPPED = 10  # steps in a row without a finite loss and gradient, after which a run stops


class PendingLosses:
    """A window of step outputs, read from the device together: a read stops it for its host.

    Args:
        step: steps done before the first that is added.
        warn: is given a sentence about each step that was skipped.
        advance: is given the number of steps read, each time.

    Attributes:
        updated: what the last step read did: whether it changed the weights.
    """

    def __init__(self, step: int, warn: Callable[[str], None], advance: Callable[[int], None]):
        self._step, self._warn, self._advance = step, warn, advance
        self._pending: list[ms.Tensor] = []
        self._rows: list[np.ndarray] = []
        self._skipped = 0  # in a row, at a loss scale that did not fall
        self.updated = True

    @property
    def full(self) -> bool:
        """Whether enough steps wait that a run which diverged must be noticed."""
        return len(self._pending) >= MAX_SKIPPED

    def add(self, output: ms.Tensor) -> None:
        """Keep what a step returned: float32 (5,), the losses and what became of the update."""
        self._pending.append(output)

    def read(self) -> None:
        """Take the waiting steps from the device.

        Raises WorkError where too many in a row were not finite.
        """
        rows = [output.asnumpy() for output in self._pending]
        self._pending = []
        self._rows.extend(rows)
        for row in rows:
            self._step += 1
            self._judge(row[-1])
        self._advance(len(rows))

    def take(self) -> np.ndarray:
        """The outputs since the last call, float32 (n, 5); reads those that wait."""
        self.read()
        rows, self._rows = self._rows, []
        return np.stack(rows) if rows else np.empty((0, 5), np.float32)

    def _judge(self, flag: float) -> None:
        """Count or forgive a step: 1.0 updated, 0.0 skipped, -1.0 skipped for its loss scale."""
        self.updated = flag > 0
        if self.updated:
            self._skipped = 0
            return
        then = "; a smaller loss scale is tried next" if flag < 0 else ""
        self._warn(f"step {self._step}: loss or gradient is not finite, update skipped{then}")
        if flag < 0:  # the scale may be all that is wrong: says nothing about the weights
            return
        self._skipped += 1
        if self._skipped >= MAX_SKIPPED:
            raise WorkError(
                f"{MAX_SKIPPED} steps in a row, up to step {self._step}, gave a loss or gradient "
                f"that is not finite; the last good checkpoint is kept: lower optim.lr or set "
                f"optim.clip_norm, then --resume --allow_changed"
            )
