"""PSNR-Y of every trained width on the validation images, split over the ranks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from easydict import EasyDict

from csd.data import Pair, cache_pairs
from csd.evaluation import validate
from csd.inference import make_runner
from csd.nets import SlimmableSR
from csd.runtime import Runtime


class Validation:
    """Images decoded once, one compiled graph a width."""

    def __init__(
        self,
        net: SlimmableSR,
        widths: Sequence[float],
        pairs: Sequence[Pair],
        scale: int,
        cache_dir: str | Path | None,
        device: Runtime,
    ):
        self.net, self.pairs, self.scale, self.device = net, list(pairs), scale, device
        self.cached = cache_pairs(pairs, scale, cache_dir, role="val", progress=device.rank == 0)
        self.index = {pair.name: i for i, pair in enumerate(self.pairs)}
        self.runners = {width: make_runner(net, width) for width in widths}

    def is_due(self, step: int, train: EasyDict) -> bool:
        """Whether to validate after `step`: every `train.validate_every` epochs, and at the end."""
        epoch, rest = divmod(step, train.steps_per_epoch)
        return rest == 0 and (epoch % train.validate_every == 0 or epoch == train.epochs)

    @staticmethod
    def mean_of_students(scores: dict[float, float]) -> float:
        """What decides which checkpoint is the best; the teacher's where there is no student."""
        students = [score for width, score in scores.items() if width < 1.0] or [scores[1.0]]
        return sum(students) / len(students)

    def run(self) -> dict[float, float]:
        """Width -> mean PSNR-Y in dB over all ranks' images."""
        training = self.net.training
        self.net.set_train(False)
        scores = {}
        for width, runner in self.runners.items():
            part = validate(
                runner,
                self.pairs,
                self.scale,
                shard=(self.device.rank, self.device.ranks),
                load=self._load,
            )
            total, count = self.device.sum_over_ranks(part["psnr_y_sum"], float(part["count"]))
            scores[width] = total / count
        self.net.set_train(training)
        return scores

    def _load(self, pair: Pair, _scale: int) -> tuple[np.ndarray, np.ndarray]:
        i = self.index[pair.name]
        return self.cached.hr(i).transpose(1, 2, 0), self.cached.lr(i).transpose(1, 2, 0)
