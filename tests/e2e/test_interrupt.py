"""Ctrl-C in the programs: one word, exit code 130, finished files whole, none half written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.flaky(reruns=1)  # signals meet a busy machine's timing

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "src" / "csd" / "pretrained" / "edsr_x4.ckpt"


@pytest.fixture
def folder(tmp_path):
    """Three images in a folder of their own."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(3):
        height, width = (60, 80) if number == 0 else (900, 600)  # the others take a while
        pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


@pytest.fixture
def start(folder):
    """Function: start a program in `folder`, its output unbuffered."""
    children = []
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    environment.pop("MS_OM_PATH", None)  # of this process

    def run(*command):
        child = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


PROGRAMS = {
    "train": (ROOT / "train.py", "--method=teacher", "--scale=2", "--data_dir=images",
              "--output_dir=out", "--data.lr_patch=8"),
    "infer": (ROOT / "infer.py", "--input=images", "--output_dir=out"),
    "eval": (ROOT / "eval.py", f"--ckpt={SHIPPED}", "--sets=images", "--data_dir=.",
             "--output_dir=out"),
    "export": (ROOT / "export.py", f"--ckpt={SHIPPED}", "--output_dir=out"),
    "convert": (ROOT / "tools" / "convert.py", "--input", SHIPPED, "--output", "out/a.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("seconds", [0.4, 0.8])
@pytest.mark.parametrize("program", PROGRAMS)
def test_during_the_imports(program, seconds, start, folder):
    child = start(*PROGRAMS[program])
    time.sleep(seconds)
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (130, "\ninterrupted\n")
    assert not out or program == "infer"  # whose imports may be over
    assert not (folder / "rank_0").exists()


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_finished_images_stay(start, folder):
    whole = start(ROOT / "infer.py", "--input=images/0.png", "--output_dir=whole")
    assert whole.wait(timeout=120) == 0
    child = start(*PROGRAMS["infer"])
    assert "0.png: 80x60 -> 320x240" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    errors = child.communicate(timeout=20)[1]
    assert child.returncode == 130 and errors.endswith("\ninterrupted\n")
    np.testing.assert_array_equal(
        _pixels(folder / "out" / "0.png"), _pixels(folder / "whole" / "0.png")
    )
    assert [path.name for path in (folder / "out").iterdir()] == ["0.png"]
    assert {path.name for path in folder.iterdir()} == {"images", "whole", "out"}
    again = start(*PROGRAMS["infer"])
    assert again.wait(timeout=120) == 0
    assert "1 exist already and are skipped" in again.stdout.readline()


def test_an_export_leaves_no_folder_of_its_own(start, folder):
    child = start(*PROGRAMS["export"])
    deadline = time.monotonic() + 60
    while not list(folder.glob("out/.export-*")):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    errors = child.communicate(timeout=20)[1]
    assert (child.returncode, errors) == (130, "\ninterrupted\n")
    assert list((folder / "out").iterdir()) == []


WRONG = """
from csd import runtime
runtime.setup("CPU")
import mindspore as ms

@ms.jit
def wrong(x):
    return x.reshape((7,))

wrong(ms.Tensor([1.0, 2.0]))
"""


def test_a_failed_compilation_leaves_the_working_folder_alone(start, folder):
    """MindSpore writes `./rank_0` about it, unless another folder is named."""
    (folder / "wrong.py").write_text(WRONG)
    child = start("wrong.py")
    errors = child.communicate(timeout=60)[1]
    assert child.returncode == 1 and "reshape" in errors.lower()
    assert not (folder / "rank_0").exists()
    assert list(folder.glob("cache/csd/mindspore/rank_0/om/analyze_fail.ir"))
