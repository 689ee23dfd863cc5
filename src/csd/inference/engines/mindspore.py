"""MindSpore, on any device: the network itself, compiled for images of every size."""

from collections.abc import Callable

import numpy as np

from csd.inference.engines.base import Engine, Runner


def make_runner(net, width: float = 1.0) -> Engine:
    """The engine of `net` at `width`, compiled once, on its first call, for images of every size.

    The weights are the net's own: training may continue changing them between calls. The compiled
    graph takes (N, 3, H, W) with N, H and W unknown; its values equal those of a graph compiled
    for the one size. For a network with channel attention it has `pooled_over`.

    Raises InputError for a width that leaves a layer no channel.
    """
    import mindspore as ms
    from mindspore import nn

    from csd.nets import check_width

    check_width(net, width)

    class AnySize(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.net = net

        def construct(self, x):
            return self.net(x, width)

    cell = AnySize()
    cell.set_inputs(ms.Tensor(shape=[None, 3, None, None], dtype=ms.float32))

    def run(x: np.ndarray) -> np.ndarray:
        return cell(ms.Tensor(np.ascontiguousarray(x, np.float32))).asnumpy()

    pooled = _pooling(net, width) if hasattr(net, "pooled") else None
    return Engine("mindspore", run, pooled)


def _pooling(net, width: float) -> Callable[[np.ndarray], Runner]:
    """`Engine.pooled_over` of a network with `pooled`; one more graph, compiled when used.

    The one graph makes the averages and takes them: deep networks compile for a minute.
    """
    import mindspore as ms
    from mindspore import nn

    class Pooled(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.net = net

        def construct(self, x, means, trust):
            return self.net.pooled(x, width, means, trust)

    cell = Pooled()
    shape = net.pooled_shape(width)
    cell.set_inputs(
        ms.Tensor(shape=[None, 3, None, None], dtype=ms.float32),
        ms.Tensor(shape=shape, dtype=ms.float32),
        ms.Tensor(shape=[], dtype=ms.float32),
    )

    def call(x: np.ndarray, means: np.ndarray, trust: float) -> tuple:
        inputs = (np.ascontiguousarray(x, np.float32), means, np.float32(trust))
        return cell(*(ms.Tensor(value) for value in inputs))

    def pooled_over(x: np.ndarray) -> Runner:
        means = call(x, np.zeros(shape, np.float32), 0.0)[1].asnumpy()
        return lambda tile: call(tile, means, 1.0)[0].asnumpy()

    return pooled_over
