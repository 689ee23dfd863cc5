"""Summaries, paired differences and the report, of made-up runs whose answers are known."""

import re

import numpy as np
import pytest

from csd.config import load_config, plain
from experiments.report import html_page, markdown, verdicts
from experiments.results import compare, pairs_to_compare, summarise, write_results


def scored(psnr: dict[str, list[float]]) -> dict:
    """`sets` of a run: per set the PSNR-Y of its images."""
    return {
        name: {
            "psnr_y": float(np.mean(values)),
            "ssim_y": 0.9,
            "images": {f"{i}": {"psnr_y": v, "ssim_y": 0.9} for i, v in enumerate(values)},
        }
        for name, values in psnr.items()
    }


def made_run(budget: str, variant: str, seed: int, psnr: dict[str, list[float]]) -> dict:
    """An entry of `runs` in results.json."""
    return {
        "budget": budget, "trained_as": "steps", "variant": variant, "seed": seed, "steps": 40,
        "ms_per_step": 500.0, "seconds": 20.0, "seconds_with_compilation": 30.0,
        "parameters": 100, "sets": scored(psnr), "curve": [[20, 28.0 + seed], [40, 29.0 + seed]],
    }  # fmt: skip


def _results(runs, seeds=(1, 2, 3)):
    config = load_config("experiment", [f"--seeds={','.join(map(str, seeds))}", "--scale=2"])
    return {
        "command": "python -m experiments.compare <x>",
        "config": plain(config),
        "environment": {"csd": "0"},
        "teacher": {"steps": 80, "sets": scored({"Set5": [33.0, 35.0]})},
        "bicubic": {"steps": None, "sets": scored({"Set5": [30.0, 32.0]})},
        "calibration": {"reference": "csd", "reference_steps": 40,
                        "ms_per_step": {"csd": 500.0, "warm": 500.0}, "steps": {}},
        "failed": {},
        "runs": runs,
        "summary": summarise(runs),
        "comparisons": compare(runs),
    }  # fmt: skip


def _pair(gains, budget="steps"):
    """Runs of csd and warm, csd ahead by `gains`, one a seed; seeds lie 1 dB apart."""
    runs = []
    for seed, gain in enumerate(gains, 1):
        runs.append(made_run(budget, "warm", seed, {"Set5": [30.0 + seed, 32.0 + seed]}))
        values = [30.0 + seed + gain, 32.0 + seed + 3 * gain]
        runs.append(made_run(budget, "csd", seed, {"Set5": values}))
    return runs


def test_comparison_pairs_by_seed_and_by_image():
    (row,) = compare(_pair([0.10, 0.20, 0.30]))
    assert (row["variant"], row["against"], row["set"]) == ("csd", "warm", "Set5")
    # per seed the mean of gain and 3 x gain: 0.2, 0.4, 0.6
    assert row["seeds"]["mean"] == pytest.approx(0.4)
    assert row["seeds"]["sd"] == pytest.approx(0.2)
    assert row["seeds"]["n"] == 3
    # per image the mean over seeds: 0.2 and 0.6
    assert row["images"]["n"] == 2
    assert row["images"]["mean"] == pytest.approx(0.4)
    assert row["images"]["sd"] == pytest.approx(0.4 / 2**0.5)


def test_a_seed_that_one_side_lacks_is_left_out():
    runs = _pair([0.1, 0.1, 9.0])
    runs = [c for c in runs if (c["variant"], c["seed"]) != ("warm", 3)]
    (row,) = compare(runs)
    assert row["seeds"]["n"] == 2
    assert row["seeds"]["mean"] == pytest.approx(0.2)


def test_summary_is_the_mean_and_spread_over_the_seeds():
    found = {row["variant"]: row["psnr_y"] for row in summarise(_pair([0.0, 0.0, 0.0]))}
    assert found["warm"]["mean"] == pytest.approx(33.0)
    assert found["warm"]["sd"] == pytest.approx(1.0)


def test_who_is_compared_with_whom():
    assert pairs_to_compare(["student", "warm", "joint", "csd"]) == [
        ("csd", "warm"), ("csd", "student"), ("csd", "joint"),
        ("student", "warm"), ("joint", "warm"),
    ]  # fmt: skip
    assert pairs_to_compare(["csd_k1", "csd"]) == [("csd", "csd_k1")]
    assert pairs_to_compare(["csd_k1", "csd", "joint"]) == [
        ("csd", "joint"), ("csd", "csd_k1"), ("csd_k1", "joint"),
    ]  # fmt: skip
    assert pairs_to_compare(["student", "csd_k1"]) == []


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ([0.10, 0.11, 0.12], "Equal steps, csd against warm: better on Set5 (+0.220 ["),
        ([-0.10, -0.11, -0.12], "worse on Set5 (-0.220 ["),
        ([0.10, -0.11, 0.02], "no difference shown on Set5 ("),
        ([0.10], "Set5 +0.200 dB; of one seed alone no interval exists, so nothing is shown"),
    ],
)
def test_verdict_says_what_the_interval_supports(gains, words):
    (sentence,) = verdicts(_results(_pair(gains), range(1, len(gains) + 1)))
    assert words in sentence
    if len(gains) == 1:
        assert "better" not in sentence and "worse" not in sentence


def test_report_holds_the_numbers(tmp_path):
    results = _results(_pair([0.10, 0.20, 0.30]) + _pair([-0.10, -0.11, -0.12], "time"))
    results["failed"] = {"steps/joint/seed2": "no memory"}
    text = markdown(results)
    for words in (
        "33.000 ± 1.000 / 0.9000 ± 0.0000", "| csd - warm | Set5 | +0.400 |", "Equal wall time",
        "the 20 s of csd's 40 steps", "steps/joint/seed2", "3 seeds", "| bicubic |", "| 31.000 /",
    ):  # fmt: skip
        assert words in text, words
    page = html_page(results)
    assert "python -m experiments.compare &lt;x&gt;" in page
    assert page.count("<svg") == 4  # per budget: the curves, and one set's scores
    assert not re.search(r"https?://|<script|\$", page.split("<body>")[1])
    write_results(tmp_path, results)
    assert {f.name for f in tmp_path.iterdir()} == {"results.json", "report.md", "report.html"}


def test_infinite_scores_are_no_verdict(tmp_path):
    runs = _pair([0.1, 0.2])
    for run in runs:
        run["sets"] = scored({"Set5": [float("inf"), 30.0]})
    results = _results(runs, (1, 2))
    assert "not comparable" in verdicts(results)[0]
    write_results(tmp_path, results)
    assert "Infinity" not in (tmp_path / "results.json").read_text()
