"""The curve of quality against speed and size that eval.py draws of several widths."""

import math
import xml.etree.ElementTree as ET

import pytest

from csd.evaluation.tables import console_table, display_name, role_name
from csd.reporting.widths import width_curve, write_width_curve

SVG = "{http://www.w3.org/2000/svg}"


def _run(width, psnr, ms, parameters, trained=True, ensemble=False):
    score = {"psnr_y": psnr, "ssim_y": 0.9, "ms_per_image": ms}
    image = {"one": {"psnr_y": psnr, "ssim_y": 0.9, "ms": ms}}
    return {
        "width": width,
        "self_ensemble": ensemble,
        "label": "x",
        **({} if width is None else {"parameters": parameters, "trained": trained}),
        "sets": {name: {**score, "images": image} for name in ("Set5", "A & B")},
    }


@pytest.fixture
def metrics():
    runs = [
        _run(None, 30.0, 5.0, 0),
        _run(1.0, 33.0, 100.0, 160_000),
        _run(0.5, 32.5, 40.0, 40_000),
        _run(0.375, 31.0, 30.0, 20_000, trained=False),
        _run(0.25, 32.0, 20.0, 10_000),
    ]
    return {"model": "edsr", "scale": 2, "ckpt": "x.ckpt", "runs": runs}


def _words(panel):
    return ["".join(text.itertext()) for text in panel.iter(f"{SVG}text")]


def _panels(svg):
    return [g for g in ET.fromstring(svg).iter(f"{SVG}g") if g.get("id", "").startswith("axes_")]


def _series(panel):
    """Groups of the series, in their order."""
    return [g for g in panel.iter(f"{SVG}g") if g.get("id", "").startswith("series_")]


def _points(group):
    """Where the markers of a series stand."""
    return [(float(use.get("x")), float(use.get("y"))) for use in group.iter(f"{SVG}use")]


def test_each_set_has_a_panel_of_speed_and_one_of_size(metrics):
    svg = width_curve(metrics)
    panels = _panels(svg)
    titles = [[word for word in _words(panel) if word in ("Set5", "A & B")] for panel in panels]
    assert titles == [["Set5"], ["Set5"], ["A & B"], ["A & B"]]
    assert "milliseconds per image, measured here" in _words(panels[0])
    assert "parameters" in _words(panels[1])
    root = ET.fromstring(svg)
    assert [float(root.get(side).removesuffix("pt")) for side in ("width", "height")] == [880, 660]
    assert "var(" not in svg  # viewers without CSS variables
    assert svg == width_curve(metrics)


def test_the_line_goes_through_the_trained_widths_alone(metrics):
    panel = _panels(width_curve(metrics))[0]
    trained, other, bicubic = _series(panel)
    points = _points(trained)
    assert len(points) == 3 and len(_points(other)) == 1 and not _points(bicubic)
    assert points == sorted(points)  # slower to the right
    assert points == sorted(points, key=lambda point: -point[1])  # and better upward
    line = trained.find(f"{SVG}path").get("d").split()
    assert [tuple(map(float, line[i : i + 2])) for i in (1, 4, 7)] == points
    assert other.find(f"{SVG}path") is None  # no line; its markers are hollow
    assert "fill-opacity: 0" in "".join(use.get("style") for use in other.iter(f"{SVG}use"))
    words = _words(panel)
    assert {"0.25", "0.5", "1", "0.375", "trained", "not trained", "bicubic"} <= set(words)
    assert not any("self-ensemble" in word for word in words)


def test_self_ensemble_is_a_line_of_its_own(metrics):
    metrics["runs"] += [
        _run(width, psnr + 0.1, 8 * ms, 1, ensemble=True)
        for width, psnr, ms in ((1.0, 33.0, 100.0), (0.25, 32.0, 20.0))
    ]
    panel = _panels(width_curve(metrics))[0]
    assert [len(_points(group)) for group in _series(panel)] == [3, 2, 1, 0]
    assert "trained, self-ensemble" in _words(panel)


def test_one_width_is_no_curve(metrics, tmp_path):
    assert write_width_curve(tmp_path, metrics)
    assert (tmp_path / "widths.svg").read_text(encoding="utf-8") == width_curve(metrics)
    metrics["runs"] = [run for run in metrics["runs"] if run["width"] in (None, 1.0)]
    assert width_curve(metrics) == ""
    assert not write_width_curve(tmp_path, metrics)
    assert not (tmp_path / "widths.svg").exists()  # that of the earlier evaluation


def test_points_that_are_not_finite_are_left_out(metrics):
    for run in metrics["runs"][1:]:
        run["sets"]["A & B"]["psnr_y"] = math.inf
        run["sets"]["Set5"].pop("ms_per_image")
    (panel,) = _panels(width_curve(metrics))
    assert "Set5" in _words(panel) and "A & B" not in _words(panel)


def test_untrained_widths_are_marked_in_tables(metrics):
    names = [display_name(run) for run in metrics["runs"]]
    assert names[2:] == ["width 0.5", "width 0.375 (not trained)", "width 0.25"]
    assert "width 0.375 (not trained)" in console_table(metrics)
    roles = [role_name(run, metrics["runs"]) for run in metrics["runs"]]
    assert roles[1] == "teacher, width 1.0" and roles[2] == "student, width 0.5"
    students = metrics["runs"][2:]  # the teacher was not evaluated: none of these is it
    assert all(role_name(run, students).startswith("student") for run in students)
