"""Scores, tables and files of the benchmark; nothing here builds a network."""

import csv
import json
import math

import numpy as np
import pytest

from csd.data import benchmark_pairs, imresize_bicubic, load_pair, read_image
from csd.errors import InputError
from csd.evaluation import (
    Method,
    bicubic_method,
    console_table,
    evaluate,
    markdown_table,
    psnr_y,
    read_metrics,
    ssim_y,
    validate,
    write_metrics,
)


def bicubic_runner(x):
    image = np.round(x[0].transpose(1, 2, 0)).astype(np.uint8)
    return imresize_bicubic(image, 2).transpose(2, 0, 1)[None].astype(np.float32)


def methods():
    facts = {"parameters": 1234, "multiply_adds": 5_600_000_000}
    return [
        bicubic_method(2),
        Method(1.0, lambda lr: imresize_bicubic(lr, 2), facts=facts),
        Method(0.25, lambda lr: lr.repeat(2, 0).repeat(2, 1), self_ensemble=True, facts=facts),
    ]


def test_evaluate_scores_every_method_on_every_image(small_set, tmp_path):
    pairs = benchmark_pairs(small_set, "Tiny", 2)
    seen = []
    images = tmp_path / "images"
    result = evaluate(
        methods(), {"Tiny": pairs}, 2, model={"name": "edsr", "scale": 2, "n_feats": 8},
        ckpt="x.ckpt", save_dir=images, progress=seen.append,
    )  # fmt: skip
    assert seen == ["Tiny one", "Tiny two"]
    assert result["model"] == "edsr" and result["hyper"] == {"n_feats": 8}
    assert [r["width"] for r in result["runs"]] == [None, 1.0, 0.25]
    assert [r["self_ensemble"] for r in result["runs"]] == [False, False, True]
    bicubic = result["runs"][0]["sets"]["Tiny"]
    hr, lr = load_pair(pairs[0], 2)
    assert hr.shape == (60, 82, 3)  # 61 x 83 cropped to a multiple of 2
    sr = imresize_bicubic(lr, 2)
    assert bicubic["images"]["one"]["psnr_y"] == psnr_y(sr, hr, 2)
    assert bicubic["images"]["one"]["ssim_y"] == ssim_y(sr, hr, 2)
    assert "psnr_rgb" in bicubic["images"]["one"] and bicubic["images"]["one"]["ms"] > 0
    mean = np.mean([i["psnr_y"] for i in bicubic["images"].values()])
    assert bicubic["psnr_y"] == pytest.approx(mean)
    nearest = result["runs"][2]["sets"]["Tiny"]
    assert nearest["images"]["one"]["psnr_y"] == psnr_y(lr.repeat(2, 0).repeat(2, 1), hr, 2)
    np.testing.assert_array_equal(read_image(images / "Tiny" / "bicubic" / "one.png"), sr)
    np.testing.assert_array_equal(read_image(images / "Tiny" / "HR" / "one.png"), hr)
    assert (images / "Tiny" / "width_0.25_ensemble" / "two.png").is_file()


def test_files_of_a_benchmark(small_set, tmp_path):
    result = evaluate(methods(), {"Tiny": benchmark_pairs(small_set, "Tiny", 2)}, 2)
    result["runs"][0]["sets"]["Tiny"]["images"]["one"]["psnr_y"] = math.inf
    result["runs"][0]["sets"]["Tiny"]["psnr_y"] = math.inf
    write_metrics(tmp_path / "out", result)
    stored = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert stored["runs"][0]["sets"]["Tiny"]["images"]["one"]["psnr_y"] == "inf"
    assert stored["runs"][0]["width"] is None
    assert read_metrics(tmp_path / "out" / "metrics.json") == json.loads(json.dumps(result))
    with (tmp_path / "out" / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2
    assert rows[0]["image"] == "one" and rows[0]["psnr_y"] == "inf" and rows[0]["width"] == ""
    assert rows[-1]["method"] == "width_0.25_ensemble" and float(rows[-1]["ssim_y"]) < 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "metrics.json",
        "metrics.md",
        "per_image.csv",
    ]


def test_tables_say_what_was_measured(small_set):
    result = evaluate(methods(), {"Tiny": benchmark_pairs(small_set, "Tiny", 2)}, 2)
    markdown = markdown_table(result)
    score = result["runs"][2]["sets"]["Tiny"]
    line = next(li for li in markdown.splitlines() if li.startswith("| width 0.25+"))
    assert f"{score['psnr_y']:.2f}/{score['ssim_y']:.4f}" in line
    assert "1.23 K" in line and "5.60 G" in line
    assert len(console_table(result).splitlines()) == 4
    assert "paper" not in markdown


