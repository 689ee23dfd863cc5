"""The training form of the convolution against the framework's own, values and gradients."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from csd.nets.vgg import VGGEncoder
from csd.ops.convolution import Convolution, adjoint_of

pytestmark = pytest.mark.usefixtures("mindspore_cpu")


class Plain(nn.Cell):
    """What `Convolution` must equal."""

    def construct(self, x, weight, bias):
        return ops.conv2d(x, weight, bias, 1, "pad", weight.shape[-1] // 2)


class Loss(nn.Cell):
    """A scalar whose gradient with respect to the convolution's output is `factors`."""

    def __init__(self, convolution):
        super().__init__()
        self.convolution = convolution

    def construct(self, x, weight, bias, factors):
        return ops.reduce_sum(self.convolution(x, weight, bias) * factors)


def values_and_gradients(convolution, arrays):
    step = ops.value_and_grad(Loss(convolution).set_train(), (0, 1, 2))
    value, gradients = step(*map(ms.Tensor, arrays))
    output = convolution(*map(ms.Tensor, arrays[:3]))
    return [t.asnumpy() for t in (output, value, *gradients)]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("n_in", "n_out"), [(5, 5), (3, 8), (8, 3), (1, 4), (4, 1)])
@pytest.mark.parametrize("form", ["own", "other"])
def test_equals_the_frameworks_convolution(n_in, n_out, kernel, form):
    """Also where a call has other channels than the layer's form was chosen for."""
    layer = (n_in, n_out) if form == "own" else (n_out, n_in)
    rng = np.random.default_rng(n_in + 10 * n_out)
    shapes = (2, n_in, 7, 9), (n_out, n_in, kernel, kernel), (n_out,), (2, n_out, 7, 9)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    found = values_and_gradients(Convolution(*layer).set_train(), arrays)
    wanted = values_and_gradients(Plain(), arrays)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_adjoint_satisfies_its_definition():
    """<conv(x), y> = <x, conv of the adjoint (y)>, in float64 by hand-made sums."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, 3, 3))
    x, y = rng.normal(size=(3, 6, 5)), rng.normal(size=(4, 6, 5))

    def convolve(image, kernel):
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
        return sum(
            np.einsum("oi,ihw->ohw", kernel[:, :, a, b], padded[:, a : a + 6, b : b + 5])
            for a in range(3)
            for b in range(3)
        )

    adjoint = adjoint_of(ms.Tensor(weight, ms.float64)).asnumpy()
    np.testing.assert_allclose(
        (convolve(x, weight) * y).sum(), (x * convolve(y, adjoint)).sum(), rtol=1e-10
    )


def test_the_encoder_keeps_the_adjoint_of_what_it_loads():
    encoder = VGGEncoder((4, "M", 6, 6))
    encoder.load_random_weights(seed=3)
    for cell in encoder.convs:
        assert cell.weight.asnumpy().any()
        np.testing.assert_array_equal(adjoint_of(cell.weight).asnumpy(), cell.adjoint.asnumpy())
