"""What `scripts/run_standalone_train.sh` and `scripts/run_distribute_train.sh` do."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from easydict import EasyDict

from csd.cli.train import output_dir
from csd.config import load_config
from csd.errors import InputError, WorkError
from csd.settings import TRAIN

_STANDALONE = """Trains on one device.
Usage: bash scripts/run_standalone_train.sh [DEVICE_TARGET CONFIG [--key=value ...]]
DEVICE_TARGET: Ascend, GPU, CPU or auto. CONFIG: a YAML file, see configs/.
--key=value: as of train.py, such as --data_dir=DIR, --resume, --train.epochs=10.
Without arguments: the best device there is, the teacher of the paper's EDSR x4 (on a CPU one that
fits it), and the images in ./data. CSD from that teacher is the next command."""

_DISTRIBUTE = """Trains on several devices, each with its share of every batch.
Usage: bash scripts/run_distribute_train.sh [DEVICE_TARGET DEVICE_NUM CONFIG [--key=value ...]]
DEVICE_TARGET: Ascend, GPU, CPU or auto. DEVICE_NUM: devices of all hosts together.
CONFIG: a YAML file, see configs/. --key=value: as of train.py, such as --data_dir=DIR, --resume.
Without arguments: all accelerators and the teacher of the paper's EDSR x4; where there is only a
CPU, two processes and a teacher that fits it; the images in ./data. CSD is the next command.
Several hosts: the same command on each, with NODE_NUM, NODE_RANK (0 on the first), MASTER_ADDR
(the first one's address) and MASTER_PORT (8118). CLUSTER_TIMEOUT: seconds to find each other (600).
The output of every rank goes to OUTPUT_DIR/logs/<start>/worker_<rank>.log."""


def main(argv: Sequence[str], root: Path) -> int:
    """Train on one device (`standalone`, the first argument) or on several (`distribute`).

    Args:
        root: folder of train.py and configs/. Paths of the user are relative to the current folder.
    """
    kind, *arguments = argv
    usage, needed = (_STANDALONE, 2) if kind == "standalone" else (_DISTRIBUTE, 3)
    if arguments and arguments[0] in ("-h", "--help"):
        print(usage)
        return 0
    if 0 < len(arguments) < needed:
        print(usage, file=sys.stderr)
        return 2
    return (_standalone if kind == "standalone" else _distribute)(arguments, root)


def _standalone(arguments: list[str], root: Path) -> int:
    if arguments:
        target, config, *options = arguments
    else:
        target, _ = _accelerators()
        config, options = _default_config(root, target), []
        _print_next("run_standalone_train.sh", root, target)
        print(f"training on {target} with {config}", file=sys.stderr, flush=True)
    _check_target(target)
    _check_config(config)
    options = ["--config", config, "--device_target", target, *options]
    _settings(options)
    program = [sys.executable, str(root / "train.py"), *options]
    os.execv(program[0], program)


def _distribute(arguments: list[str], root: Path) -> int:
    from csd.pipes import readers_may_leave
    from csd.training.launcher import Job, launch

    hosts = _whole_number("NODE_NUM", os.environ.get("NODE_NUM", "1"), 1)
    host = _whole_number("NODE_RANK", os.environ.get("NODE_RANK", "0"), 0)
    if host >= hosts:
        raise InputError(f"NODE_RANK={host}: of {hosts} hosts the last is {hosts - 1}")
    if arguments:
        target, devices, config, *options = arguments
    else:
        target, count = _accelerators()
        config, options = _default_config(root, target), []
        devices = str((2 if target == "CPU" else count) * hosts)
        _print_next("run_distribute_train.sh", root, target, devices)
        print(f"training on {devices} x {target} with {config}", file=sys.stderr, flush=True)
    _check_target(target)
    total = _whole_number("DEVICE_NUM", devices, 1)
    _check_config(config)
    if total % hosts:
        raise InputError(f"DEVICE_NUM={total} cannot be shared evenly by {hosts} hosts")
    if hosts > 1 and not os.environ.get("MASTER_ADDR"):
        raise InputError(
            f"NODE_NUM={hosts} needs MASTER_ADDR, the address of the host with NODE_RANK=0"
        )
    options = [
        "--config", config, "--device_target", target, *options, "--runtime.distributed=true",
    ]  # fmt: skip
    logs = _log_folder(Path(output_dir(_settings(options))))
    if target == "CPU" and not os.environ.get("OMP_NUM_THREADS"):
        # Each process would take all cores.
        threads = str(max(1, len(os.sched_getaffinity(0)) * hosts // total))
        os.environ["OMP_NUM_THREADS"] = threads
        os.environ.setdefault("NUMBA_NUM_THREADS", threads)
    job = Job(
        program=[str(root / "train.py"), *options],
        total=total,
        local=total // hosts,
        node_rank=host,
        address=os.environ.get("MASTER_ADDR") or "127.0.0.1",
        port=_whole_number("MASTER_PORT", os.environ.get("MASTER_PORT") or _port(hosts), 1024),
        logs=logs,
        timeout=_whole_number("CLUSTER_TIMEOUT", os.environ.get("CLUSTER_TIMEOUT") or "600", 1),
        bind_cores=target == "Ascend",  # elsewhere msrun would guess
    )
    with readers_may_leave():
        return launch(job)


def _check_target(target: str) -> None:
    if target not in ("Ascend", "GPU", "CPU", "auto"):
        raise InputError(f"DEVICE_TARGET must be Ascend, GPU, CPU or auto, not '{target}'")


def _check_config(config: str) -> None:
    if not Path(config).is_file():
        raise InputError(f"no configuration file {config}; see those in configs/")


def _whole_number(name: str, value: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,6}", value) or int(value) < least:
        raise InputError(f"{name} must be a whole number of at least {least}, not '{value}'")
    return int(value)


def _accelerators() -> tuple[str, int]:
    """("Ascend", 8), ("GPU", 2), or ("CPU", 0): asked in a process that loads MindSpore."""
    ask = "from csd import runtime; print(*runtime.accelerators())"
    done = subprocess.run([sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise WorkError("MindSpore cannot say which devices are here; name one: DEVICE_TARGET")
    name, count = done.stdout.split()[-2:]
    return name, int(count)


def _default_config(root: Path, target: str) -> str:
    """Without arguments: the paper's teacher, or one that fits a CPU; CSD starts from it."""
    return str(root / "configs" / f"{'cpu' if target == 'CPU' else 'paper'}_edsr_x4_teacher.yaml")


def _print_next(script: str, root: Path, *first: str) -> None:
    config = _default_config(root, first[0]).replace("teacher.yaml", "csd.yaml")
    files = ["--teacher=output/teacher_edsr_x4/best.ckpt"]
    if first[0] != "CPU":  # the CPU's config names a VGG of its own
        files.append("--vgg=FILE")
    words = " ".join(["bash", f"scripts/{script}", *first, config, *files])
    print(f"afterwards: {words}", file=sys.stderr)


def _settings(options: list[str]) -> EasyDict:
    """The settings of the run; raises InputError for what is wrong, before anything starts."""
    config = load_config(TRAIN, options)
    if not Path(config.data.data_dir).expanduser().is_dir():
        raise InputError(
            f"no folder {config.data.data_dir}: put DIV2K or other images there, or name their "
            "folder with --data_dir=DIR"
        )
    return config


def _log_folder(run_folder: Path) -> Path:
    logs = run_folder / "logs" / time.strftime("%Y%m%d-%H%M%S")
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise InputError(
            f"cannot write to {run_folder}; choose another with --output_dir=DIR"
        ) from None
    return logs


def _port(hosts: int) -> str:
    """8118 for several hosts, else one that is free."""
    if hosts > 1:
        return "8118"
    with socket.socket() as probe:
        probe.bind(("", 0))
        return str(probe.getsockname()[1])
