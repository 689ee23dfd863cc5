"""Benchmark results as files and tables: metrics.json, per_image.csv, metrics.md, console."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from csd.files import read_json, write_text
from csd.schema import anything, array, boolean, integer, mapping, number, optional, table, text

# PSNR-Y / SSIM-Y of CSD (arXiv 2105.11683), table 2: EDSR 32 x 256, x4, with self-ensemble.
_PAPER_SETS = ("Set5", "Set14", "B100", "Urban100")
_PAPER_MODEL = ("edsr", 4, 256, 32)
_PAPER = (
    ("paper: teacher, CSD", 1.0, (32.60, 28.91, 27.77, 26.79), (0.9000, 0.7893, 0.7430, 0.8063)),
    ("paper: 0.25 alone", 0.25, (32.23, 28.63, 27.60, 26.07), (0.8957, 0.7825, 0.7366, 0.7851)),
    ("paper: 0.25, CSD", 0.25, (32.34, 28.72, 27.68, 26.34), (0.8974, 0.7856, 0.7396, 0.7948)),
)
_PAPER_PARAMETERS = {1.0: "43.09 M", 0.25: "2.70 M"}


def _jsonable(value):
    """Infinite and undefined numbers as strings: JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(entry) for entry in value]
    return value


def write_metrics(output_dir: str | Path, metrics: dict) -> None:
    """Write what `evaluate` returned: metrics.json, per_image.csv and metrics.md (a table).

    metrics.json: {"model", "hyper", "scale", "ckpt", "runs": [{"width" (null: bicubic),
    "self_ensemble", "label", "parameters", "multiply_adds", "trained" (false: a width that the
    checkpoint can be cut to and that no training step has seen), "engine", "precision"
    ("float32", "int8"), "sets": {name:
    {"psnr_y" (dB), "ssim_y", "psnr_rgb" (dB), "ms_per_image", "images": {name: {"psnr_y",
    "ssim_y", "psnr_rgb", "ms"}}}}}]}; an infinite PSNR is the string "inf".
    """
    output_dir = Path(output_dir)
    text = json.dumps(_jsonable(metrics), indent=2, allow_nan=False, ensure_ascii=False)
    write_text(output_dir / "metrics.json", text + "\n")
    write_text(output_dir / "per_image.csv", _per_image_csv(metrics))
    write_text(output_dir / "metrics.md", markdown_table(metrics))


def _score(value: Any, where: str = "it") -> None:
    if value not in ("inf", "-inf", "nan"):
        number()(value, where)


_SCORES = {"psnr_y": _score, "ssim_y": _score}
_MORE = {"psnr_rgb": _score, "ms": optional(number(0)), "ms_per_image": optional(number(0))}
_SET = table({**_SCORES, "images": mapping(table(_SCORES, _MORE))}, _MORE)
_RUN = table(
    {
        "width": optional(number(0, 1)),
        "self_ensemble": boolean,
        "label": text(),
        "sets": mapping(_SET),
    },
    {
        "parameters": optional(number(0)),
        "multiply_adds": optional(number(0)),
        "trained": boolean,
        "precision": text(20),
    },
)
_METRICS = table(
    {"model": text(), "scale": integer(1, 16), "runs": array(_RUN, 1, 1000)},
    {"hyper": optional(mapping(anything)), "ckpt": optional(text(10_000))},
)


def _check_metrics(content: Any) -> None:
    _METRICS(content)
    sets = content["runs"][0]["sets"].keys()
    for place, run in enumerate(content["runs"]):
        if run["sets"].keys() != sets:
            raise ValueError(f"'runs[{place}].sets' must have the sets of the first run")


def read_metrics(path: str | Path) -> dict:
    """Read a metrics.json; "inf" becomes a number again.

    Raises InputError, naming the value, where it is not what `write_metrics` writes.
    """
    content = read_json(path, _check_metrics, "a metrics.json of eval.py", "run eval.py again")
    return _numbers(content)


def _numbers(value):
    if isinstance(value, dict):
        return {
            key: float(entry)
            if key in ("psnr_y", "ssim_y", "psnr_rgb") and isinstance(entry, str)
            else _numbers(entry)
            for key, entry in value.items()
        }
    return [_numbers(entry) for entry in value] if isinstance(value, list) else value


