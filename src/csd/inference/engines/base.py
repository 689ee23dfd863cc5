"""What an engine is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from csd.errors import InputError

Runner = Callable[[np.ndarray], np.ndarray]

# A compiled graph: arrays by input name -> the outputs in their order.
Compiled = Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]]


class EngineMissing(InputError):
    """An engine cannot be used here, or not for this network; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A network in a runtime, at one width.

    name: "mindspore", "openvino" or "onnxruntime". run: float32 (N, 3, H, W), RGB 0..255 ->
    (N, 3, scale * H, scale * W).

    pooled_over: for a network that averages over the whole image, as RCAN's attention does, else
    None: from float32 (1, 3, h, w) a runner that uses the averages of that image. Tiles of one
    image, each run with the averages of a small copy of it, come out as parts of the whole.
    """

    name: str
    run: Runner
    pooled_over: Callable[[np.ndarray], Runner] | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.run(x)

    def __str__(self) -> str:
        return self.name


def graph_engine(name: str, compiled: Compiled, means: tuple[int, int] | None = None) -> Engine:
    """An engine of a compiled graph whose image input is `x`; `means`: as in `Graph`."""
    if means is None:
        return Engine(name, lambda x: compiled({"x": _plain(x)})[0])
    count, channels = means
    zeros = np.zeros((count, 1, channels, 1, 1), np.float32)

    def call(x: np.ndarray, given: np.ndarray, trust: float) -> Sequence[np.ndarray]:
        return compiled({"x": _plain(x), "given": given, "trust": np.array(trust, np.float32)})

    def pooled_over(small: np.ndarray) -> Runner:
        given = np.array(call(small, zeros, 0.0)[1])
        return lambda x: call(x, given, 1.0)[0]

    return Engine(name, lambda x: call(x, zeros, 0.0)[0], pooled_over)


def _plain(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, np.float32)
