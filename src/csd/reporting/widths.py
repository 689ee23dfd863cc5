"""What the widths of one checkpoint cost and give: a curve of quality against speed and size."""

import math
from pathlib import Path

from csd.files import write_text
from csd.reporting.charts import Chart, Series, sheet

CURVE_FILE = "widths.svg"


def width_curve(metrics: dict) -> str:
    """An SVG file: for each set, PSNR-Y against milliseconds per image and against parameters.

    A line joins the trained widths, circles are widths that were not trained, a dashed line is
    bicubic. "" where the metrics (what `evaluate` returned) hold fewer than two widths.
    """
    runs = [run for run in metrics["runs"] if run["width"] is not None]
    if len({run["width"] for run in runs}) < 2:
        return ""
    panels = []
    for name in runs[0]["sets"]:
        level = [r["sets"][name]["psnr_y"] for r in metrics["runs"] if r["width"] is None]
        bicubic = [Series("bicubic", [(1.0, psnr)], level=True) for psnr in level[:1]]
        for x_label, cost in (
            (
                "milliseconds per image, measured here",
                lambda r, n=name: r["sets"][n].get("ms_per_image", math.nan),
            ),
            ("parameters", lambda r: r.get("parameters", math.nan)),
        ):
            series = [*_series(runs, name, cost), *bicubic]
            panels.append(Chart(series, name, x_label, "PSNR-Y, dB", log_x=True))
    title = f"{metrics['model']} x{metrics['scale']}: quality, speed and size of its widths"
    return sheet(panels, title)


def _series(runs: list[dict], set_name: str, cost) -> list[Series]:
    """Trained and other widths, each once plain and once with self-ensemble, where there are."""
    series = []
    for trained in (True, False):
        for ensemble in (False, True):
            chosen = [
                run
                for run in sorted(runs, key=lambda run: run["width"])
                if run.get("trained", True) == trained and run["self_ensemble"] == ensemble
            ]
            name = ("trained" if trained else "not trained") + ", self-ensemble" * ensemble
            points = [(cost(run), run["sets"][set_name]["psnr_y"]) for run in chosen]
            labels = [f"{run['width']:g}" for run in chosen]
            series.append(Series(name, points, hollow=not trained, labels=labels))
    return series


def write_width_curve(output_dir: str | Path, metrics: dict) -> bool:
    """Write widths.svg where there is a curve to draw, and say whether there is.

    One that an earlier evaluation left there goes: it would show other numbers than metrics.json.
    Raises WorkError where it cannot be written.
    """
    path = Path(output_dir) / CURVE_FILE
    text = width_curve(metrics)
    if text:
        write_text(path, text)
    else:
        path.unlink(missing_ok=True)
    return bool(text)