def test_papers_figures_stand_beside_the_papers_model():
    def table(*sets, **other):
        entry = {"psnr_y": 32.0, "ssim_y": 0.9, "images": {}}
        run = {"self_ensemble": True, "sets": dict.fromkeys(sets, entry)}
        runs = [{**run, "width": w, "label": f"width_{w}_ensemble"} for w in (1.0, 0.25)]
        hyper = {"n_feats": 256, "n_resblocks": 32, "res_scale": 0.1}
        result = {"model": "edsr", "hyper": hyper, "scale": 4, "ckpt": "x", "runs": runs, **other}
        return markdown_table(result)

    rows = table("Set5", "Set14", "B100", "Urban100").splitlines()[4:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| width 1.0+", "| width 0.25+", "| paper: teacher, CSD+", "| paper: 0.25 alone+",
        "| paper: 0.25, CSD+",
    ]  # fmt: skip
    assert rows[2:] == [
        "| paper: teacher, CSD+ | 43.09 M |  | 32.60/0.9000 | 28.91/0.7893 | 27.77/0.7430 "
        "| 26.79/0.8063 |  |",
        "| paper: 0.25 alone+ | 2.70 M |  | 32.23/0.8957 | 28.63/0.7825 | 27.60/0.7366 "
        "| 26.07/0.7851 |  |",
        "| paper: 0.25, CSD+ | 2.70 M |  | 32.34/0.8974 | 28.72/0.7856 | 27.68/0.7396 "
        "| 26.34/0.7948 |  |",
    ]
    assert "| paper: 0.25, CSD+ | 2.70 M |  |  | 28.72/0.7856 |  |" in table("mine", "Set14")
    for text in (
        table("mine"),
        table("Set5", scale=2),
        table("Set5", hyper={"n_feats": 64, "n_resblocks": 32}),
        table("Set5", model="rcan"),
    ):
        assert "paper" not in text


def test_rgb_is_reported_for_div2k():
    entry = {"psnr_y": 32.0, "ssim_y": 0.9, "psnr_rgb": 30.125, "images": {}}
    run = {"width": None, "self_ensemble": False, "label": "bicubic", "sets": {"DIV2K": entry}}
    result = {"model": "bicubic", "hyper": {}, "scale": 2, "ckpt": None, "runs": [run]}
    assert "30.12" in markdown_table(result) and "DIV2K RGB PSNR" in markdown_table(result)


def test_validate_equals_the_benchmark_and_shards_add_up(small_set):
    pairs = benchmark_pairs(small_set, "Tiny", 2)
    whole = validate(bicubic_runner, pairs, 2)
    bicubic = evaluate([bicubic_method(2)], {"Tiny": pairs}, 2)["runs"][0]["sets"]["Tiny"]
    assert whole["psnr_y"] == pytest.approx(bicubic["psnr_y"])
    assert whole["ssim_y"] == pytest.approx(bicubic["ssim_y"])
    parts = [validate(bicubic_runner, pairs, 2, shard=(rank, 3)) for rank in range(3)]
    assert [p["count"] for p in parts] == [1, 1, 0]
    assert math.isnan(parts[2]["psnr_y"])
    total = sum(p["psnr_y_sum"] for p in parts) / sum(p["count"] for p in parts)
    assert total == pytest.approx(whole["psnr_y"])


def test_validate_takes_decoded_images(sample_image):
    class Decoded:
        name = "held in memory"

    def load(item, scale):
        return sample_image[:60, :82], imresize_bicubic(sample_image[:60, :82], 1 / scale)

    result = validate(bicubic_runner, [Decoded()], 2, load=load)
    assert list(result["images"]) == ["held in memory"] and 20 < result["psnr_y"] < 60


def test_an_image_too_small_to_score_is_named(tmp_path, sample_image):
    from PIL import Image

    folder = tmp_path / "Small" / "HR"
    folder.mkdir(parents=True)
    Image.fromarray(sample_image[:12, :12]).save(folder / "dot.png")
    with pytest.raises(InputError, match="Small/dot"):
        evaluate([bicubic_method(2)], {"Small": benchmark_pairs(tmp_path, "Small", 2)}, 2)


def test_files_that_are_no_metrics_are_named(tmp_path):
    for text in ("", "[]", '{"runs": 3}', '{"a": 1}'):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(InputError, match=r"metrics\.json"):
            read_metrics(tmp_path / "metrics.json")
    with pytest.raises(InputError, match="kernel"):
        bicubic_method(2, "lanczos")
