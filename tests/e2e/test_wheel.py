"""The package as it is installed: everything in the wheel, and it runs without the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def run(*words, cwd, env=None):
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the checkout, without a network."""
    copy = tmp_path_factory.mktemp("build")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")
    shutil.copytree(ROOT / "src", copy / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", copy, ".", cwd=copy)
    (file,) = copy.glob("csd_mindspore-*.whl")
    return file


@pytest.mark.slow
def test_all_files_of_the_package_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if name.startswith("csd/")}
        metadata = file.read(next(n for n in file.namelist() if n.endswith("/METADATA"))).decode()
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "csd").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == source
    assert {"csd/pretrained/edsr_x4.ckpt", "csd/reporting/report.html"} <= packed
    assert "Requires-Dist: mindspore<2.11,>=2.8" in metadata


@pytest.mark.slow
def test_requirements_pin_the_dependencies(wheel):
    with zipfile.ZipFile(wheel) as file:
        metadata = file.read(next(n for n in file.namelist() if n.endswith("/METADATA"))).decode()
    needed, optional = set(), {"ml_dtypes"}  # which onnx brings: the pin fits MindSpore's numpy
    for match in re.finditer(r"^Requires-Dist: ([\w-]+)(.*)$", metadata, re.MULTILINE):
        (optional if "extra ==" in match[2] else needed).add(match[1].lower())
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if "==" in line and line[0] != "#"}
    assert pinned - needed <= optional
    assert needed - pinned <= {"protobuf"}  # which MindSpore's own pins decide


@pytest.mark.nightly
def test_the_wheel_runs_in_a_clean_environment(wheel, tmp_path):
    """The command and the API, from a folder without the checkout; dependencies are borrowed."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env["XDG_CACHE_HOME"] = str(tmp_path / "cache")

    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    command = tmp_path / "venv" / "bin" / "csd"
    assert "csd PROGRAM" in run(command, "--help", cwd=tmp_path, env=env)
    run(command, "infer", "--input", "image.png", "--output_dir", "out", cwd=tmp_path, env=env)
    (written,) = (tmp_path / "out").glob("*.png")
    with Image.open(written) as image:
        upscaled = np.array(image)
    assert upscaled.shape == (96, 128, 3)

    code = """
import json, csd, numpy as np
from PIL import Image
image = np.array(Image.open("image.png"))
upscaler = csd.load("edsr_x4")
np.save("api.npy", upscaler.upscale(image))
print(json.dumps([csd.__file__, upscaler.scale, upscaler.width]))
"""
    said = json.loads(run(python, "-c", code, cwd=tmp_path, env=env).splitlines()[-1])
    assert said[0].startswith(str(site)) and said[1] == 4
    found = np.load(tmp_path / "api.npy")
    assert found.shape == upscaled.shape
    assert np.abs(found.astype(int) - upscaled).max() <= 1
