"""Reorder the channels of a trained network, its output unchanged, so that prefixes hold the most.

A student is a prefix of the teacher's channels, and the order of a trained teacher's channels is
an accident: its prefixes compute nothing of use. Channels that one set of convolutions writes and
another reads may be exchanged, and where nothing but sums lies between, rotated, if both sides
follow (as SliceGPT, Ashkboos et al., arXiv 2401.15024, does with the stream of a transformer).
Rotated to its principal axes, the first channels of such a space hold the most of its energy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mindspore as ms
import numpy as np

from csd.nets.layers import SlimConv2d


@dataclass(frozen=True)
class Space:
    """Channels between the convolutions that write them and those that read them.

    linear: nothing but sums and pixel shuffles lies between, so that any rotation is possible; else
    activations or products by channel, so that only their order is free. A writer with f^2 times
    the channels writes those of a pixel shuffle.
    """

    writers: Sequence[SlimConv2d]
    readers: Sequence[SlimConv2d]
    linear: bool = False


def reorder_channels(net, images: Iterable[np.ndarray]) -> None:
    """Rotate or sort the channels of every space of `net` by what `images` put into them.

    Args:
        net: a `SlimmableSR` with `spaces`.
        images: uint8 (3, h, w), RGB; some ten of 64 pixels do.

    Raises:
        InputError: the backbone has no spaces that its widths share.
    """
    spaces = net.spaces()
    moments = _second_moments(net, [conv for space in spaces for conv in space.readers], images)
    for space in spaces:
        basis = _principal(space, moments) if space.linear else _sorted(space, moments)
        for conv in space.writers:
            _rotate_outputs(conv, basis)
        for conv in space.readers:
            weight = conv.weight.asnumpy().astype(np.float64)
            _set(conv.weight, np.einsum("ik,oihw->okhw", basis, weight))


def _second_moments(net, readers: list[SlimConv2d], images) -> dict[int, np.ndarray]:
    """Mean products of the input channels of each convolution, float64 (n, n), by its id."""
    moments = {id(conv): np.zeros((conv.in_channels,) * 2) for conv in readers}

    def record(conv, inputs):
        x = inputs[0].asnumpy()
        flat = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1).astype(np.float64)
        moments[id(conv)] += flat @ flat.T / flat.shape[1]

    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)  # where hooks are called
    hooks = [conv.register_forward_pre_hook(record) for conv in readers]
    try:
        for image in images:
            net(ms.Tensor(image[None].astype(np.float32)))
    finally:
        for hook in hooks:
            hook.remove()
        ms.set_context(mode=mode)
    return moments


def _principal(space: Space, moments: dict[int, np.ndarray]) -> np.ndarray:
    """Orthonormal columns, the axis of most energy first, each with a positive largest entry."""
    total = sum(moments[id(conv)] for conv in space.readers)
    axes = np.linalg.eigh(total)[1][:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))]
    return axes * np.sign(largest)


def _sorted(space: Space, moments: dict[int, np.ndarray]) -> np.ndarray:
    """A permutation: first the channel that adds the most energy to what the readers compute."""
    scores = np.zeros(space.readers[0].in_channels)
    for conv in space.readers:
        scores += np.diag(moments[id(conv)]) * np.square(conv.weight.asnumpy()).sum((0, 2, 3))
    return np.eye(len(scores))[:, np.argsort(-scores, kind="stable")]


def _rotate_outputs(conv: SlimConv2d, basis: np.ndarray) -> None:
    weight = conv.weight.asnumpy().astype(np.float64)
    bias = conv.bias.asnumpy().astype(np.float64)
    cells = weight.reshape(len(basis), -1, *weight.shape[1:])  # (n, f^2 or 1, in, k, k)
    _set(conv.weight, np.einsum("ok,ofihw->kfihw", basis, cells))
    _set(conv.bias, np.einsum("ok,of->kf", basis, bias.reshape(len(basis), -1)))


def _set(parameter: ms.Parameter, values: np.ndarray) -> None:
    parameter.set_data(ms.Tensor(values.astype(np.float32).reshape(parameter.shape)))
