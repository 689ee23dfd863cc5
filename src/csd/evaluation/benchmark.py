"""Scores of methods on test sets: the benchmark of eval.py and the validation of training."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from csd.data import Pair, imresize_bicubic, imresize_pillow, load_pair, write_png
from csd.errors import InputError
from csd.evaluation.complexity import count_parameters, multiply_adds
from csd.evaluation.metrics import psnr_rgb, psnr_y, ssim_y
from csd.inference import ImageFile, Upscaler, upscale
from csd.inference.engines.base import Runner

Load = Callable[[Pair, int], tuple[np.ndarray, np.ndarray]]

_KERNELS = {"matlab": imresize_bicubic, "pillow": imresize_pillow}


@dataclass(frozen=True)
class Method:
    """One way to enlarge an image: `enlarge` turns LR uint8 (H, W, 3) into SR uint8 of scale x it.

    `width` is None for bicubic; `facts` go into the metrics as they are (parameters and so on).
    """

    width: float | None
    enlarge: Callable[[np.ndarray], np.ndarray]
    self_ensemble: bool = False
    facts: dict = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name in tables and of folders: `bicubic`, `width_0.25`, `width_0.25_int8_ensemble`."""
        if self.width is None:
            return "bicubic"
        precision = self.facts.get("precision", "float32")
        name = f"width_{self.width}" + (f"_{precision}" if precision != "float32" else "")
        return name + ("_ensemble" if self.self_ensemble else "")


def bicubic_method(scale: int, kernel: str = "matlab") -> Method:
    """Bicubic enlargement with MATLAB's or Pillow's kernel (`matlab`, `pillow`)."""
    if kernel not in _KERNELS:
        raise InputError(f"bicubic kernel {kernel!r} is unknown; use {' or '.join(_KERNELS)}")
    resize = _KERNELS[kernel]
    return Method(None, lambda lr: resize(lr, scale), facts={"bicubic_kernel": kernel})


def network_methods(
    upscaler: Upscaler, widths: Sequence[float], *, self_ensemble: bool = False
) -> list[Method]:
    """A network at each width, once or, with `self_ensemble`, also as the mean of eight.

    Each width is compiled once, on its first image. Widths that were not trained are marked in
    metrics and tables. Raises InputError for an impossible width.
    """
    methods = []
    for width in widths:
        at_width = upscaler.at_width(width)
        facts = {
            **_cost(at_width),
            "trained": width in upscaler.widths,
            "engine": upscaler.engine.name,
            "precision": upscaler.precision,
        }
        for ensemble in (False, True) if self_ensemble else (False,):
            enlarge = _enlarge(replace(at_width, self_ensemble=ensemble))
            methods.append(Method(width, enlarge, ensemble, facts))
    return methods


def _cost(upscaler: Upscaler) -> dict[str, int]:
    """Parameters and multiply-adds at the width in use."""
    from csd.nets import create_model

    net = create_model(**upscaler.model)
    share = upscaler.width if upscaler.at else 1.0  # an exported network is dense
    return {"parameters": count_parameters(net, share), "multiply_adds": multiply_adds(net, share)}


def _enlarge(upscaler: Upscaler) -> Callable[[np.ndarray], np.ndarray]:
    return lambda lr: upscaler.upscale_file(ImageFile(lr)).pixels


