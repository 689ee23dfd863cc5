"""Everything global: device, mode, seeds, distributed start-up, the CPU kernel guard.

Nothing else in the package sets process-wide state.
"""

import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from csd.errors import InputError

DEVICE_TARGETS = ("auto", "Ascend", "GPU", "CPU")


@dataclass(frozen=True)
class Runtime:
    """Where this process runs: the device's name, and its place among the others."""

    device_target: str
    rank: int = 0
    ranks: int = 1

    def sum_over_ranks(self, *values: float) -> list[float]:
        """Each value summed over all ranks; every rank must call it."""
        return _all_reduce(values, "sum") if self.ranks > 1 else list(values)

    def max_over_ranks(self, value: float) -> float:
        """The largest of all ranks' values; every rank must call it."""
        return _all_reduce((value,), "max")[0] if self.ranks > 1 else value


def _all_reduce(values: tuple[float, ...], kind: str) -> list[float]:
    import mindspore as ms
    from mindspore import ops

    reduce = ops.AllReduce(ops.ReduceOp.SUM if kind == "sum" else ops.ReduceOp.MAX)
    return [float(v) for v in reduce(ms.Tensor(values, ms.float32)).asnumpy()]


def onednn_isa_guard(version: str, machine: str, environ: dict) -> str | None:
    """The value to give ONEDNN_MAX_CPU_ISA before MindSpore is imported, or None to leave it.

    MindSpore 2.9 and later bring a oneDNN that picks a reference kernel for NCHW convolutions on
    AVX-512: about a hundred times slower, without a word. Capped at AVX2 it picks a fast one.
    What the user has set is never touched.
    """
    if machine not in ("x86_64", "AMD64") or "ONEDNN_MAX_CPU_ISA" in environ:
        return None
    major, minor = (int(part) for part in version.split(".")[:2])
    return "AVX2" if (major, minor) >= (2, 9) else None


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/csd`, by default `~/.cache/csd`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "csd"


def prepare_environment(cache_dir: str | Path | None = None) -> None:
    """Set what must be set before MindSpore is imported."""
    from importlib.metadata import PackageNotFoundError, version

    os.environ.setdefault("GLOG_v", "3")  # MindSpore's warnings are about itself
    cache = Path(cache_dir) if cache_dir else default_cache_dir()
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache / "numba"))
    if importlib.util.find_spec("mindspore") is None:
        raise InputError("MindSpore is not installed; `pip install -r requirements.txt` brings it")
    try:
        isa = onednn_isa_guard(version("mindspore"), platform.machine(), dict(os.environ))
    except (PackageNotFoundError, ValueError):
        isa = None
    if isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = isa


def available_devices() -> list[str]:
    """Device names that MindSpore can use here, the fastest first; "CPU" is always one."""
    from mindspore import hal

    found = []
    for name in ("Ascend", "GPU"):
        try:
            if hal.is_available(name) and hal.device_count(name) > 0:
                found.append(name)
        except (RuntimeError, ValueError, AttributeError):
            continue  # a plug-in that cannot be loaded is a device that is not there
    return [*found, "CPU"]


_INSTALL = {
    "Ascend": "install CANN and the matching driver, and check them with `npu-smi info`",
    "GPU": "install CUDA 11.6 with cuDNN, and check the driver with `nvidia-smi`",
}


def choose_device(wanted: str, available: list[str]) -> str:
    """The device to use, or an InputError that says what is there and how to get the other."""
    if wanted not in DEVICE_TARGETS:
        raise InputError(f"unknown device {wanted!r}; use one of {', '.join(DEVICE_TARGETS)}")
    if wanted == "auto":
        return available[0]
    if wanted not in available:
        raise InputError(
            f"device {wanted} is not there: MindSpore found {', '.join(available)}; "
            f"{_INSTALL[wanted]}, or use --device_target {available[0]}"
        )
    return wanted


def setup(
    device_target: str = "auto",
    seed: int = 1,
    distributed: bool = False,
    cache_dir: str | Path | None = None,
) -> Runtime:
    """Make MindSpore ready: graph mode, device, seeds and, when asked, the other processes.

    Raises:
        InputError: the device is not there, or the launcher's environment is missing.
    """
    prepare_environment(cache_dir)
    import mindspore as ms

    target = choose_device(device_target, available_devices())
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(target)
    ms.set_seed(seed)
    if not distributed:
        return Runtime(target)
    if "MS_ROLE" not in os.environ:
        raise InputError(
            "this process was not started by msrun; type `bash scripts/run_distribute_train.sh`"
        )
    from mindspore.communication import get_group_size, get_rank, init

    init()
    rank, ranks = get_rank(), get_group_size()
    ms.set_auto_parallel_context(
        parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=ranks
    )
    return Runtime(target, rank, ranks)
