"""What the training scripts start, without starting it."""

import os
from pathlib import Path

import pytest

from csd.cli import launch
from csd.errors import InputError
from csd.training import launcher

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Function: the job of a command line; paths are relative to an empty folder with `data`."""
    for name in ("NODE_NUM", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "CLUSTER_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "tiny.yaml").write_text("model: {scale: 2}\n")
    jobs = []
    monkeypatch.setattr(launcher, "launch", lambda job: jobs.append(job) or 0)

    def start(*words, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert launch.main(["distribute", *words], ROOT) == 0
        return jobs[-1]

    return start


@pytest.mark.parametrize(("target", "bound"), [("Ascend", True), ("GPU", False), ("CPU", False)])
def test_command_of_msrun(job, target, bound):
    """Cores are bound on Ascend alone; the settings follow train.py."""
    found = job(target, "2", "tiny.yaml", "--train.epochs=3")
    command = found.command()
    split = command.index("python3")
    given = command[command.index("mindspore.parallel.cluster.run") + 1 : split]
    pairs = dict(zip(given[::2], given[1::2], strict=True))
    assert pairs["--worker_num"] == pairs["--local_worker_num"] == "2"
    assert pairs["--master_addr"] == "127.0.0.1" and int(pairs["--master_port"]) > 1023
    assert pairs.get("--bind_core") == ("True" if bound else None)
    assert command[split + 1 :] == [
        str(ROOT / "train.py"), "--config", "tiny.yaml", "--device_target", target,
        "--train.epochs=3", "--runtime.distributed=true",
    ]  # fmt: skip
    assert found.logs.parent == Path("output/csd_edsr_x2/logs") and found.logs.is_dir()


def test_second_of_two_hosts(job):
    found = job(
        "GPU", "16", "tiny.yaml",
        NODE_NUM="2", NODE_RANK="1", MASTER_ADDR="10.0.0.1", CLUSTER_TIMEOUT="90",
    )  # fmt: skip
    assert (found.total, found.local, found.node_rank) == (16, 8, 1)
    assert (found.address, found.port, found.timeout) == ("10.0.0.1", 8118, 90)
    assert found.worker_log(8).name == "worker_8.log"
    assert found.launcher_log.name == "msrun_1.log"


def test_processes_share_the_cores_of_a_cpu(job, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    job("CPU", "3", "tiny.yaml")
    assert os.environ.pop("OMP_NUM_THREADS") == os.environ.pop("NUMBA_NUM_THREADS") == "2"
    job("GPU", "3", "tiny.yaml")
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("kind", "script", "start", "later"),
    [
        ("standalone", "run_standalone_train.sh", "Ascend", "Ascend"),
        ("distribute", "run_distribute_train.sh", "8 x Ascend", "Ascend 8"),
    ],
)
def test_without_arguments_on_accelerators(
    monkeypatch, tmp_path, capsys, kind, script, start, later
):
    """The teacher, which needs images alone, and then the whole command of CSD."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "_accelerators", lambda: ("Ascend", 8))
    with pytest.raises(InputError, match="no folder data: put DIV2K"):
        launch.main([kind], ROOT)
    then, first = capsys.readouterr().err.splitlines()
    assert then.startswith(f"afterwards: bash scripts/{script} {later} ")
    assert then.endswith(
        "paper_edsr_x4_csd.yaml --teacher=output/teacher_edsr_x4/best.ckpt --vgg=FILE"
    )
    assert first.startswith(f"training on {start} with ")
    assert first.endswith("configs/paper_edsr_x4_teacher.yaml")
