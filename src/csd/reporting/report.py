"""One self-contained HTML page out of training runs and benchmark results."""

import csv
import io
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template
from typing import Any

import csd
from csd.errors import InputError
from csd.evaluation.tables import display_name, mean_time, read_metrics, role_name, table_rows
from csd.files import read_text, write_text
from csd.reporting.charts import Chart, Series, figure
from csd.reporting.crops import crop_rows

_TEMPLATE = Path(__file__).with_name("report.html")
_VALIDATION = "val_psnr_"


@dataclass(frozen=True)
class ReportRun:
    """What the page shows of one folder; every part may be missing.

    curves: rows of train.py's metrics.csv, numbers or None; metrics: eval.py's metrics.json;
    config: the effective configuration as text; images: eval.py's saved images.
    """

    name: str
    curves: list[dict[str, float | None]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    images: Path | None = None


def read_curves(path: str | Path) -> list[dict[str, float | None]]:
    """Rows of a training run's metrics.csv; empty cells are None.

    Raises InputError, naming file and line, where it is no such file.
    """
    rows = []
    reader = csv.DictReader(io.StringIO(read_text(path, "a metrics.csv of train.py"), newline=""))
    try:
        if "step" not in (reader.fieldnames or ()):
            raise InputError(f"{path} is not a metrics.csv of train.py: it has no column 'step'")
        for row in reader:
            rows.append({k: _number(v) for k, v in row.items() if k is not None})
            if rows[-1]["step"] is None:
                raise ValueError("it has no step")
    except (ValueError, TypeError, csv.Error) as error:
        line = reader.line_num
        raise InputError(f"{path}, line {line}, is not a row of numbers: {error}") from None
    return rows


def _number(cell: str | None) -> float | None:
    """A finite number, None for an empty cell or one that no chart can show (NaN, infinity)."""
    value = float(cell) if cell else math.nan
    return value if math.isfinite(value) else None


def load_run(folder: str | Path) -> ReportRun:
    """Read a folder that train.py or eval.py wrote; results may also lie in its folder `eval`.

    Raises InputError where the folder has neither curves nor results.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; give folders that train.py or eval.py wrote")
    curves = read_curves(folder / "metrics.csv") if (folder / "metrics.csv").is_file() else []
    metrics: dict[str, Any] = {}
    images = None
    for place in (folder, folder / "eval"):
        if (place / "metrics.json").is_file():
            metrics = read_metrics(place / "metrics.json")
            images = place / "images" if (place / "images").is_dir() else None
            break
    if not curves and not metrics:
        raise InputError(
            f"{folder} holds neither metrics.csv (train.py) nor metrics.json (eval.py); "
            "give the --output_dir of such a run"
        )
    config_file = folder / "config.yaml"
    config = read_text(config_file, "a configuration") if config_file.is_file() else ""
    return ReportRun(folder.resolve().name, curves, metrics, config, images)


def environment() -> dict[str, str]:
    """What the results were made with: versions and machine."""
    facts = {"csd": csd.__version__, "Python": platform.python_version()}
    for package in ("mindspore", "numpy"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["processors"] = str(os.cpu_count())
    return facts


def _points(run: ReportRun, column: str) -> list[tuple[float, float]]:
    points = [(row["step"], row.get(column)) for row in run.curves]
    return [(x, y) for x, y in points if x is not None and y is not None]


def _curve_charts(runs: Sequence[ReportRun]) -> str:
    charts = []
    for columns, title in (
        (("student", "teacher"), "L1 loss"),
        (("contrast",), "Contrastive loss (unweighted)"),
        (("lr",), "Learning rate"),
    ):
        series = []
        for run in runs:
            for column in columns:
                points = _points(run, column)
                if any(y != 0.0 for _, y in points):  # a config without this loss logs zeros
                    series.append(Series(f"{run.name}: {column}", points))
        charts.append(
            figure(
                Chart(series, title=title, x_label="step", y_label=title.split(" (")[0], zero=True)
            )
        )
    series = []
    for run in runs:
        names = [k for k in (run.curves[0] if run.curves else ()) if k.startswith(_VALIDATION)]
        for column in names:
            width = column.removeprefix(_VALIDATION)
            series.append(Series(f"{run.name}: width {width}", _points(run, column)))
    charts.insert(
        0,
        figure(Chart(series, title="Validation PSNR-Y", x_label="step", y_label="dB", lines=True)),
    )
    return "".join(charts)


def _trade_off_charts(runs: Sequence[ReportRun]) -> str:
    """Quality against size and against speed, and student against teacher, per set."""
    measured = [run for run in runs if run.metrics]
    sets = list(dict.fromkeys(s for r in measured for e in r.metrics["runs"] for s in e["sets"]))
    out = []
    for set_name in sets:
        for kind, x_label in (
            ("parameters", "parameters"),
            ("speed", "milliseconds per image, measured here"),
        ):
            series, bicubic = [], None
            for run in measured:
                for entry in run.metrics["runs"]:
                    if set_name not in entry["sets"]:
                        continue
                    psnr = entry["sets"][set_name]["psnr_y"]
                    if entry["width"] is None:
                        bicubic = Series("bicubic", [(0.0, psnr)], level=True)
                        continue
                    x = entry.get("parameters", math.nan)
                    x = x if kind == "parameters" else mean_time(entry)
                    series.append(Series(_title(run, entry, measured), [(x, psnr)]))
            series += [bicubic] if bicubic else []
            title = f"{set_name}: quality against {'size' if kind == 'parameters' else 'time'}"
            out.append(
                figure(Chart(
                    series, title=title, x_label=x_label, y_label="PSNR-Y, dB",
                    lines=False, log_x=True,
                ))
            )  # fmt: skip
    out.append(_student_scatter(measured, sets))
    return "".join(out)


def _title(run: ReportRun, entry: dict, measured: Sequence[ReportRun]) -> str:
    return display_name(entry) if len(measured) == 1 else f"{run.name}: {display_name(entry)}"


def _student_scatter(measured: Sequence[ReportRun], sets: Sequence[str]) -> str:
    series = []
    for run in measured:
        plain = [
            e
            for e in run.metrics["runs"]
            if e["width"] is not None and not e["self_ensemble"] and e.get("trained", True)
        ]
        if len(plain) < 2:
            continue
        student, teacher = (f(plain, key=lambda e: e["width"]) for f in (min, max))
        for name in sets:
            if name not in student["sets"] or name not in teacher["sets"]:
                continue
            ours = student["sets"][name]["images"]
            theirs = teacher["sets"][name]["images"]
            points = [(theirs[n]["psnr_y"], ours[n]["psnr_y"]) for n in ours if n in theirs]
            prefix = f"{run.name}: " if len(measured) > 1 else ""
            series.append(Series(f"{prefix}{name}, width {student['width']}", points))
    return figure(Chart(
        series, title="Student against teacher, one dot an image", x_label="teacher PSNR-Y, dB",
        y_label="student PSNR-Y, dB", lines=False, diagonal=True,
    ))  # fmt: skip


def _table(run: ReportRun) -> str:
    header, rows = table_rows(run.metrics)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f"<p><strong>{escape(run.name)}</strong> <span class='soft'>{escape(run.metrics['model'])}"
        f" x{run.metrics['scale']}</span></p><div class='scroll'><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _lead(runs: Sequence[ReportRun]) -> str:
    """The result in one sentence for each run that has one."""
    sentences = []
    for run in runs:
        entries = run.metrics["runs"] if run.metrics else []
        plain = [e for e in entries if e["width"] is not None and not e["self_ensemble"]]
        bicubic = next((e for e in entries if e["width"] is None), None)
        if not plain or bicubic is None:
            continue
        set_name = next(iter(bicubic["sets"]))
        base = bicubic["sets"][set_name]["psnr_y"]
        parts = []
        for entry in sorted(plain, key=lambda e: -e["width"]):
            psnr = entry["sets"][set_name]["psnr_y"]
            parts.append(
                f"{role_name(entry, plain)} {psnr:.2f} dB ({psnr - base:+.2f} dB over bicubic, "
                f"{entry.get('parameters', 0):,} parameters)"
            )
        sentences.append(f"{run.name}, {set_name}: {'; '.join(parts)}.")
    return "".join(f'<p class="lead">{escape(sentence)}</p>' for sentence in sentences)


def write_report(
    path: str | Path,
    runs: Sequence[ReportRun],
    *,
    title: str = "Contrastive self-distillation: report",
    note: str = "",
) -> None:
    """Write the page: one HTML file with everything inside, which asks no network for anything.

    Args:
        path: the file; it is written whole or not at all.
        runs: as `load_run` gives, training and evaluation folders in any mix, in reading order.
        note: a sentence under the title.

    Raises:
        InputError: no runs. WorkError: the file cannot be written.
    """
    if not runs:
        raise InputError("nothing to report; give at least one run folder")
    body = [f"<h1>{escape(title)}</h1>"]
    if note:
        body.append(f'<p class="soft">{escape(note)}</p>')
    body.append(_lead(runs))
    tables = "".join(_table(run) for run in runs if run.metrics)
    if tables:
        body.append(
            f"<h2>Results</h2>{tables}<p class='soft'>PSNR (dB) and SSIM on the luma, a border of "
            "the scale left out; a plus sign: self-ensemble (x8); multiply-adds for "
            "an output of 1280 x 720.</p>"
        )
    sample_images = "".join(crop_rows(r.metrics, r.images) for r in runs if r.metrics and r.images)
    if sample_images:
        body.append(f"<h2>Images</h2>{sample_images}")
    for heading, charts in (
        ("Size, speed, quality", _trade_off_charts(runs)),
        ("Training", _curve_charts(runs)),
    ):
        if charts:
            body.append(f'<h2>{heading}</h2><div class="charts">{charts}</div>')
    configs = "".join(
        f"<details><summary>{escape(run.name)}</summary><pre>{escape(run.config)}</pre></details>"
        for run in runs
        if run.config
    )
    if configs:
        body.append(f"<h2>Configuration</h2>{configs}")
    facts = "".join(
        f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in environment().items()
    )
    body.append(
        f"<h2>Environment</h2><div class='scroll'><table class='facts'>{facts}</table></div>"
    )
    page = Template(_TEMPLATE.read_text(encoding="utf-8"))
    write_text(Path(path), page.substitute(title=escape(title), body="\n".join(body)))