def _score(name: str, sr: np.ndarray, hr: np.ndarray, scale: int) -> dict[str, float]:
    try:
        return {"psnr_y": psnr_y(sr, hr, scale), "ssim_y": ssim_y(sr, hr, scale)}
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def validate(
    run: Runner,
    pairs: Sequence[Pair],
    scale: int,
    *,
    shard: tuple[int, int] = (0, 1),
    load: Load = load_pair,
) -> dict:
    """Mean PSNR-Y and SSIM-Y of a runner over images; what training calls between epochs.

    Args:
        run: as `make_runner` gives; it follows the weights while they are trained.
        pairs: the images, or whatever else `load(pair, scale)` turns into HR and LR, uint8
            (H, W, 3); each has a `name`.
        shard: (rank, ranks): this process takes every `ranks`-th image from `rank` on. The
            sums and the count let the processes add up theirs and divide.

    Returns:
        `psnr_y` (dB), `ssim_y` (means; nan where the shard is empty), `psnr_y_sum`, `ssim_y_sum`,
        `count`, and `images`: name -> {psnr_y, ssim_y}.
    """
    rank, ranks = shard
    images = {}
    for pair in pairs[rank::ranks]:
        hr, lr = load(pair, scale)
        images[pair.name] = _score(pair.name, upscale(run, lr, scale=scale), hr, scale)
    scores = {key: [s[key] for s in images.values()] for key in ("psnr_y", "ssim_y")}
    return {
        "psnr_y": _mean(scores["psnr_y"]),
        "ssim_y": _mean(scores["ssim_y"]),
        "psnr_y_sum": float(sum(scores["psnr_y"])),
        "ssim_y_sum": float(sum(scores["ssim_y"])),
        "count": len(images),
        "images": images,
    }


def evaluate(
    methods: Sequence[Method],
    sets: dict[str, Sequence[Pair]],
    scale: int,
    *,
    model: dict | None = None,
    ckpt: str | None = None,
    save_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict:
    """Score every method on every image of the sets.

    PSNR and SSIM on Y leave a border of `scale` pixels out, PSNR on RGB (DIV2K's convention) one of
    scale + 6; it is absent for images smaller than that. `ms` is the wall-clock time of a whole
    upscaling, the compilation excluded by a first, uncounted one.

    Args:
        model: name and hyper-parameters of the network, None for bicubic alone.
        save_dir: where to write `<Set>/<method>/<name>.png`, and the originals under `HR`.
        progress: called with the image's name before each.

    Returns:
        What metrics.json holds (see `csd.evaluation.write_metrics`).

    Raises:
        InputError: names the image that cannot be read or scored.
    """
    model = model or {"name": "bicubic"}
    runs: list[dict[str, Any]] = []
    for m in methods:
        names = {"width": m.width, "self_ensemble": m.self_ensemble, "label": m.label}
        runs.append({**names, **m.facts, "sets": {}})
    warm = set()
    for set_name, pairs in sets.items():
        for pair in pairs:
            if progress is not None:
                progress(f"{set_name} {pair.name}")
            hr, lr = load_pair(pair, scale)
            if save_dir is not None:
                write_png(save_dir / set_name / "HR" / f"{pair.name}.png", hr)
            for run, method in zip(runs, methods, strict=True):
                if method.width is not None and method.width not in warm:
                    method.enlarge(lr)  # compiles
                    warm.add(method.width)
                start = time.perf_counter()
                sr = method.enlarge(lr)
                seconds = time.perf_counter() - start
                score = _score(f"{set_name}/{pair.name}", sr, hr, scale)
                if min(hr.shape[:2]) > 2 * (scale + 6):
                    score["psnr_rgb"] = psnr_rgb(sr, hr, scale + 6)
                score["ms"] = round(1000.0 * seconds, 3)
                images = run["sets"].setdefault(set_name, {"images": {}})["images"]
                images[pair.name] = score
                if save_dir is not None:
                    write_png(save_dir / set_name / method.label / f"{pair.name}.png", sr)
    for run in runs:
        for result in run["sets"].values():
            _add_means(result)
    hyper = {key: value for key, value in model.items() if key not in ("name", "scale")}
    return {"model": model["name"], "hyper": hyper, "scale": scale, "ckpt": ckpt, "runs": runs}


def _add_means(result: dict) -> None:
    """Means over the images of a set, in front of them."""
    images = list(result.pop("images").items())
    for key in ("psnr_y", "ssim_y", "psnr_rgb", "ms"):
        values = [score[key] for _, score in images if key in score]
        if values:
            result["ms_per_image" if key == "ms" else key] = _mean(values)
    result["images"] = dict(images)
