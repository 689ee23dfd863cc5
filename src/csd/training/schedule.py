"""Learning rates as data: one float32 for every step of the run."""

import numpy as np
from easydict import EasyDict

from csd.errors import InputError

MAX_TABLE = 20_000_000  # the table is part of the optimizer: 80 MB


def learning_rates(optim: EasyDict, epochs: int, steps_per_epoch: int) -> np.ndarray:
    """The learning rate of every step, float32 (epochs * steps_per_epoch,).

    `step`: lr * decay_factor^(epoch // decay_epochs), the paper's. `cosine`: from lr to min_lr.
    `constant`: lr, which takes no memory. A warm-up multiplies the first steps by 1/n, 2/n, ... 1.

    Raises InputError for a table of more than MAX_TABLE steps.
    """
    if optim.schedule == "constant" and not optim.warmup:
        return np.broadcast_to(np.float32(optim.lr), epochs * steps_per_epoch)
    if epochs * steps_per_epoch > MAX_TABLE:
        raise InputError(
            f"train.epochs x train.steps_per_epoch is {epochs * steps_per_epoch} steps, at most "
            f"{MAX_TABLE} can have learning rates of their own; use optim.schedule=constant "
            "without optim.warmup, or fewer steps"
        )
    steps = np.arange(epochs * steps_per_epoch)
    if optim.schedule == "step":
        rates = optim.lr * optim.decay_factor ** (steps // steps_per_epoch // optim.decay_epochs)
    elif optim.schedule == "cosine":
        phase = steps / max(1, len(steps))
        rates = optim.min_lr + (optim.lr - optim.min_lr) * (1 + np.cos(np.pi * phase)) / 2
    else:
        rates = np.full(len(steps), optim.lr)
    if optim.warmup:
        rates = rates * np.minimum(1.0, (steps + 1) / optim.warmup)
    return rates.astype(np.float32)
