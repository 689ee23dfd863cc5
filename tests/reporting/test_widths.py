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


def test_each_set_has_a_panel_of_speed_and_one_of_size(metrics):
    root = ET.fromstring(width_curve(metrics))
    panels = [child for child in root if child.tag == f"{SVG}g"]
    titles = [_words(panel)[0] for panel in panels]
    assert titles == ["Set5", "Set5", "A & B", "A & B"]
    assert "milliseconds per image, measured here" in _words(panels[0])
    assert "parameters" in _words(panels[1])
    assert float(root.get("width")) > 800 and float(root.get("height")) > 700
    assert "var(" not in ET.tostring(root, encoding="unicode")  # viewers without CSS variables


def test_the_line_goes_through_the_trained_widths_alone(metrics):
    panel = next(c for c in ET.fromstring(width_curve(metrics)) if c.tag == f"{SVG}g")
    (line,) = panel.iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    assert len(points) == 3
    assert points == sorted(points)  # slower to the right
    assert points == sorted(points, key=lambda point: -point[1])  # and better upward
    circles = list(panel.iter(f"{SVG}circle"))
    assert [circle.get("fill") == "none" for circle in circles] == [False, False, False, True]
    words = _words(panel)
    assert {"0.25", "0.5", "1", "0.375"} <= set(words)
    (legend,) = [text for text in words if "not trained" in text]
    assert "trained" in legend and "bicubic" in legend and "self-ensemble" not in legend
    for x, y in points:  # inside the axes
        assert 64 < x < 428 and 10 < y < 238


def test_self_ensemble_is_a_line_of_its_own(metrics):
    metrics["runs"] += [
        _run(width, psnr + 0.1, 8 * ms, 1, ensemble=True)
        for width, psnr, ms in ((1.0, 33.0, 100.0), (0.25, 32.0, 20.0))
    ]
    panel = next(c for c in ET.fromstring(width_curve(metrics)) if c.tag == f"{SVG}g")
    assert len(list(panel.iter(f"{SVG}polyline"))) == 2
    assert any("trained, self-ensemble" in text for text in _words(panel))


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
    root = ET.fromstring(width_curve(metrics))
    panels = [child for child in root if child.tag == f"{SVG}g"]
    assert [_words(panel)[0] for panel in panels] == ["Set5"]


def test_untrained_widths_are_marked_in_tables(metrics):
    names = [display_name(run) for run in metrics["runs"]]
    assert names[2:] == ["width 0.5", "width 0.375 (not trained)", "width 0.25"]
    assert "width 0.375 (not trained)" in console_table(metrics)
    roles = [role_name(run, metrics["runs"]) for run in metrics["runs"]]
    assert roles[1] == "teacher, width 1.0" and roles[2] == "student, width 0.5"
    students = metrics["runs"][2:]  # the teacher was not evaluated: none of these is it
    assert all(role_name(run, students).startswith("student") for run in students)
