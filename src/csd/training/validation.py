"""PSNR-Y of every trained width on the validation photographs, split over the ranks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csd.data import Pair, open_store
from csd.evaluation import validate
from csd.inference import make_runner
from csd.nets import SlimmableSR
from csd.runtime import Runtime


class Validation:
    """Photographs decoded once, one compiled graph a width."""

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
        self.store = open_store(pairs, scale, cache_dir, role="val", progress=device.rank == 0)
        self.index = {pair.name: i for i, pair in enumerate(self.pairs)}
        self.runners = {width: make_runner(net, width) for width in widths}

    def run(self) -> dict[float, float]:
        """Width -> mean PSNR-Y in dB over all ranks' photographs."""
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
        return self.store.hr(i).transpose(1, 2, 0), self.store.lr(i).transpose(1, 2, 0)
