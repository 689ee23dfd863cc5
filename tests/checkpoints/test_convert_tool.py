"""The command: exit codes, sentences, and that help is quick to come."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from csd.checkpoints import load_network
from csd.errors import run_main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    from csd.cli import convert as module

    return lambda *argv: run_main(module.main, [str(a) for a in argv])


@pytest.fixture
def edsr_pt(tmp_path, authors):
    import torch

    path = tmp_path / "edsr_x4.pt"
    torch.save(authors.edsr(scale=4).state_dict(), path)
    return path


def test_converts_and_says_what(tool, edsr_pt, tmp_path, capsys):
    out = tmp_path / "sub" / "net.ckpt"
    code = tool("--input", edsr_pt, "--output", out, "--res_scale", 1, "--widths", "1.0,0.25")
    text = capsys.readouterr()
    assert (code, text.err) == (0, "")
    assert "EDSR (EDSR-PyTorch), x4, n_feats=8, n_resblocks=2, res_scale=1.0" in text.out
    net, meta = load_network(out)
    assert (net.name, net.scale, meta["widths"]) == ("edsr", 4, [1.0, 0.25])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "python tools/convert.py --res_scale 0.1 --input"),
        (["--res_scale", "1", "--width", "0.01"], "width 0.01 leaves no channel"),
        (["--res_scale", "1", "--widths", "1.0,2.0"], "width 2.0 is outside"),
        (["--res_scale", "1", "--widths", "a"], "--widths takes numbers"),
        (["--widths", "1.0", "--width", "0.5"], "give one"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_sentence(
    tool, edsr_pt, tmp_path, capsys, flags, message
):
    out = tmp_path / "net.ckpt"
    assert tool("--input", edsr_pt, "--output", out, *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not out.exists()


def test_output_must_be_a_known_kind_and_not_the_input(tool, edsr_pt, tmp_path, capsys):
    before = edsr_pt.read_bytes()
    assert tool("--input", edsr_pt, "--output", tmp_path / "x.onnx") == 2
    assert "must end in one of .ckpt, .safetensors, .pth, .pt" in capsys.readouterr().err
    assert tool("--input", edsr_pt, "--output", edsr_pt) == 2
    assert "is the input" in capsys.readouterr().err
    assert edsr_pt.read_bytes() == before
    assert tool("--input", tmp_path / "none.pt", "--output", tmp_path / "x.ckpt") == 2
    assert "none.pt does not exist" in capsys.readouterr().err


def test_an_own_checkpoint_is_its_network_without_the_training_state(tool, tmp_path, reference):
    from csd.checkpoints import load_checkpoint, save_checkpoint

    archive = np.load(reference / "carn_x3.npz")
    skip = ("param/sub_mean", "param/add_mean")
    names = [n for n in archive.files if n.startswith("param/") and not n.startswith(skip)]
    state = {n.removeprefix("param/"): archive[n] for n in names}
    meta = {"model": {"name": "carn", "scale": 3, "n_feats": 16}, "widths": [1.0, 0.5]}
    save_checkpoint(tmp_path / "a.ckpt", state, meta, {"moment1.entry.weight": np.ones(3)})
    assert tool("--input", tmp_path / "a.ckpt", "--output", tmp_path / "b.ckpt") == 0
    found = load_checkpoint(tmp_path / "b.ckpt")
    assert found.train_state == {} and found.meta["widths"] == [1.0, 0.5]
    assert {n: v.tobytes() for n, v in found.params.items()} == {
        n: v.tobytes() for n, v in state.items()
    }


@pytest.mark.parametrize("tool_name", ["convert.py", "download.py"])
def test_help_loads_nothing_heavy(tool_name):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{tool_name}', '--help']\n"
        "try:\n"
        f"    runpy.run_path(r'{ROOT / 'tools' / tool_name}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "assert not {'mindspore', 'torch', 'numpy'} & set(sys.modules)\n"
    )
    env = {**os.environ, "GLOG_v": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.slow
def test_a_converted_x4_network_is_evaluated_without_further_flags(
    tool, edsr_pt, tmp_path, shared_data
):
    ckpt, out = tmp_path / "net.ckpt", tmp_path / "out"
    assert tool("--input", edsr_pt, "--output", ckpt, "--res_scale", 1, "--no_verify") == 0
    command = [sys.executable, ROOT / "eval.py", "--ckpt", ckpt, "--data_dir", shared_data]
    command += ["--sets", "Set5", "--output_dir", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["scale"] == 4
    trained = [run for run in metrics["runs"] if run["width"] == 1.0]
    assert len(trained[0]["sets"]["Set5"]["images"]) == 5
