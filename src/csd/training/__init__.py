"""The training step, the methods, and the loop around them; imported when first asked for.

So that the launcher, which only starts processes, does not load MindSpore.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csd.training.build import create_step
    from csd.training.schedule import LearningRate
    from csd.training.step import CSDTrainOneStep
    from csd.training.trainer import train

__all__ = ["CSDTrainOneStep", "LearningRate", "create_step", "train"]

_MODULES = {
    "CSDTrainOneStep": "step",
    "create_step": "build",
    "LearningRate": "schedule",
    "train": "trainer",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
