"""int8: judged before it is kept, taken by every program, and as good as promised."""

import configparser
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import csd
from csd.data import imresize_bicubic, modcrop, read_image
from csd.errors import InputError, WorkError, run_main
from csd.evaluation import psnr_y
from csd.export.quantize import Judgement, check_drop, check_quantizer, facts_of, keep_if_good

PACKAGE = Path(csd.__file__).parent


def judgement(float32=30.0, int8=29.95):
    return Judgement(float32, int8, 8, 100.0, 40.0, (320, 480), "Some CPU", True)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of 20 crops of 64 x 64 of the package's own image."""
    whole = read_image(PACKAGE / "export" / "photo.png")
    folder = tmp_path_factory.mktemp("calibration")
    side = 64
    rng = np.random.default_rng(1)
    for number in range(20):
        top, left = (int(rng.integers(0, length - side + 1)) for length in whole.shape[:2])
        crop = whole[top : top + side, left : left + side]
        Image.fromarray(np.rot90(crop, number)).save(folder / f"{number:02d}.png")
    return folder


def test_a_loss_above_the_limit_is_an_error():
    result = judgement()
    assert result.drop == pytest.approx(0.05) and result.speed == 2.5
    check_drop(result, 0.05 + 1e-9)
    with pytest.raises(WorkError, match=r"0\.050 dB below float32 on the 8 images .* 0\.04"):
        check_drop(result, 0.04)
    with pytest.raises(WorkError):
        check_drop(judgement(int8=float("nan")), 0.1)
    check_drop(judgement(int8=31.0), 0.0)
    facts = facts_of(result)
    assert (facts["drop"], facts["speed"], facts["processor"]) == (0.05, 2.5, "Some CPU")


def tiny_model():
    import openvino
    from openvino import opset13 as ops

    x = ops.parameter([1, 3, -1, -1], np.float32, name="x")
    return openvino.Model([ops.relu(x)], [x], "tiny")


def test_files_are_kept_together_or_not_at_all(tmp_path):
    target, seen = tmp_path / "out" / "a.xml", []

    def judged(made):
        assert made.is_file() and made.with_suffix(".bin").is_file() and made.parent != tmp_path
        seen.append(made)
        return judgement()

    def described(made, result):
        return {"drop": result.drop}

    with pytest.raises(WorkError, match="nothing is kept"):
        keep_if_good(tiny_model(), target, judged, described, 0.01)
    assert list((tmp_path / "out").iterdir()) == []
    keep_if_good(tiny_model(), target, judged, described, 0.1)
    assert len(seen) == 2
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.bin", "a.xml", "a.xml.json"]
    assert json.loads((tmp_path / "out" / "a.xml.json").read_text())["drop"] == pytest.approx(0.05)


@pytest.mark.parametrize("name", ["nncf", "openvino"])
def test_what_is_missing_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"needs the package {name}.*csd-mindspore\[quantize\]"):
        check_quantizer()


def export(*argv):
    from csd.cli import export as program

    return run_main(program.main, [str(a) for a in argv])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--precision", "int8"], "--calibration FOLDER"),
        (["--precision", "int8", "--calibration", "f", "--file_format", "ONNX"], "not written as"),
        (["--precision", "int8", "--calibration", "f", "--size", "8x8"], "leave --size out"),
        (["--precision", "int4"], "float32"),
        (["--calibration", "f"], "add --precision int8"),
        (["--file_format", "OPENVINO"], "use --file_format ONNX"),
        (["--precision", "int8", "--calibration", "f", "--file_format", "MINDIR"], "fixed sizes"),
    ],
)
def test_wrong_usage_is_one_sentence(capsys, argv, words):
    assert export("--ckpt", PACKAGE / "pretrained" / "edsr_x2.ckpt", *argv) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and words in error[0]


