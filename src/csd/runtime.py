"""Everything global: device, mode, seeds, distributed start-up, the CPU kernel guard.

Nothing else in the package sets process-wide state.
"""

import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from csd.errors import InputError, WorkError

if TYPE_CHECKING:
    import numpy as np

DEVICE_TARGETS = ("auto", "Ascend", "GPU", "CPU")
# Names of the first generation, float16 inside and without dynamic shapes in its default backend.
# Ascend910B without a digit is of it; Ascend910B1 to B4 are Atlas A2, Ascend910_93xx Atlas A3.
FIRST_ASCEND_910 = (
    "Ascend910",
    "Ascend910A",
    "Ascend910ProA",
    "Ascend910PremiumA",
    "Ascend910B",
    "Ascend910ProB",
)
_WORDS = 1 << 21  # 16-bit words sent at once
# Seconds that a rank waits for the others: one may decode images or write a checkpoint. The
# launcher ends the job at once when one dies; this is for what it cannot see.
_PATIENCE = "1800"


@dataclass(frozen=True)
class Runtime:
    """Where this process runs: the device's name, and its place among the others.

    The methods are collective: every rank must call them, in the same order.
    """

    device_target: str
    rank: int = 0
    ranks: int = 1

    def gather(self, *values: float) -> list[list[float]]:
        """The values of every rank (float32), in the order of the ranks."""
        if self.ranks == 1:
            return [list(values)]
        import mindspore as ms
        import numpy as np
        from mindspore import ops

        # A sum in which each rank fills its own row: the CPU backend reduces by sums alone.
        table = np.zeros((self.ranks, len(values)), np.float32)
        table[self.rank] = values
        return ops.AllReduce()(ms.Tensor(table)).asnumpy().tolist()

    def sum_over_ranks(self, *values: float) -> list[float]:
        """Each value summed over all ranks."""
        return [sum(column) for column in zip(*self.gather(*values), strict=True)]

    def max_over_ranks(self, *values: float) -> list[float]:
        """The largest of all ranks, of each value."""
        return [max(column) for column in zip(*self.gather(*values), strict=True)]

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self.gather(0.0)

    def broadcast(self, arrays: "dict[str, np.ndarray]") -> "dict[str, np.ndarray]":
        """Rank 0's arrays on every rank, bit-exact; what the others pass is ignored."""
        if self.ranks == 1:
            return arrays
        import io

        import numpy as np

        data = b""
        if self.rank == 0:
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            data = buffer.getvalue()
        received = self._broadcast_bytes(data)
        return arrays if self.rank == 0 else dict(np.load(io.BytesIO(received)))

    def _broadcast_bytes(self, data: bytes) -> bytes:
        import mindspore as ms
        import numpy as np
        from mindspore import ops

        # float32 is what every backend sends, and it holds every 16-bit word exactly.
        high, low = self.sum_over_ranks(*divmod(len(data), 1 << 16))
        size = (int(high) << 16) + int(low)
        words = np.frombuffer(data + bytes(len(data) % 2), np.uint16)
        send = ops.Broadcast(0)
        parts = []
        for start in range(0, (size + 1) // 2, _WORDS):
            block = np.zeros(_WORDS, np.float32)
            mine = words[start : start + _WORDS]
            block[: len(mine)] = mine
            parts.append(send((ms.Tensor(block),))[0].asnumpy().astype(np.uint16))
        return b"".join(part.tobytes() for part in parts)[:size]


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
    """`$XDG_CACHE_HOME/csd`, by default `~/.cache/csd`; InputError where neither is known."""
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # neither $HOME nor an entry in the system's list of users
        raise InputError(
            "this user has no home folder to cache in; name another with --cache_dir DIR, or in "
            "the environment with XDG_CACHE_HOME"
        ) from None
    return Path(root) / "csd"


def cache_folder(cache_dir: str | Path | None) -> Path:
    """The folder to cache in: what the user named, else `default_cache_dir()`."""
    if not cache_dir:
        return default_cache_dir()
    try:
        return Path(cache_dir).expanduser()
    except RuntimeError:
        raise InputError(f"cache_dir {cache_dir}: nobody here has that home folder") from None


def _reports_dir() -> str:
    """Where MindSpore writes about a compilation that failed; /dev/null/...: nowhere."""
    try:
        return str(default_cache_dir() / "mindspore")
    except InputError:
        return f"{os.devnull}/mindspore"


def prepare_protobuf() -> None:
    """Choose protobuf's Python form; to be called before anything that imports it.

    MindSpore's messages are of an old compiler, which protobuf 4 and later takes in that form only.
    MindSpore chooses it as well, which is too late where another package has imported protobuf.
    """
    os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")


def prepare_environment() -> None:
    """Set what must be set before MindSpore is imported."""
    from importlib.metadata import PackageNotFoundError, version

    prepare_protobuf()

    os.environ.setdefault("GLOG_v", "3")  # MindSpore's warnings are about itself
    if os.environ.get("MS_ROLE") == "MS_WORKER":
        # Of the CPU's collectives, 30 s by default. Not for the scheduler: there the same name is
        # how long a worker may be silent before it counts as dead.
        os.environ.setdefault("MS_NODE_TIMEOUT", _PATIENCE)
    os.environ.setdefault("MS_OM_PATH", _reports_dir())  # else ./rank_0, wherever that is
    # TBB, which numba takes first where the system has it, can wait for ever when the process ends
    # and has one processor.
    os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp workqueue tbb")
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


def choose_without_mindspore(wanted: str, nodes: Path = Path("/dev")) -> str | None:
    """The device "CPU" where that is certain without MindSpore, else None.

    It is certain where the CPU is wanted, or the machine has no other device. Importing MindSpore
    takes longer than upscaling an image.
    """
    if wanted == "CPU":
        return "CPU"
    names = ("davinci*", "nvidia[0-9]*", "dxg")
    if wanted == "auto" and not any(any(nodes.glob(name)) for name in names):
        return "CPU"
    return None


_INSTALL = {
    "Ascend": "install CANN and the matching driver, and check them with `npu-smi info`",
    "GPU": "install CUDA 11.6 with cuDNN, and check the driver with `nvidia-smi`",
}


def accelerators() -> tuple[str, int]:
    """Name and number of the devices to train on here: ("Ascend", 8), or ("CPU", 0)."""
    prepare_environment()
    from mindspore import hal

    name = available_devices()[0]
    return (name, 0) if name == "CPU" else (name, hal.device_count(name))


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


def chip_name() -> str:
    """Name of the Ascend chip, such as Ascend910B3; "" where the framework cannot say."""
    from mindspore import hal

    try:
        return hal.get_device_name(0, "Ascend")
    except (RuntimeError, ValueError):
        return ""


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def device_memory(target: str) -> int:
    """Bytes of the memory of the device in use, the machine's for the CPU; 0: not known.

    The driver of a GPU is asked for them. That of Ascend answers 0 as long as nothing has run.
    """
    if target == "CPU":
        return machine_memory()
    import mindspore as ms

    try:
        return int(ms.hal.get_device_properties(ms.get_context("device_id"), target).total_memory)
    except (RuntimeError, ValueError, AttributeError):
        return 0


def check_device_keys(target: str, jit_level: str, precision_mode: str) -> None:
    """Raise InputError for settings that the device does not have."""
    if target == "Ascend":
        return
    if precision_mode != "default":
        raise InputError(
            f"runtime.precision_mode={precision_mode} is for Ascend, and the device is {target}; "
            f"leave it at default"
        )
    if jit_level == "O2":
        raise InputError(
            f"runtime.jit_level=O2 is for Ascend, and the device is {target}; use O0, O1 or default"
        )


def configure_device(target: str, jit_level: str, precision_mode: str) -> None:
    """Compiler and precision of the device, once it is chosen and before anything runs on it.

    float32 is float32: networks are compared by their PSNR, and rounded convolutions would show.
    "default" is the framework's own but on the first Ascend 910, which else computes float16.
    """
    import mindspore as ms

    if target == "Ascend":
        precision = ms.device_context.ascend.op_precision
        if chip_name() in FIRST_ASCEND_910:
            jit_level = "O0" if jit_level == "default" else jit_level
            if precision_mode == "default":
                precision_mode = "must_keep_origin_dtype"
        else:  # HF32 is of later chips
            precision.conv_allow_hf32(False)
            precision.matmul_allow_hf32(False)
        if precision_mode != "default":
            precision.precision_mode(precision_mode)
    elif target == "GPU":
        precision = ms.device_context.gpu.op_precision
        precision.conv_allow_tf32(False)
        precision.matmul_allow_tf32(False)
    if jit_level != "default":
        ms.set_context(jit_config={"jit_level": jit_level})


def is_scheduler() -> bool:
    """Whether this process only introduces the workers to each other."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def setup_once(device_target: str = "CPU") -> None:
    """`setup`, unless MindSpore is in use in this process: whoever imported it has set it up."""
    if "mindspore" not in sys.modules:
        setup(device_target)


def setup(
    device_target: str = "auto",
    seed: int | None = 1,
    distributed: bool = False,
    jit_level: str = "default",
    precision_mode: str = "default",
) -> Runtime:
    """Make MindSpore ready: graph mode, device, seeds and, when asked, the other processes.

    `jit_level` and `precision_mode` are those of the configuration, see `configure_device`; a
    `seed` of None leaves MindSpore's random numbers alone.

    The scheduler, which the launcher starts beside the workers, stays in here until they end.

    Raises:
        InputError: the device is not there or has not what is set, or the launcher's environment
            is missing.
        WorkError: the processes did not find each other, or (scheduler) one was lost.
    """
    if distributed and "MS_ROLE" not in os.environ:
        raise InputError(
            "this process was not started by msrun; type `bash scripts/run_distribute_train.sh`"
        )
    prepare_environment()
    import mindspore as ms

    scheduler = distributed and is_scheduler()
    target = "CPU" if scheduler else choose_device(device_target, available_devices())
    if not scheduler:
        check_device_keys(target, jit_level, precision_mode)
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(target)
    if not scheduler:
        configure_device(target, jit_level, precision_mode)
    if seed is not None:
        ms.set_seed(seed)
    if not distributed:
        return Runtime(target)
    from mindspore.communication import get_group_size, get_rank, init

    try:
        init()
    except RuntimeError as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise WorkError(
            f"the processes lost or did not find each other ({reason}); check that MASTER_ADDR and "
            f"MASTER_PORT are the same on every host and open between them"
        ) from None
    if scheduler:
        return Runtime(target)
    rank, ranks = get_rank(), get_group_size()
    ms.set_auto_parallel_context(
        parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=ranks
    )
    return Runtime(target, rank, ranks)
