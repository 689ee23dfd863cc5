"""The window of losses that wait on the device."""

import numpy as np
import pytest

from csd.errors import WorkError
from csd.training.pending import MAX_SKIPPED, PendingLosses

UPDATED, SKIPPED, FALLING = 1.0, 0.0, -1.0


class Output:
    """A step's output on a device that counts how often it is asked."""

    def __init__(self, total, flag, reads):
        self.values, self.reads = np.array([total, 1, 2, 3, flag], np.float32), reads

    def asnumpy(self):
        self.reads.append(self.values[0])
        return self.values


@pytest.fixture
def window():
    """(pending losses of a run at step 7, sentences, steps given to the bar, reads)."""
    sentences, steps, reads = [], [], []
    return PendingLosses(7, sentences.append, steps.append), sentences, steps, reads


def test_steps_are_read_together_and_taken_once(window):
    losses, _, steps, reads = window
    for number in range(4):
        losses.add(Output(number, UPDATED, reads))
    assert reads == [] and not losses.full
    losses.read()
    assert reads == [0, 1, 2, 3] and steps == [4]
    losses.add(Output(4, UPDATED, reads))
    rows = losses.take()
    assert rows.shape == (5, 5) and rows.dtype == np.float32
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4] and steps == [4, 1]
    assert losses.take().shape == (0, 5)


def test_full_when_a_diverged_run_must_be_noticed(window):
    losses, _, _, reads = window
    for number in range(MAX_SKIPPED):
        assert not losses.full
        losses.add(Output(number, UPDATED, reads))
    assert losses.full
    losses.read()
    assert not losses.full


def test_skipped_steps_are_named_by_their_number(window):
    losses, sentences, _, reads = window
    for flag in (UPDATED, SKIPPED, FALLING):
        losses.add(Output(1, flag, reads))
    losses.read()
    assert not losses.updated
    assert sentences == [
        "step 9: loss or gradient is not finite, update skipped",
        "step 10: loss or gradient is not finite, update skipped; a smaller loss scale is tried "
        "next",
    ]
    losses.add(Output(1, UPDATED, reads))
    losses.read()
    assert losses.updated


def test_too_many_in_a_row_end_the_run(window):
    losses, _, _, reads = window
    for flag in [SKIPPED] * (MAX_SKIPPED - 1) + [UPDATED] + [SKIPPED] * MAX_SKIPPED:
        losses.add(Output(1, flag, reads))
    with pytest.raises(WorkError, match=f"10 steps in a row, up to step {7 + 20}, gave a loss"):
        losses.read()