def _per_image_csv(metrics: dict) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    keys = ("psnr_y", "ssim_y", "psnr_rgb", "ms")
    writer.writerow(("set", "image", "method", "width", "self_ensemble", *keys))
    for run in metrics["runs"]:
        width = "" if run["width"] is None else run["width"]
        for set_name, result in run["sets"].items():
            for name, score in result["images"].items():
                values = (score.get(key, "") for key in keys)
                writer.writerow(
                    (set_name, name, run["label"], width, run["self_ensemble"], *values)
                )
    return file.getvalue()


def display_name(run: dict) -> str:
    """A run's name for people: `bicubic`, `width 0.25 int8`, with a plus sign for self-ensemble."""
    if run["width"] is None:
        return "bicubic"
    name = f"width {run['width']}"
    if run.get("precision", "float32") != "float32":
        name += f" {run['precision']}"
    name += "+" if run["self_ensemble"] else ""
    return name if run.get("trained", True) else f"{name} (not trained)"


def role_name(run: dict, runs: list[dict]) -> str:
    """`display_name` with `teacher` or `student` before it where `runs` hold several widths."""
    widths = {r["width"] for r in runs} - {None}
    if run["width"] is None or len(widths) < 2:
        return display_name(run)
    role = "teacher" if run["width"] == 1.0 else "student"
    return f"{role}, {display_name(run)}"


def _quantity(value: float | None) -> str:
    if value is None:
        return ""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= unit:
            return f"{value / unit:.2f} {name}"
    return str(value)


def mean_time(run: dict) -> float:
    """Milliseconds an image over all sets; nan where none was measured."""
    times = [i["ms"] for s in run["sets"].values() for i in s["images"].values() if "ms" in i]
    return sum(times) / len(times) if times else math.nan


def is_papers_model(metrics: dict) -> bool:
    """Whether the network is the one of the paper's main table."""
    hyper = metrics.get("hyper") or {}
    model = (metrics["model"], metrics["scale"], hyper.get("n_feats"), hyper.get("n_resblocks"))
    return model == _PAPER_MODEL


def table_rows(metrics: dict) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the benchmark's table.

    The paper's figures come last, where its model is ours and it has figures of one of the sets.
    """
    sets = list(metrics["runs"][0]["sets"])
    # RGB is DIV2K's convention; other sets are reported on Y.
    rgb = [name for name in sets if "div2k" in name.lower()]
    header = ["method", "parameters", "multiply-adds", *(f"{name} PSNR/SSIM" for name in sets)]
    header += [f"{name} RGB PSNR" for name in rgb] + ["ms per image"]
    rows = []
    for run in metrics["runs"]:
        results = run["sets"]
        row = [display_name(run), _quantity(run.get("parameters"))]
        row.append(_quantity(run.get("multiply_adds")))
        row += [f"{results[s]['psnr_y']:.2f}/{results[s]['ssim_y']:.4f}" for s in sets]
        row += [f"{results[s].get('psnr_rgb', math.nan):.2f}" for s in rgb]
        time = mean_time(run)
        row.append("" if math.isnan(time) else f"{time:.1f}")
        rows.append(row)
    if is_papers_model(metrics) and not set(sets).isdisjoint(_PAPER_SETS):
        for name, width, psnr, ssim in _PAPER:
            values = {s: f"{p:.2f}/{q:.4f}" for s, p, q in zip(_PAPER_SETS, psnr, ssim)}  # noqa: B905
            row = [f"{name}+", _PAPER_PARAMETERS[width], "", *(values.get(s, "") for s in sets)]
            rows.append(row + [""] * (len(header) - len(row)))
    return header, rows


def markdown_table(metrics: dict) -> str:
    """The table in Markdown, with a line above that says what was measured."""
    header, rows = table_rows(metrics)
    lines = [
        f"{metrics['model']} x{metrics['scale']}: PSNR (dB) and SSIM on Y; +: self-ensemble; "
        "multiply-adds for a 1280 x 720 output.",
        "",
        "| " + " | ".join(header) + " |",
        "|---" + "|---:" * (len(header) - 1) + "|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def console_table(metrics: dict) -> str:
    """The table for a terminal: columns aligned by spaces."""
    header, rows = table_rows(metrics)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (header, *rows)
    )
