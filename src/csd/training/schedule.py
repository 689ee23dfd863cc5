"""The learning rate as a function of the step."""

import mindspore as ms
import numpy as np
from easydict import EasyDict
from mindspore import nn, ops

_FEW = 1 << 16  # powers of the decay in one table; beyond these they are products of two


class LearningRate(nn.learning_rate_schedule.LearningRateSchedule):
    """The learning rate of an update: int32 (1,), counted from 0 -> float32 (1,).

    `step`: lr * decay_factor^(epoch // decay_epochs), the paper's. `cosine`: from lr to min_lr.
    `constant`: lr. A warm-up multiplies the first updates by 1/n, 2/n, ... 1.

    It takes the memory of a few numbers, whatever the number of steps. These are counted in int32:
    float32 rounds 400,000,001.
    """

    def __init__(self, optim: EasyDict, epochs: int, steps_per_epoch: int):
        super().__init__()
        self.schedule, self.warmup = optim.schedule, optim.warmup
        self.lr, self.min_lr, self.total = optim.lr, optim.min_lr, epochs * steps_per_epoch
        self.angle = np.pi / 2 / self.total
        self.period = min(optim.decay_epochs * steps_per_epoch, self.total)
        decays = self.total // self.period + 1 if self.schedule == "step" else 1
        power = np.float64(optim.decay_factor)
        self.few = ms.Tensor(power ** np.arange(min(decays, _FEW)), ms.float32)
        self.many = ms.Tensor(self.lr * power ** np.arange(0, decays, _FEW), ms.float32)

    def construct(self, step):
        if self.schedule == "step":
            decays = step // self.period
            rate = ops.gather(self.many, decays // _FEW, 0) * ops.gather(self.few, decays % _FEW, 0)
        elif self.schedule == "cosine":  # cos^2 = (1 + cos)/2: no difference of equal numbers
            left, done = (ops.cast(n, ms.float32) for n in (self.total - step, step))
            rate = self.lr * ops.sin(self.angle * left) ** 2
            rate = rate + self.min_lr * ops.sin(self.angle * done) ** 2
        else:
            rate = self.many
        if self.warmup:
            rate = rate * ops.cast(ops.minimum(step + 1, self.warmup), ms.float32) / self.warmup
        return rate


def learning_rate(optimizer: nn.Optimizer) -> float:
    """That of the optimizer's last update, of its first one before there is any."""
    last = max(int(optimizer.global_step.asnumpy()[0]) - 1, 0)
    return float(optimizer.learning_rate(ms.Tensor([last], ms.int32)).asnumpy()[0])
