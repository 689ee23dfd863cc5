"""The learning rate as a function of the step, beside its formula in float64."""

import numpy as np
import pytest

from csd.config import defaults

ULP = 2.0**-23  # of float32


@pytest.fixture
def rates(mindspore_cpu):
    """Function: the learning rates at `steps` of a run; all of them where none are given."""
    from mindspore import Tensor, int32

    from csd.training import LearningRate

    def at(epochs, steps_per_epoch, steps=None, **optim):
        config = defaults().optim
        config.update({"lr": 1e-4, **optim})
        rate = LearningRate(config, epochs, steps_per_epoch)
        steps = range(epochs * steps_per_epoch) if steps is None else steps
        values = [rate(Tensor([step], int32)).asnumpy() for step in steps]
        assert all(value.dtype == np.float32 and value.shape == (1,) for value in values)
        return np.concatenate(values)

    return at


def formula(
    steps, epochs, steps_per_epoch, *, schedule, warmup, lr=1e-4, min_lr=0.0, decay=(200, 0.1)
):
    """What docs and help promise, float64; (1 + cos x)/2 as cos(x/2)^2, exact where it is small."""
    steps = np.asarray(steps)
    rate = np.full(len(steps), lr)
    if schedule == "step":
        rate = lr * decay[1] ** (steps // steps_per_epoch // decay[0])
    elif schedule == "cosine":
        total = epochs * steps_per_epoch
        falling = np.sin(np.pi / 2 * (total - steps) / total) ** 2
        rate = lr * falling + min_lr * np.sin(np.pi / 2 * steps / total) ** 2
    return rate * np.minimum(1.0, (steps + 1) / warmup) if warmup else rate


def test_paper_schedule(rates):
    decay = {"schedule": "step", "decay_epochs": 200, "decay_factor": 0.1}
    found = rates(400, 10, [0, 1999, 2000, 3999], **decay)
    np.testing.assert_allclose(found, [1e-4, 1e-4, 1e-5, 1e-5], rtol=2 * ULP)


def test_cosine_falls_from_lr_to_min_lr(rates):
    found = rates(2, 50, schedule="cosine", min_lr=1e-6)
    assert found[0] == np.float32(1e-4)
    assert (np.diff(found) < 0).all()
    assert found[50] == pytest.approx((1e-4 + 1e-6) / 2, rel=1e-5)
    assert 1e-6 < found[-1] < 1.2e-6


def test_warmup_rises_to_the_schedule(rates):
    found = rates(1, 10, schedule="constant", warmup=4)
    np.testing.assert_allclose(found, 1e-4 * np.array([0.25, 0.5, 0.75, *[1.0] * 7]), rtol=2 * ULP)


LENGTHS = [(3, 7), (400, 1000), (500_000, 1000), (2**31 - 1, 1)]


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 5, 300_000_001])
@pytest.mark.parametrize(("epochs", "steps_per_epoch"), LENGTHS)
def test_every_step_has_the_rate_of_the_formula(rates, schedule, warmup, epochs, steps_per_epoch):
    """To rounding, at steps that float32 cannot count."""
    total = epochs * steps_per_epoch
    near = (0, 1, 4, total // 3, 400_000_000, 400_000_001, total - 2, total - 1)
    steps = sorted({step for step in near if 0 <= step < total})
    optim = {"schedule": schedule, "warmup": warmup}
    for decay, min_lr in (((200, 0.1), 0.0), ((1, 1 - 2e-9), 1e-3)):
        names = {"decay_epochs": decay[0], "decay_factor": decay[1]}
        found = rates(epochs, steps_per_epoch, steps, min_lr=min_lr, **names, **optim)
        exact = formula(steps, epochs, steps_per_epoch, min_lr=min_lr, decay=decay, **optim)
        # Behind some forty decays by 0.1 float32 holds no more than zero.
        np.testing.assert_allclose(found, exact, rtol=3 * ULP, atol=1e-37)


def test_neighbours_differ_where_float32_has_no_odd_numbers(rates):
    decay = {"schedule": "step", "decay_epochs": 400_000_001, "decay_factor": 0.5}
    found = rates(500_000_000, 1, [400_000_000, 400_000_001], **decay)
    assert found.tolist() == [np.float32(1e-4), np.float32(5e-5)]


def test_it_takes_the_memory_of_a_few_numbers(mindspore_cpu):
    from csd.training import LearningRate

    optim = defaults().optim
    for schedule, decay_epochs in (("step", 1), ("step", 200), ("cosine", 200)):
        optim.update(schedule=schedule, decay_epochs=decay_epochs, warmup=2**31 - 1)
        rate = LearningRate(optim, 2**31 - 1, 1)
        held = [value for value in vars(rate).values() if hasattr(value, "asnumpy")]
        assert not list(rate.get_parameters()) and sum(value.size for value in held) < 100_000


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
def test_what_is_logged_is_the_rate_of_the_last_update(mindspore_cpu, schedule):
    """Updates are counted, not steps: one that is skipped moves nothing."""
    import mindspore as ms
    from mindspore import nn

    from csd.training import LearningRate
    from csd.training.schedule import learning_rate

    optim = defaults().optim
    optim.update(lr=1.0, schedule=schedule, decay_epochs=1, warmup=2)
    weight = ms.Parameter(ms.Tensor([0.0], ms.float32), name="w")
    sgd = nn.SGD([weight], learning_rate=LearningRate(optim, 3, 2))
    before, logged = 0.0, []
    for _ in range(6):
        sgd((ms.Tensor([1.0], ms.float32),))
        after = float(weight.asnumpy()[0])
        logged.append(learning_rate(sgd))
        assert logged[-1] == pytest.approx(before - after, rel=1e-5)
        before = after
    np.testing.assert_allclose(
        logged, formula(range(6), 3, 2, schedule=schedule, warmup=2, lr=1.0, decay=(1, 0.1)),
        rtol=3 * ULP,
    )  # fmt: skip
