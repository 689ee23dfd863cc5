"""The HTML report: what it says, and that it needs nothing beside itself."""

import math
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from csd.data import benchmark_pairs, imresize_bicubic
from csd.errors import InputError
from csd.evaluation import Method, bicubic_method, evaluate, write_metrics
from csd.reporting.charts import Chart, Series, figure, thin
from csd.reporting.crops import busiest_window
from csd.reporting.report import load_run, read_curves, write_report

COLUMNS = (
    "epoch,step,lr,total,student,teacher,contrast,images_per_second,val_psnr_1.0,val_psnr_0.25"
)
VOID = {"meta", "link", "br", "img", "line", "circle", "rect", "polyline"}


class Page(HTMLParser):
    """Collects addresses and text, and checks that every tag is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.words, self.tags = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "data", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def runs(small_set, tmp_path):
    """A training folder and an evaluation folder."""
    train = tmp_path / "train <b>&"
    train.mkdir()
    lines = [COLUMNS]
    for step in range(1, 601):
        validation = f"{30 + math.log(step)},{29 + math.log(step)}" if step % 100 == 0 else ","
        lines.append(
            f"{step // 100},{step},0.0001,30,{9 + 50 / step},{8 + 40 / step},0,5,{validation}"
        )
    (train / "metrics.csv").write_text("\n".join(lines) + "\n")
    (train / "config.yaml").write_text("model:\n  name: edsr # <script>alert(1)</script>\n")
    methods = [
        bicubic_method(2),
        Method(1.0, lambda lr: imresize_bicubic(lr, 2), facts={"parameters": 4000}),
        Method(0.25, lambda lr: lr.repeat(2, 0).repeat(2, 1), facts={"parameters": 300}),
    ]
    result = evaluate(
        methods, {"Tiny": benchmark_pairs(small_set, "Tiny", 2)}, 2,
        model={"name": "edsr", "n_feats": 8}, save_dir=tmp_path / "result" / "images",
    )  # fmt: skip
    write_metrics(tmp_path / "result", result)
    return [load_run(tmp_path / "result"), load_run(train)]


def test_page_holds_everything_and_asks_for_nothing(runs, tmp_path):
    write_report(tmp_path / "page.html", runs, title="A <title> & more", note="a note")
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert page.open == []
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"https?://|@import|url\(|<script", text)
    words = " ".join(page.words)
    for expected in (
        "A <title> & more", "a note", "train <b>&", "<script>alert(1)</script>",
        "Validation PSNR-Y",
        "L1 loss", "Tiny: quality against size", "Tiny: quality against time", "ground truth",
        "Student against teacher", "mindspore", "student, width 0.25", "teacher, width 1.0",
    ):  # fmt: skip
        assert expected in words, expected
    assert text.count("<title>bicubic: ") == 2  # a level in both trade-offs
    assert (
        "var(--c0)" in text and "var(--soft)" in text and "#0a6ebd" not in text.split("<body>")[1]
    )
    assert "Contrastive loss" not in words  # the column holds zeros only
    psnr = runs[0].metrics["runs"][2]["sets"]["Tiny"]["psnr_y"]
    assert f"{psnr:.2f}" in words
    # two images, each: a thumbnail, and crops of bicubic, student, teacher and truth
    assert sum(a.startswith("data:image/png") for a in page.addresses) == 2 * 4
    assert sum(a.startswith("data:image/jpeg") for a in page.addresses) == 2


def test_report_of_half_a_run(runs, tmp_path):
    write_report(tmp_path / "one.html", [runs[1]])
    assert "Results" not in (tmp_path / "one.html").read_text()
    write_report(tmp_path / "other.html", [runs[0]])
    assert "Training" not in (tmp_path / "other.html").read_text()
    with pytest.raises(InputError, match="at least one"):
        write_report(tmp_path / "none.html", [])


def test_infinite_scores_do_not_break_the_page(runs, tmp_path):
    for run in runs[0].metrics["runs"]:
        run["sets"]["Tiny"]["psnr_y"] = math.inf
        run["sets"]["Tiny"]["images"]["one"]["psnr_y"] = math.inf
    write_report(tmp_path / "page.html", runs)
    assert "inf" in (tmp_path / "page.html").read_text()


def test_folders_without_results_are_named(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        load_run(tmp_path / "absent")
    with pytest.raises(InputError, match=r"neither metrics\.csv"):
        load_run(tmp_path)
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column 'step'"):
        load_run(tmp_path)
    (tmp_path / "metrics.csv").write_text("step,total\n1,2\n2,many\n")
    with pytest.raises(InputError, match="line 3"):
        read_curves(tmp_path / "metrics.csv")


def _words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_figure_places_points_and_leaves_out_what_is_not_finite():
    series = [Series("a & b", [(0, 1.0), (10, 3.0), (5, math.nan)]), Series("empty", [])]
    svg = figure(Chart(series, title="t <i>", x_label="x", y_label="y"))
    line = svg.split("<title>a &amp; b</title>")[1]
    x0, y0, x1, y1 = map(float, re.search(r'd="M (\S+) (\S+)\s+L (\S+) (\S+)', line).groups())
    assert x0 < x1 and y0 > y1  # SVG counts y downward
    assert "t &lt;i&gt;" in svg and "empty" not in svg
    assert {"x", "y"} <= set(_words(svg))
    assert figure(Chart([Series("a", [(1, math.inf)])], "t", "x", "y")) == ""
    assert figure(Chart([Series("a", [(1, 2)], level=True)], "t", "x", "y")) == ""


def test_a_figure_is_the_same_every_time_and_asks_for_nothing():
    chart = Chart([Series("a", [(1, 2), (3, 5)])], "t", "x", "y")
    svg = figure(chart)
    assert svg == figure(chart)
    assert not re.search(r"https?:|<style|matplotlib|#[0-9a-f]{6}", svg)


def test_ticks_are_round_numbers():
    def ticks(points, **options):
        return _words(figure(Chart([Series("a", points)], "t", "x", "y", **options)))

    words = ticks([(900, 28.3), (60_000, 32.1)], log_x=True, lines=False)
    for expected in ("1k", "2k", "5k", "10k", "20k", "50k", "29", "30", "31", "32"):
        assert expected in words
    assert {"2e-4", "4e-4", "6e-4", "8e-4"} <= set(ticks([(0, 0.0002), (1, 0.0009)]))
    decades = set(ticks([(1, 1), (1e6, 2)], log_x=True))
    assert {"1", "10", "100", "1k", "10k", "100k", "1M"} <= decades and "2k" not in decades


def test_thinned_curve_keeps_its_mean():
    points = [(i, float(i % 7)) for i in range(1000)]
    fewer = thin(points, 100)
    assert len(fewer) == 100
    assert np.mean([y for _, y in fewer]) == pytest.approx(np.mean([y for _, y in points]))


def test_crop_is_where_the_images_differ():
    a = np.zeros((100, 120, 3), np.uint8)
    b = a.copy()
    b[60:70, 90:100] = 200
    top, left = busiest_window(a, b, 32)
    assert 60 - 22 <= top <= 60 and 90 - 22 <= left <= 90


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1000, 760), (390, 844)])
def test_page_in_a_browser(runs, tmp_path, browser, show, shoot, width, height):
    """Phone and desk, light and dark, in headless Chromium: drawn, nothing too wide, no errors.

    CSD_SCREENSHOT_RUNS names run folders, `A,B`, to be shown instead of the made-up ones.
    """
    if folders := os.environ.get("CSD_SCREENSHOT_RUNS"):
        runs = [load_run(folder) for folder in folders.split(",")]
    write_report(tmp_path / "page.html", runs)
    means = {}
    for scheme in ("light", "dark"):
        show(width, height, scheme)
        browser.get((tmp_path / "page.html").as_uri())
        overflow = "return document.documentElement.scrollWidth - window.innerWidth"
        assert browser.execute_script(overflow) <= 0
        size = "desk" if width > 600 else "phone"
        with Image.open(shoot(f"report_{size}_{scheme}")) as sample_image:
            assert sample_image.size == (width, height)
            pixels = np.asarray(sample_image.convert("L")).astype(float)
        assert pixels.std() > 5
        means[scheme] = pixels.mean()
        script = "document.querySelectorAll('.charts').forEach(e => e.scrollIntoView())"
        browser.execute_script(script)
        with Image.open(shoot(f"charts_{size}_{scheme}")) as sample_image:
            assert np.asarray(sample_image.convert("L")).std() > 5
    assert means["light"] > 150 > means["dark"]
    assert browser.get_log("browser") == []


def test_int8_is_a_point_of_its_own(small_set, tmp_path):
    pairs = {"Tiny": benchmark_pairs(small_set, "Tiny", 2)}
    for name, precision, enlarge in (
        ("student", "float32", lambda lr: imresize_bicubic(lr, 2)),
        ("quantised", "int8", lambda lr: imresize_bicubic(lr // 4 * 4, 2)),
    ):
        facts = {"parameters": 300, "precision": precision}
        method = Method(0.25, enlarge, facts=facts)
        assert method.label == "width_0.25" + ("_int8" if precision == "int8" else "")
        result = evaluate([bicubic_method(2), method], pairs, 2, model={"name": "edsr"})
        write_metrics(tmp_path / name, result)
    loaded = [load_run(tmp_path / name) for name in ("student", "quantised")]
    write_report(tmp_path / "report.html", loaded)
    text = "\n".join(Page((tmp_path / "report.html").read_text()).words)
    for chart in ("quality against size", "quality against time"):
        part = text[text.index(chart) :]
        assert "student: width 0.25" in part and "quantised: width 0.25 int8" in part
    assert "width 0.25 int8" in (tmp_path / "quantised" / "metrics.md").read_text()
