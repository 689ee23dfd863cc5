"""export.py as a user types it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def export(*arguments, **options):
    return subprocess.run(
        [sys.executable, str(ROOT / "export.py"), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


@pytest.mark.slow
def test_exports_the_narrowest_trained_width_and_describes_it(make_ckpt, tmp_path):
    ckpt = make_ckpt("edsr_x2")
    out = tmp_path / "out"
    done = export("--ckpt", ckpt, "--size", "12x10", "--output_dir", out, "--device_target", "CPU")
    assert done.returncode == 0, done.stderr
    assert "edsr x2, width 0.25, 12x10" in done.stdout
    assert sorted(p.name for p in out.iterdir()) == [
        "edsr_x2_w0.25_12x10.mindir",
        "edsr_x2_w0.25_12x10.mindir.json",
    ]
    facts = json.loads((out / "edsr_x2_w0.25_12x10.mindir.json").read_text())
    assert facts["architecture"] == {
        "name": "edsr", "scale": 2, "n_feats": 4, "n_resblocks": 2, "res_scale": 1.0,
    }  # fmt: skip
    assert (facts["scale"], facts["width"]) == (2, 0.25)
    assert facts["input"]["shape"] == [1, 3, 12, 10]
    assert facts["output"]["shape"] == [1, 3, 24, 20]
    assert facts["input"]["range"] == [0, 255] and facts["input"]["name"]
    # head 1, 2 blocks of 2, body 1, up-sampler 1, tail 1/2
    assert facts["receptive_field"]["radius"] == 7.5
    assert facts["checkpoint"] == {
        "file": "edsr_x2.ckpt",
        "sha256": hashlib.sha256(ckpt.read_bytes()).hexdigest(),
    }
    assert facts["largest_difference"] <= 1e-3
    assert "Muls" not in facts["operators"] and facts["operators"]["Conv2D"] == 8


@pytest.mark.slow
def test_untrained_width_is_exported_with_a_warning(make_ckpt, tmp_path):
    done = export(
        "--ckpt", make_ckpt(), "--width", "0.5", "--output_dir", tmp_path / "out", "--size", "8x8"
    )
    assert done.returncode == 0
    assert "warning: width 0.5 was not trained" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--ckpt FILE"),
        (["--ckpt", "none.ckpt"], "none.ckpt"),
        (["--ckpt", "x", "--width", "1.5"], "at most 1"),
        (["--ckpt", "x", "--width", "0"], "leaves no channel"),
        (["--ckpt", "x", "--file_format", "PNG"], "one of default, MINDIR, AIR, ONNX"),
        (["--ckpt", "x", "--size", "64"], "64x64,120x160"),
        (["--ckpt", "x", "--file_format", "AIR", "--size", "8x8"], "Ascend machine"),
        (["--ckpt", "x", "--device_target", "Ascend"], "device Ascend is not there"),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path, arguments, sentence):
    done = export(*arguments, "--output_dir", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()


def test_unwritable_output(make_ckpt, tmp_path):
    (tmp_path / "file").write_text("")
    done = export("--ckpt", make_ckpt(), "--size", "8x8", "--output_dir", tmp_path / "file")
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write") and done.stderr.count("\n") == 1


def test_help_loads_no_mindspore():
    code = (
        "import sys, runpy; sys.argv = ['export.py', '--help']\n"
        "try: runpy.run_path('export.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'mindspore' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--file_format" in done.stdout
