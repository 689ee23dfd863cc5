"""The convolution of every network here, in the form that the CPU computes fastest while training.

A stride-1 convolution and the gradient of the input of its adjoint (axes of channels exchanged,
kernel reversed) are the same map, and so are the gradients of the two kernels. What MindSpore calls
on the CPU unfolds the channels of one side k * k times in memory and multiplies; of two equal forms
the one that unfolds fewer channels is the faster one, by up to twelve times where 64 channels
become 3. A gradient of the input is folded back besides: between as many channels the convolution
wins. So each kind of layer has one form; where channels are added it is the framework's own.
"""

from mindspore import nn, ops
from mindspore.ops.operations import _grad_ops, nn_ops

from csd.ops import device

# No function and no `bprop` in here may branch: a branch that the compiler has dropped in one place
# is missing in the next, "The func graph is empty".


def adjoint_of(weight):
    """(out, in, k, k) -> (in, out, k, k), rows and columns reversed."""
    n_out, n_in, k, _ = weight.shape
    weight = ops.transpose(ops.reshape(weight, (n_out, n_in, k * k)), (1, 0, 2))
    return ops.reshape(ops.reverse(weight, (2,)), (n_in, n_out, k, k))


def convolve(x, weight):
    """x (N, in, H, W), weight (out, in, k, k), padding k // 2 -> (N, out, H, W)."""
    n_out, _, k, _ = weight.shape
    return ops.Conv2D(n_out, k, 1, "pad", k // 2)(x, weight)


def convolve_by_adjoint(x, adjoint):
    """`convolve(x, weight)`, where adjoint is `adjoint_of(weight)`."""
    n_in, n_out, k, _ = adjoint.shape
    batch, _, height, width = x.shape
    pad = k // 2
    gradient = nn_ops.Conv2DBackpropInput(n_in, k, "pad", pad, (pad, pad, pad, pad))
    return gradient(x, adjoint, (batch, n_out, height, width))


def weight_gradient(x, dout, k):
    """Gradient of the weight of `convolve`, (out, in, k, k), from that of its output."""
    n_in, n_out, pad = x.shape[1], dout.shape[1], k // 2
    gradient = _grad_ops.Conv2DBackpropFilter(n_out, k, "pad", pad, (pad, pad, pad, pad))
    return gradient(dout, x, (n_out, n_in, k, k))


def add_bias(x, bias):
    """x (N, C, H, W) plus bias (C,), a float32 parameter, in the precision of x."""
    return ops.bias_add(x, ops.cast(bias, x.dtype))


class EqualConv2d(nn.Cell):
    """For as many channels out as in.

    `construct(x, weight, adjoint)`, float32 -> `convolve(x, weight)`; no gradient goes to the
    adjoint.
    """

    def construct(self, x, weight, adjoint):
        return convolve(x, weight)

    def bprop(self, x, weight, adjoint, out, dout):
        dweight = weight_gradient(x, dout, weight.shape[-1])
        return convolve(dout, adjoint), dweight, ops.zeros_like(adjoint)


class NarrowingConv2d(nn.Cell):
    """For fewer channels out than in; called like `EqualConv2d`."""

    def construct(self, x, weight, adjoint):
        return convolve_by_adjoint(x, adjoint)

    def bprop(self, x, weight, adjoint, out, dout):
        dweight = adjoint_of(weight_gradient(dout, x, weight.shape[-1]))
        return convolve(dout, adjoint), dweight, ops.zeros_like(adjoint)


class Convolution(nn.Cell):
    """Zero-padded convolution of odd kernel size, stride 1.

    Args:
        in_channels, out_channels: of the whole layer; they choose the form, a call may have fewer.

    `enter` and `leave` are casts of its inputs and its output, in training alone: validation
    computes float32 with the same cell. `csd.ops.precision` sets them.

    `construct(x, weight, bias, adjoint=None)`: (N, in, H, W), (out, in, k, k) and (out,), or None
    for no bias -> (N, out, H, W). `adjoint_of(weight)` may be given where it is at hand.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.enter: nn.Cell | None = None
        self.leave: nn.Cell | None = None
        self.trained = None
        if device.is_cpu() and out_channels <= in_channels:
            self.trained = EqualConv2d() if out_channels == in_channels else NarrowingConv2d()

    def construct(self, x, weight, bias, adjoint=None):
        if not self.training:
            return ops.conv2d(x, weight, bias, 1, "pad", weight.shape[-1] // 2)
        if self.enter is not None:
            x, weight = self.enter(x), self.enter(weight)
        if self.trained is not None:
            if adjoint is None:
                adjoint = adjoint_of(ops.stop_gradient(weight))
            out = self.trained(x, weight, adjoint)
        else:
            out = convolve(x, weight)
        if self.leave is not None:
            out = self.leave(out)
        return out if bias is None else add_bias(out, bias)
