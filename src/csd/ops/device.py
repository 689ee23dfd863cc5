"""The one place where the code asks which device it builds a graph for."""

import mindspore as ms

from csd.errors import InputError


def target() -> str:
    """One of "Ascend", "GPU" and "CPU"; tests replace this to compile the other two's branches."""
    return ms.get_context("device_target")


def is_cpu() -> bool:
    """Whether the target is the CPU."""
    return target() == "CPU"


def check_level(level: str) -> None:
    """Raise InputError for a level of mixed precision that the device cannot compute."""
    if level != "O0" and is_cpu():
        raise InputError(
            f"runtime.amp_level={level}: MindSpore has no float16 convolution on the CPU; leave it "
            f"at default, or set O0"
        )
