"""Devices, the oneDNN guard, and entry points that answer at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from csd.errors import InputError, WorkError, run_main
from csd.runtime import (
    choose_device,
    choose_without_mindspore,
    default_cache_dir,
    onednn_isa_guard,
)

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("version", "machine", "environ", "expected"),
    [
        ("2.8.0", "x86_64", {}, None),
        ("2.9.0", "x86_64", {}, "AVX2"),
        ("2.10.0", "x86_64", {}, "AVX2"),
        ("3.0.0", "x86_64", {}, "AVX2"),
        ("2.10.0rc1", "AMD64", {}, "AVX2"),
        ("2.10.0", "aarch64", {}, None),
        ("2.10.0", "x86_64", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, None),
    ],
)
def test_onednn_guard(version, machine, environ, expected):
    assert onednn_isa_guard(version, machine, environ) == expected


def test_device_choice():
    assert choose_device("auto", ["Ascend", "CPU"]) == "Ascend"
    assert choose_device("CPU", ["GPU", "CPU"]) == "CPU"
    with pytest.raises(InputError, match=r"device Ascend is not there: MindSpore found CPU.*CANN"):
        choose_device("Ascend", ["CPU"])
    with pytest.raises(InputError, match=r"device GPU is not there.*CUDA"):
        choose_device("GPU", ["CPU"])
    with pytest.raises(InputError, match="unknown device"):
        choose_device("TPU", ["CPU"])


def test_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "csd"


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("bad"), 2), (WorkError("full"), 1), (KeyboardInterrupt(), 130)]
)
def test_exit_codes(error, code, capsys):
    def main(_argv):
        raise error

    assert run_main(main, []) == code
    assert "Traceback" not in capsys.readouterr().err


PROGRAMS = sorted(
    p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.py"), *(ROOT / "tools").glob("*.py")]
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_loads_nothing_heavy(program):
    """`--help` must answer at once, which importing MindSpore alone would make impossible."""
    command = [sys.executable, "-X", "importtime", str(ROOT / program), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "usage" in done.stdout.lower()
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"mindspore", "torch", "cv2", "scipy", "numba", "gradio"}


def test_numba_prefers_threads_that_end_with_the_process(monkeypatch):
    """With TBB a run bound to one processor could print its last line and never end."""
    from csd.runtime import prepare_environment

    monkeypatch.delenv("NUMBA_THREADING_LAYER_PRIORITY", raising=False)
    prepare_environment()
    layers = os.environ["NUMBA_THREADING_LAYER_PRIORITY"].split()
    assert layers.index("tbb") == len(layers) - 1
    monkeypatch.setenv("NUMBA_THREADING_LAYER_PRIORITY", "tbb omp workqueue")
    prepare_environment()
    assert os.environ["NUMBA_THREADING_LAYER_PRIORITY"] == "tbb omp workqueue"


@pytest.fixture
def homeless(monkeypatch):
    """A user without $HOME, $XDG_CACHE_HOME, and entry in the system's list of users."""

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "MS_OM_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_a_user_without_a_home_folder(homeless, monkeypatch, tmp_path):
    from csd.runtime import cache_folder, prepare_environment

    for cache_dir in (None, ""):
        with pytest.raises(InputError, match=r"no home folder .*--cache_dir DIR, .*XDG_CACHE_HOME"):
            cache_folder(cache_dir)
    with pytest.raises(InputError, match=r"cache_dir ~/x: nobody here has that home folder"):
        cache_folder("~/x")
    assert cache_folder(tmp_path) == tmp_path
    prepare_environment()  # needs no cache
    assert os.environ["MS_OM_PATH"] == "/dev/null/mindspore"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "csd"


def test_data_in_the_home_of_nobody(homeless):
    from csd.data import find_pairs

    with pytest.raises(InputError, match=r"~/images does not exist"):
        find_pairs("~/images", 2)


def test_the_cpu_is_chosen_without_mindspore_where_there_is_nothing_else(tmp_path):
    assert choose_without_mindspore("CPU", tmp_path) == "CPU"
    assert choose_without_mindspore("auto", tmp_path) == "CPU"
    assert choose_without_mindspore("Ascend", tmp_path) is None
    (tmp_path / "nvidiactl").touch()  # a driver without a card
    assert choose_without_mindspore("auto", tmp_path) == "CPU"
    for node in ("davinci0", "nvidia0"):
        (tmp_path / node).touch()
        assert choose_without_mindspore("auto", tmp_path) is None
        (tmp_path / node).unlink()