@pytest.mark.slow
def test_every_program_takes_the_file(make_ckpt, images, tmp_path, capsys):
    out = tmp_path / "out"
    argv = ["--ckpt", make_ckpt("edsr_x2"), "--precision", "int8", "--calibration", images]
    assert export(*argv, "--output_dir", out, "--max_drop", "50") == 0
    printed = capsys.readouterr().out
    assert "held back" in printed and "float32" in printed and "its speed" in printed
    path = out / "edsr_x2_w0.25_int8.xml"
    facts = json.loads(Path(f"{path}.json").read_text())
    assert facts["precision"] == "int8" and facts["int8"]["images"] == 8
    assert facts["int8"]["calibrated_with"] == 12
    assert facts["int8"]["drop"] == pytest.approx(
        facts["int8"]["float32"] - facts["int8"]["int8"], abs=1e-4
    )
    upscaler = csd.load(path)
    assert (upscaler.scale, upscaler.width, upscaler.engine.name) == (2, 0.25, "openvino")
    lr = read_image(images / "00.png")[:40, :50]
    sr = upscaler.upscale(lr)
    float32 = csd.load(tmp_path / "edsr_x2.ckpt", width=0.25).upscale(lr)
    assert sr.shape == (80, 100, 3) and np.abs(sr.astype(int) - float32).mean() < 12

    weights = path.with_suffix(".bin").read_bytes()
    path.with_suffix(".bin").write_bytes(weights[:-4] + b"\0\0\1\1")
    with pytest.raises(InputError, match=r"int8\.bin is damaged"):
        csd.load(path)
    path.with_suffix(".bin").write_bytes(weights)

    from csd.cli import evaluate, infer

    argv = ["--ckpt", path, "--input", images / "00.png", "--output_dir", tmp_path / "up"]
    assert run_main(infer.main, [str(a) for a in argv]) == 0
    assert Image.open(tmp_path / "up" / "00.png").size == (128, 128)
    argv = ["--ckpt", path, "--data_dir", images.parent, "--sets", images.name]
    assert run_main(evaluate.main, [*map(str, argv), "--output_dir", str(tmp_path / "eval")]) == 0
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    (run,) = (run for run in metrics["runs"] if run["width"] is not None)
    assert (run["width"], run["precision"], run["label"]) == (0.25, "int8", "width_0.25_int8")


@pytest.mark.slow
def test_a_bad_file_is_not_kept(make_ckpt, images, tmp_path):
    from csd import runtime
    from csd.export.int8 import export_openvino

    runtime.setup("CPU")
    values = iter([30.0, 29.8] * 8)
    with pytest.raises(WorkError, match=r"0\.200 dB below"):
        export_openvino(
            make_ckpt("edsr_x2"), tmp_path / "out", calibration=images,
            quality=lambda sr, hr, border: next(values),
        )  # fmt: skip
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("label", ["carn_x2", "rcan_x2"])
def test_other_backbones_are_close_to_float32(label, make_ckpt, images, tmp_path):
    argv = ["--ckpt", make_ckpt(label), "--precision", "int8", "--calibration", images]
    assert export(*argv, "--output_dir", tmp_path, "--max_drop", "50") == 0
    lr = read_image(images / "00.png")[:40, :50]
    sr = csd.load(tmp_path / f"{label}_w0.25_int8.xml").upscale(lr)
    float32 = csd.load(tmp_path / f"{label}.ckpt", width=0.25).upscale(lr)
    assert 0 < np.abs(sr.astype(int) - float32).mean() < 12


@pytest.mark.slow
def test_what_ascend_needs_lies_beside_the_mindir(make_ckpt, images, tmp_path):
    out = tmp_path / "out"
    argv = ["--ckpt", make_ckpt("edsr_x2"), "--precision", "int8", "--calibration", images]
    argv += ["--file_format", "MINDIR", "--size", "24x32", "--output_dir", out]
    assert export(*argv) == export(*argv) == 0  # again: the old files are replaced
    stem = "edsr_x2_w0.25_24x32"
    names = [f"{stem}.mindir", f"{stem}.mindir.json", f"{stem}_images", f"{stem}_int8.cfg"]
    assert sorted(path.name for path in out.iterdir()) == names
    config = configparser.ConfigParser()
    config.read(out / f"{stem}_int8.cfg")
    assert config["common_quant_param"]["quant_type"] == "FULL_QUANT"
    assert config["full_quant_param"]["target_device"] == "ASCEND"
    data = config["data_preprocess_param"]
    name = json.loads((out / f"{stem}.mindir.json").read_text())["input"]["name"]
    assert data["calibrate_path"] == f"{name}:{stem}_images"
    files = sorted((out / f"{stem}_images").iterdir())
    assert data["input_type"] == "BIN" and int(data["calibrate_size"]) == len(files) == 12
    image = np.fromfile(files[0], "<f4").reshape(1, 24, 32, 3)
    lr = imresize_bicubic(read_image(images / "00.png"), 0.5)
    np.testing.assert_array_equal(image[0], lr[4:28])


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shipped_students_lose_a_tenth_of_a_decibel_at_most(scale, shared_data, tmp_path):
    ckpt = PACKAGE / "pretrained" / f"edsr_x{scale}.ckpt"
    argv = ["--ckpt", ckpt, "--precision", "int8", "--calibration"]
    argv.append(shared_data / "photos" / "HR")
    assert export(*argv, "--output_dir", tmp_path) == 0
    int8 = csd.load(tmp_path / f"edsr_x{scale}_w0.25_int8.xml")
    float32 = csd.load(ckpt, width=0.25)
    sets = [shared_data / "benchmark" / name / "HR" for name in ("Set5", "Set14")]
    for folder in sets:
        drops = []
        for path in sorted(folder.iterdir()):
            hr = modcrop(read_image(path), scale)
            lr = imresize_bicubic(hr, 1 / scale)
            drops.append(
                psnr_y(float32.upscale(lr), hr, scale) - psnr_y(int8.upscale(lr), hr, scale)
            )
        assert np.mean(drops) <= 0.1
