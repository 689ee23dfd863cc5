"""What surrounds a run of the C++ program on a test set: its inputs, its scores."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csd.data import Pair, load_pair, write_png
from csd.data.images import read_image
from csd.errors import InputError, WorkError
from csd.evaluation import psnr_y, ssim_y
from csd.export.description import check_digest, description_of, read_description

# Ends the name of what converter_lite makes of a model: x.mindir -> x_ascend.mindir.
CONVERTED = "_ascend"


def model_files(path: str | Path, device: str) -> list[Path]:
    """The MINDIR files that `path` stands for: itself, or those of a folder that `device` takes.

    What `converter_lite` compiled (`x_ascend.mindir`) is for Ascend alone; there it replaces the
    model that it was made from (`x.mindir`).

    Args:
        path: a file or a folder.
        device: `Ascend` or `CPU`.

    Raises:
        InputError: there is none.
    """
    path = Path(path)
    files = sorted(path.glob("*.mindir")) if path.is_dir() else [path]
    if path.is_dir() and device == "Ascend":
        converted = {_source(file) for file in files if _is_converted(file)}
        files = [file for file in files if file not in converted]
    elif path.is_dir():
        files = [file for file in files if not _is_converted(file)]
    if not files or not files[0].is_file():
        raise InputError(
            f"no MINDIR at {path}; `python export.py --ckpt FILE --size 64x64` writes one"
        )
    return files


def describe(mindir: Path) -> dict:
    """The description that `export.py` wrote beside a MINDIR.

    A model that `converter_lite` compiled has that of the model it was made from, unless it has one
    of its own.

    Raises:
        InputError: it is missing or damaged, or the model is not the one that it describes.
    """
    if _is_converted(mindir) and not description_of(mindir).is_file():
        return read_description(_source(mindir))
    facts = read_description(mindir)
    check_digest(mindir, facts)
    return facts


def _is_converted(mindir: Path) -> bool:
    return mindir.stem.endswith(CONVERTED)


def _source(mindir: Path) -> Path:
    """`x.mindir` of `x_ascend.mindir`."""
    return mindir.with_name(mindir.stem.removesuffix(CONVERTED) + mindir.suffix)


def write_inputs(pairs: Sequence[Pair], scale: int, folder: Path) -> None:
    """Write the LR image of each pair as `folder/<name>.png`."""
    for pair in pairs:
        write_png(folder / f"{pair.name}.png", load_pair(pair, scale)[1])


def score_outputs(
    facts: dict, sets: dict[str, Sequence[Pair]], outputs: dict[str, Path], stats: dict[str, Path]
) -> dict:
    """Score images that were upscaled elsewhere; a row of `csd.evaluation`'s `runs`.

    Args:
        facts: of the model, see `describe`.
        sets: name -> pairs.
        outputs: name -> folder of `<pair name>.png`.
        stats: name -> the JSON file of times that `csd_infer` wrote.

    Raises:
        WorkError: an image is missing.
        InputError: an image has the wrong size.
    """
    row = {"width": facts["width"], "self_ensemble": False, "label": "csd_infer", "sets": {}}
    row["parameters"] = facts.get("parameters")
    for name, pairs in sets.items():
        spent = {
            Path(item["output"]).stem: item["inference_ms"]
            for item in json.loads(stats[name].read_text(encoding="utf-8"))["images"]
        }
        images = {}
        for pair in pairs:
            path = outputs[name] / f"{pair.name}.png"
            if not path.is_file():
                raise WorkError(f"{path} was not written; see the messages of csd_infer")
            hr, _ = load_pair(pair, facts["scale"])
            sr = read_image(path)
            images[pair.name] = {
                "psnr_y": psnr_y(sr, hr, facts["scale"]),
                "ssim_y": ssim_y(sr, hr, facts["scale"]),
                "ms": spent[pair.name],
            }
        means = {
            key: float(np.mean([i[key] for i in images.values()])) for key in ("psnr_y", "ssim_y")
        }
        row["sets"][name] = {**means, "images": images}
    return row
