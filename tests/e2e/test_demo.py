"""The demo, shortened, as a user types it."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps"], "--steps needs a value"),
        (["--steps", "many"], "whole number"),
        (["--step", "9"], "unknown argument --step"),
    ],
)
def test_wrong_arguments(arguments, words):
    done = subprocess.run(
        ["bash", "scripts/run_demo.sh", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.slow
def test_short_demo(tmp_path):
    keep = tmp_path / "mine.txt"
    keep.write_text("not the demo's")
    done = subprocess.run(
        ["bash", "scripts/run_demo.sh", "--steps", "8", "--output_dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert [run["width"] for run in metrics["runs"]] == [None, 1.0, 0.5]
    for run in metrics["runs"]:
        assert set(run["sets"]["test"]["images"]) == {"chelsea", "rocket"}
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in report and report.count("data:image/png;base64,") >= 8
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert list((tmp_path / "export").glob("*.mindir"))
    assert list((tmp_path / "infer").glob("*.png"))
    assert keep.exists()
