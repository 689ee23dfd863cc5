"""eval.py and tools/report.py as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words, program="eval.py"):
    command = [sys.executable, str(ROOT / program), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=170)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained EDSR x2 that says it was trained at two widths."""
    from csd import runtime
    from csd.checkpoints import network_state, save_checkpoint
    from csd.nets import create_model

    runtime.setup(device_target="CPU", seed=1)
    net = create_model("edsr", scale=2, n_feats=4, n_resblocks=1)
    path = tmp_path_factory.mktemp("weights") / "best.ckpt"
    save_checkpoint(path, network_state(net), {"model": net.describe(), "widths": [1.0, 0.5]})
    return path


@pytest.mark.slow
def test_teacher_student_and_bicubic_in_one_call(small_set, tmp_path, checkpoint):
    out = tmp_path / "out"
    done = run(
        "--ckpt", checkpoint, "--data_dir", small_set, "--sets", "Tiny", "--save_images",
        "--self_ensemble", "--tile", "32", "--output_dir", out, "--device_target", "CPU",
        "--cache_dir", tmp_path / "cache",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["model"], metrics["scale"]) == ("edsr", 2)
    found = [(r["width"], r["self_ensemble"]) for r in metrics["runs"]]
    assert found == [(None, False), (1.0, False), (1.0, True), (0.5, False), (0.5, True)]
    assert metrics["runs"][1]["parameters"] > metrics["runs"][3]["parameters"]
    assert "width 0.5+" in done.stdout and "bicubic" in done.stdout
    assert (out / "images" / "Tiny" / "width_0.5" / "two.png").is_file()
    report = run(out, "--output", tmp_path / "page.html", program="tools/report.py")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "page.html").read_text()
    assert "width 0.5" in page and page.count("data:image/png") == 2 * 4


@pytest.mark.slow
def test_engines_score_alike_and_exported_files_as_well(
    mindspore_cpu, small_set, tmp_path, checkpoint
):
    from csd.cli.evaluate import main
    from csd.export.exporter import export_checkpoint

    (onnx_file,) = export_checkpoint(checkpoint, tmp_path, file_format="ONNX")

    def evaluate(ckpt, *words):
        out = tmp_path / "out"
        arguments = ["--ckpt", ckpt, "--data_dir", small_set, "--sets", "Tiny", "--output_dir", out,
                     "--cache_dir", tmp_path / "cache", *words]  # fmt: skip
        assert main([str(word) for word in arguments]) == 0
        student = json.loads((out / "metrics.json").read_text())["runs"][-1]
        return student["engine"], student["parameters"], student["sets"]["Tiny"]["psnr_y"]

    _, parameters, psnr = evaluate(checkpoint, "--engine", "mindspore")
    for ckpt, engine, words in (
        (checkpoint, "openvino", ()),
        (checkpoint, "onnxruntime", ("--engine", "onnxruntime")),
        (onnx_file.path, "openvino", ()),
    ):
        assert evaluate(ckpt, *words) == (engine, parameters, pytest.approx(psnr, abs=1e-3))


def test_bicubic_needs_no_network(small_set, tmp_path):
    done = run(
        "--model", "bicubic", "--scale", "3", "--sets", "Tiny", "--data_dir", small_set,
        "--output_dir", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["scale"] == 3 and metrics["runs"][0]["bicubic_kernel"] == "matlab"
    assert np.isfinite(metrics["runs"][0]["sets"]["Tiny"]["psnr_y"])


def test_lr_of_another_degradation_is_scored_when_asked_for(tmp_path, reference):
    """The same HR with bicubic LR files, with black ones called unknown, and without any."""
    from csd.cli.evaluate import main
    from csd.data import benchmark_pairs, load_pair, write_png

    pair = benchmark_pairs(reference, "Set5", 4)[0]
    hr, lr = load_pair(pair, 4)
    write_png(tmp_path / "S" / "HR" / "a.png", hr)
    write_png(tmp_path / "S" / "LR" / "x4" / "a.png", np.maximum(lr, 3) - 3)
    write_png(tmp_path / "S" / "LR_unknown" / "X4" / "ax4.png", np.zeros_like(lr))

    def psnr(choice):
        words = ["--model=bicubic", "--scale=4", "--sets=S", f"--data_dir={tmp_path}"]
        assert main([*words, f"--output_dir={tmp_path / 'out'}", f"--data.lr={choice}"]) == 0
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
        return metrics["runs"][0]["sets"]["S"]["psnr_y"]

    made, bicubic, unknown = psnr("made"), psnr("bicubic"), psnr("unknown")
    assert made - 1 < bicubic < made - 0.01
    assert unknown < 15
    assert psnr(tmp_path / "S" / "LR") == bicubic


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--ckpt FILE"),
        (["--model", "bicubic"], "needs --scale"),
        (["--model", "bicubic", "--ckpt", "x"], "needs no --ckpt"),
        (["--ckpt", "absent.ckpt"], "no checkpoint absent.ckpt"),
        (["--model", "bicubic", "--scale", "5"], "2, 3 or 4"),
        (["--model", "bicubic", "--scale", "2", "--sets", "Absent"], "Absent"),
        (["--model", "bicubic", "--scale", "2", "--sets", "Tiny,./Tiny"], "two sets"),
    ],
)
def test_wrong_usage_is_one_sentence(small_set, tmp_path, words, sentence):
    done = run(*words, "--data_dir", small_set, "--output_dir", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_contradicting_scale_is_refused(small_set, tmp_path, checkpoint):
    done = run("--ckpt", checkpoint, "--scale", "4", "--output_dir", tmp_path / "out")
    assert done.returncode == 2
    assert "was trained for scale 2, not 4" in done.stderr


@pytest.mark.parametrize("program", ["eval.py", "tools/report.py"])
def test_help_loads_no_heavy_package(program):
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{program!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / program)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "assert not {'mindspore', 'numpy', 'cv2'} & set(sys.modules), 'a heavy package is loaded'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
