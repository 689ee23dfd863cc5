"""When a run validates, and which checkpoint is its best."""

import pytest
from easydict import EasyDict

from csd.training.validation import Validation


def _due(epochs, steps_per_epoch, every):
    train = EasyDict(epochs=epochs, steps_per_epoch=steps_per_epoch, validate_every=every)
    part = Validation.__new__(Validation)  # the images and graphs are not asked for
    return [n for n in range(1, epochs * steps_per_epoch + 1) if part.is_due(n, train)]


@pytest.mark.parametrize(
    ("epochs", "every", "steps"),
    [(3, 1, [4, 8, 12]), (4, 2, [8, 16]), (5, 3, [12, 20]), (1, 9, [4])],
)
def test_at_the_ends_of_epochs_and_of_the_run(epochs, every, steps):
    assert _due(epochs, 4, every) == steps


def test_students_decide_and_the_teacher_where_it_is_alone():
    assert Validation.mean_of_students({1.0: 40.0, 0.5: 31.0, 0.25: 29.0}) == 30.0
    assert Validation.mean_of_students({1.0: 40.0}) == 40.0
