"""Elastic widths from one end to the other: train two students, then every program at each."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csd.cli import PROGRAMS
from csd.errors import run_main

ROOT = Path(__file__).resolve().parents[2]


def program(name: str):
    """`<name>.py` called in this process: arguments -> exit code."""
    module = importlib.import_module(PROGRAMS[name][0])
    return lambda *argv: run_main(module.main, [*map(str, argv), "--device_target=CPU"])


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory) -> Path:
    """The run folder of three steps of CSD with two students."""
    folder = tmp_path_factory.mktemp("elastic")
    config_file = folder / "elastic.yaml"
    config_file.write_text(
        "model: {name: edsr, scale: 2, n_feats: 8, n_resblocks: 1}\n"
        "data: {lr_patch: 16, val_images: 1}\n"
        "train: {method: csd, teacher: none, widths: [0.25, 0.5], batch_size: 2, epochs: 1,\n"
        "  steps_per_epoch: 3, log_every: 1}\n"
        "optim: {lr: 1.0e-3, schedule: constant}\n"
        "loss: {vgg: random, vgg_arch: vgg16, negatives: 2, width_weights: [1.0, 2.0]}\n"
    )
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--config", config_file, "--device_target=CPU",
         f"--data_dir={photos}", f"--cache_dir={folder / 'cache'}", f"--output_dir={folder}"],
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_run_logs_and_names_every_width(trained, rows):
    from csd.checkpoints import load_checkpoint
    from csd.training.log import read_rows

    assert len(rows(trained)) == 3
    assert all(float(row["contrast"]) > 0 and float(row["student"]) > 0 for row in rows(trained))
    last = read_rows(trained / "metrics.csv")[-1]
    assert all(float(last[f"val_psnr_{width}"]) > 0 for width in (1.0, 0.5, 0.25))
    meta = load_checkpoint(trained / "best.ckpt").meta
    assert meta["widths"] == [1.0, 0.5, 0.25]
    students = [float(last[f"val_psnr_{width}"]) for width in (0.5, 0.25)]
    assert meta["progress"]["best_psnr"] == pytest.approx(np.mean(students), abs=1e-4)


@pytest.mark.slow
def test_evaluation_and_export_at_trained_and_other_widths(trained, photos, tmp_path, capsys):
    ckpt = trained / "best.ckpt"
    call = ["--ckpt", ckpt, "--sets", photos, "--cache_dir", trained / "cache"]
    assert program("eval")(*call, "--output_dir", tmp_path / "all") == 0
    metrics = json.loads((tmp_path / "all" / "metrics.json").read_text())
    assert [run["width"] for run in metrics["runs"]] == [None, 1.0, 0.5, 0.25]
    assert "widths.svg" in capsys.readouterr().out
    widths = "0.375,1.0,0.25,1.0"
    assert program("eval")(*call, "--width", widths, "--output_dir", tmp_path / "some") == 0
    metrics = json.loads((tmp_path / "some" / "metrics.json").read_text())
    marks = [(run["width"], run["trained"]) for run in metrics["runs"][1:]]
    assert marks == [(0.375, False), (1.0, True), (0.25, True)]
    assert "width 0.375 (not trained)" in capsys.readouterr().out
    assert "0.375" in (tmp_path / "some" / "widths.svg").read_text(encoding="utf-8")
    export = program("export")
    for width in (0.5, 0.25, 0.375):
        call = ["--ckpt", ckpt, "--width", width, "--size", "12x10", "--output_dir", tmp_path]
        assert export(*call) == 0  # which compares the file with the slice of the checkpoint
        facts = json.loads((tmp_path / f"edsr_x2_w{width}_12x10.mindir.json").read_text())
        assert facts["architecture"]["n_feats"] == int(8 * width)
        assert facts["largest_difference"] <= 1e-3
        warned = f"width {width} was not trained (1, 0.5, 0.25 was)" in capsys.readouterr().err
        assert warned == (width == 0.375)


@pytest.mark.slow
def test_a_budget_chooses_the_width(trained, tmp_path, capsys, caplog):
    caplog.set_level("INFO", "csd")
    rng = np.random.default_rng(0)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, side in (("small", 33), ("large", 330)):
        coarse = rng.integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(coarse).resize((side, side)).save(photos / f"{name}.png")
    infer = program("infer")
    call = ["--ckpt", trained / "best.ckpt", "--input", photos, "--cache_dir", tmp_path / "cache",
            "--tile", 192]  # fmt: skip

    def sample_images(name, *flags):
        assert infer(*call, "--output_dir", tmp_path / name, *flags) == 0
        files = [tmp_path / name / f"{photo}.png" for photo in ("small", "large")]
        return [file.read_bytes() for file in files], capsys.readouterr().out

    narrowest, _ = sample_images("narrowest", "--width", "0.25")
    whole, _ = sample_images("whole", "--width", "1.0")
    found, said = sample_images("huge", "--budget_ms", "1e9")
    assert found == whole and "measured now" in caplog.text
    assert len(re.findall(r"width 1, about \d.* ms of 1000000000, the widest there is", said)) == 2
    found, said = sample_images("tiny", "--budget_ms", "0.001")
    assert found == narrowest and "measured earlier" in caplog.text
    assert len(re.findall(r"width 0\.25, .* more than the 0\.001 allowed, and the narr", said)) == 2
    # Between what the small and the large one take at full width: each gets its own.
    (table,) = (tmp_path / "cache" / "speed").iterdir()
    content = json.loads(table.read_text())
    for row in content["widths"]:
        for point in row["points"]:
            point[1] = point[0] * row["width"] / 1000  # one ms for a thousand pixels, made up
    table.write_text(json.dumps(content))
    found, said = sample_images("middle", "--budget_ms", "60", "--compare")
    assert found[0] == whole[0] and found[1] == narrowest[1]
    assert "small.png: 33x33 -> 66x66" in said and "width 1, about 1.1 ms of 60" in said
    assert "width 0.25, about 58 ms of 60 (width 0.5: 115)" in said
    assert (tmp_path / "middle" / "large_compare.png").is_file()


def test_a_budget_and_a_width_exclude_each_other(tmp_path, capsys):
    Image.new("RGB", (9, 9)).save(tmp_path / "one.png")
    call = ["--input", tmp_path / "one.png", "--output_dir", tmp_path / "out"]
    infer = program("infer")
    assert infer(*call, "--budget_ms", "5", "--width", "0.5") == 2
    error = capsys.readouterr().err
    assert (
        error == "error: --budget_ms chooses the width itself; leave --width or --budget_ms out\n"
    )
    for wrong in ("0", "-3", "soon", "nan"):
        assert infer(*call, "--budget_ms", wrong) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: command line: infer.budget_ms must") and wrong in error
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
def test_quality_rises_with_width(shared_data, tmp_path):
    settings = {
        "model.name": "edsr", "model.scale": 2, "model.n_feats": 32, "model.n_resblocks": 2,
        "data.lr_patch": 16, "data.val_images": 1,
        "train.teacher": "none", "train.widths": "0.5,0.25", "train.batch_size": 8,
        "train.epochs": 1, "train.steps_per_epoch": 300,
        "optim.lr": 1e-3, "optim.schedule": "cosine", "optim.warmup": 20,
        "loss.vgg": "random", "loss.vgg_arch": "vgg16", "loss.negatives": 2,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--method=csd", "--device_target=CPU",
         f"--data_dir={shared_data / 'photos'}", f"--cache_dir={tmp_path / 'cache'}",
         f"--output_dir={tmp_path}", *(f"--{key}={value}" for key, value in settings.items())],
        capture_output=True, text=True, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    call = ["--ckpt", tmp_path / "last.ckpt", "--data_dir", shared_data / "benchmark"]
    assert program("eval")(*call, "--sets", "Set5", "--output_dir", tmp_path / "set5") == 0
    runs = json.loads((tmp_path / "set5" / "metrics.json").read_text())["runs"][1:]
    assert [run["width"] for run in runs] == [1.0, 0.5, 0.25]
    quality = [run["sets"]["Set5"]["psnr_y"] for run in runs]
    assert quality[0] > quality[1] > quality[2] > 25, quality
