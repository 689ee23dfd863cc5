"""The training step, the methods, and the loop around them."""

from csd.training.build import create_step
from csd.training.loop import train
from csd.training.schedule import learning_rates
from csd.training.step import CSDTrainOneStep

__all__ = ["CSDTrainOneStep", "create_step", "learning_rates", "train"]
