"""The shell scripts check what they are given before they start anything."""

import subprocess
import sys

import pytest

STANDALONE, DISTRIBUTE = "scripts/run_standalone_train.sh", "scripts/run_distribute_train.sh"


@pytest.fixture
def shell(request, tmp_path):
    """Function: run a script in an empty folder with some more environment."""

    def run(script, *arguments, **environ):
        import os

        return subprocess.run(
            ["bash", request.config.rootpath / script, *map(str, arguments)],
            cwd=tmp_path, env={**os.environ, **environ}, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("script", [STANDALONE, DISTRIBUTE])
def test_usage(shell, script):
    for flag in ("-h", "--help"):
        done = shell(script, flag)
        assert done.returncode == 0 and f"Usage: bash {script} [DEVICE_TARGET" in done.stdout
    done = shell(script, "CPU")
    assert done.returncode == 2 and "Usage:" in done.stderr and not done.stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["TPU", "2", "{file}"], {}, "DEVICE_TARGET must be Ascend, GPU, CPU or auto, not"),
        (["CPU", "0", "{file}"], {}, "DEVICE_NUM must be a whole number of at least 1, not"),
        (
            ["CPU", "two", "{file}"],
            {},
            "DEVICE_NUM must be a whole number of at least 1, not",
        ),
        (["CPU", "2", "none.yaml"], {}, "no configuration file none.yaml; see those in configs"),
        (
            ["CPU", "2", "{file}"],
            {},
            "no folder data: put DIV2K or other images there, or name",
        ),
        (["CPU", "2", "{file}", "--data_dir=."], {}, "cannot write to /proc/run; choose another"),
        (
            ["CPU", "2", "{file}", "--data_dir=.", "--optim.lrr=1"],
            {},
            "command line: unknown key optim.lrr",
        ),
        (
            ["CPU", "3", "{file}"],
            {"NODE_NUM": "2"},
            "DEVICE_NUM=3 cannot be shared evenly by",
        ),
        (["CPU", "2", "{file}"], {"NODE_NUM": "2"}, "NODE_NUM=2 needs MASTER_ADDR, the address"),
        (["CPU", "2", "{file}"], {"NODE_RANK": "1"}, "NODE_RANK=1: of 1 hosts the last is 0"),
        (
            ["CPU", "2", "{file}", "--data_dir=."],
            {"MASTER_PORT": "80"},
            "MASTER_PORT must be",
        ),
    ],
)
def test_wrong_arguments(shell, config_file, tmp_path, arguments, environ, sentence):
    out = "/proc/run" if "/proc" in sentence else tmp_path / "run"
    given = [a.format(file=config_file[0]) for a in arguments]
    if len(given) > 3:
        given.append(f"--output_dir={out}")
    done = shell(DISTRIBUTE, *given, **environ)
    assert done.returncode == 2
    assert f"error: {sentence}" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("script", "start"), [(STANDALONE, "CPU"), (DISTRIBUTE, "2 x CPU")])
def test_without_arguments(shell, script, start, monkeypatch):
    """A config that fits the machine, and what to do where there are no images."""
    done = shell(script)
    if "Ascend" in done.stderr or "GPU" in done.stderr:
        pytest.skip("this machine has an accelerator")
    later, first, error = done.stderr.splitlines()[-3:]
    assert later.startswith(f"afterwards: bash {script} CPU ")
    assert later.endswith("cpu_edsr_x4_csd.yaml --teacher=output/teacher_edsr_x4/best.ckpt")
    assert first.startswith(f"training on {start} with ")
    assert first.endswith("configs/cpu_edsr_x4_teacher.yaml")
    assert error.startswith("error: no folder data: put DIV2K or other images there")
    assert done.returncode == 2


def test_standalone_checks_too(shell, config_file):
    done = shell(STANDALONE, "CPU", config_file[0], "--train.epoch=2", "--data_dir=.")
    assert done.returncode == 2
    assert "error: command line: unknown key train.epoch; did you mean epochs" in done.stderr


def test_launcher_knows_its_arguments(monkeypatch, mindspore_cpu):
    """The installed launcher takes what the script gives it."""
    from mindspore.parallel.cluster import run

    monkeypatch.setattr(sys, "argv", ["msrun", "--bind_core", "True", "--join", "True", "train.py"])
    given = run.get_args()
    assert given.bind_core is True and given.task_script == "train.py"
