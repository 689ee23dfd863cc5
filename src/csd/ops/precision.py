"""Mixed precision as a list of casts: convolutions in float16, everything that adds up in float32.

The framework's own levels (`mindspore.amp.auto_mixed_precision`) mark cells. A parameter that a
cell reads from its child stays float32 and does not compile beside float16, a network that is
shared with validation computes float16 there as well, and sums of the losses overflow. Here the
convolutions cast, while they train, and nothing else does. Weights, mean shift, losses, gradients
of the weights and the update are float32 at every level.

| level | convolutions | between them |
|---|---|---|
| O0 | float32 | float32 |
| auto | float16 | float32: bias, activation, residual sums, attention, pooling |
| O2, O3 | float16 | float16; the two are the same where nothing is normalised |
"""

import mindspore as ms
from mindspore import nn, ops

from csd.ops import device
from csd.ops.convolution import Convolution


class CastTo(nn.Cell):
    """A cast, as a cell, so that an emulation can stand in its place."""

    def __init__(self, dtype: ms.Type):
        super().__init__()
        self.dtype = dtype

    def construct(self, x):
        return ops.cast(x, self.dtype)


def default_level() -> str:
    """O0 on the CPU, auto elsewhere: `docs/ascend.md` has the measurements."""
    return "O0" if device.is_cpu() else "auto"


def set_level(root: nn.Cell, level: str) -> None:
    """Let every convolution below `root` compute at `level` while it trains.

    Raises:
        InputError: a level other than O0 on the CPU.
    """
    device.check_level(level)
    if level == "O0":
        set_casts(root, None, None)
    else:
        set_casts(root, CastTo(ms.float16), CastTo(ms.float32) if level == "auto" else None)


def set_casts(root: nn.Cell, enter: nn.Cell | None, leave: nn.Cell | None) -> None:
    """What the convolutions below `root` do to their inputs (`enter`) and output (`leave`)."""
    for _, cell in root.cells_and_names():
        if isinstance(cell, Convolution):
            cell.enter, cell.leave = enter, leave
