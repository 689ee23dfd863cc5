"""Learning rates as data."""

import numpy as np
import pytest

from csd.config import defaults
from csd.training.schedule import learning_rates


def _rates(epochs, steps_per_epoch, **optim):
    config = defaults().optim
    config.update(lr=1e-4, **optim)
    return learning_rates(config, epochs, steps_per_epoch)


def test_paper_schedule():
    rates = _rates(400, 10, schedule="step", decay_epochs=200, decay_factor=0.1)
    assert rates.dtype == np.float32 and rates.shape == (4000,)
    np.testing.assert_allclose(rates[[0, 1999]], 1e-4, rtol=1e-6)
    np.testing.assert_allclose(rates[[2000, 3999]], 1e-5, rtol=1e-6)


def test_cosine_falls_from_lr_to_min_lr():
    rates = _rates(2, 50, schedule="cosine", min_lr=1e-6)
    assert rates[0] == np.float32(1e-4)
    assert (np.diff(rates) < 0).all()
    assert rates[50] == pytest.approx((1e-4 + 1e-6) / 2, rel=1e-5)
    assert 1e-6 < rates[-1] < 1.2e-6


def test_warmup_rises_to_the_schedule():
    rates = _rates(1, 10, schedule="constant", warmup=4)
    np.testing.assert_allclose(rates, 1e-4 * np.array([0.25, 0.5, 0.75, *[1.0] * 7]), rtol=1e-6)
