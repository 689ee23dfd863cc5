"""Does a graph that was just made compute what its network computes, at other sizes?

A graph is made for one size, and what in it follows from that size is found and freed. A size that
hides in a number of its own (a padding, a count of pixels) is not found: it shows here.
"""

from typing import TYPE_CHECKING

import numpy as np

from csd.errors import InputError, WorkError
from csd.inference.engines.base import Engine, EngineMissing
from csd.inference.engines.mindspore import make_runner

if TYPE_CHECKING:
    from csd.nets import SlimmableSR

_SIZES = ((41, 57), (16, 9))
# Of the largest value, at least of 255. Rounding in deep networks is a hundredth of it.
_TOLERANCE = 1e-4


def check_engine(engine: Engine, net: "SlimmableSR", width: float) -> None:
    """Compare an engine with the MindSpore network that it is of, at two sizes.

    A backbone of the package is not tried: the tests hold its graphs to MindSpore at every size,
    and compiling RCAN for this takes minutes. (Without compiling, in PyNative mode, a process that
    had exported a graph ended in a corrupted heap every third time, MindSpore 2.8.)

    Raises:
        EngineMissing: the engine fails, or gives another shape or other values.
    """
    if type(net).__module__.startswith("csd.nets."):
        return
    run = make_runner(net, width)
    for size in _SIZES:
        x = np.random.default_rng(0).uniform(0, 255, (1, 3, *size)).astype(np.float32)
        try:
            got = engine(x)
        except (InputError, WorkError) as error:
            raise _no_graph(f"{_sides(x)}: {error}") from None
        wanted = run(x)
        if got.shape != wanted.shape:
            raise _no_graph(f"{_sides(x)} becomes {_sides(got)}, not {_sides(wanted)}")
        difference = np.abs(got - wanted).max()
        if difference > _TOLERANCE * max(255.0, np.abs(wanted).max()):  # false for undefined values
            raise _no_graph(f"its values differ by {difference:.2g} at {_sides(x)}")


def _sides(x: np.ndarray) -> str:
    return "x".join(map(str, x.shape[2:]))


def _no_graph(reason: str) -> EngineMissing:
    return EngineMissing(f"there is no ONNX graph of this network for every size ({reason})")
