"""The pixel shuffle and channel scaling: each form computes the same."""

import numpy as np
import pytest


@pytest.mark.parametrize("factor", [2, 3])
def test_training_shuffles_pixels_as_inference_does(factor, mindspore_cpu):
    import mindspore as ms
    from mindspore import nn, ops

    from csd.ops.shuffle import fold_shuffle, pixel_shuffle

    class Weighed(nn.Cell):
        def __init__(self, shuffle):
            super().__init__()
            self.shuffle = shuffle

        def construct(self, x, weights):
            y = self.shuffle(x, 5, factor)
            return ops.reduce_sum(y * weights), y

    rng = np.random.default_rng(factor)
    x = ms.Tensor(rng.normal(size=(2, 5 * factor**2, 4, 3)).astype(np.float32))
    weights = ms.Tensor(rng.normal(size=(2, 5, 4 * factor, 3 * factor)).astype(np.float32))
    made = []
    for shuffle in (pixel_shuffle, fold_shuffle):
        (_, y), gradient = ops.value_and_grad(Weighed(shuffle), 0, has_aux=True)(x, weights)
        made.append((y.asnumpy(), gradient.asnumpy()))
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)


def test_channels_are_weighed_by_rows_as_by_broadcasting(mindspore_cpu):
    import mindspore as ms
    from mindspore import nn, ops

    from csd.nets.rcan import ChannelAttention
    from csd.ops.channels import use_plain_forms

    class Weighed(nn.Cell):
        def __init__(self, by_rows):
            super().__init__()
            self.attention = ChannelAttention(6, 3)
            if not by_rows:
                use_plain_forms(self)

        def construct(self, x, weights):
            y, means = self.attention(x, 5, 2), self.attention.mean(x)
            return ops.reduce_sum(y * weights), y, means

    rng = np.random.default_rng(0)
    x, weights = (ms.Tensor(rng.normal(size=(2, 5, 4, 3)).astype(np.float32)) for _ in range(2))
    state, made = Weighed(True).parameters_dict(), []
    for by_rows in (True, False):
        net = Weighed(by_rows)
        ms.load_param_into_net(net, state)
        step = ops.value_and_grad(net, 0, net.trainable_params(), has_aux=True)
        (_, *outputs), (to_x, to_parameters) = step(x, weights)
        made.append([t.asnumpy() for t in (*outputs, to_x, *to_parameters)])
    assert len(made[0]) == 7
    for one, other in zip(*made, strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_a_channels_factor_is_summed_in_float32(mindspore_cpu):
    """40000 products of 1 and 4 in float16, whose largest number is 65504."""
    import mindspore as ms
    from mindspore import ops

    from csd.ops.channels import ChannelScale

    scale = ChannelScale()
    scale.by_rows = False
    x = ms.Tensor(np.ones((1, 2, 200, 200)), ms.float16)
    factors = ms.Tensor(np.float32([0.5, 2.0]).reshape(1, 2, 1, 1))

    def total(x, factors):
        return ops.reduce_sum(4.0 * ops.cast(scale(x, factors), ms.float32))

    to_x, to_factors = ops.grad(total, (0, 1))(x, factors)
    assert (to_x.dtype, to_factors.dtype) == (ms.float16, ms.float32)
    np.testing.assert_array_equal(to_x.asnumpy()[0, :, 0, 0], [2.0, 8.0])
    np.testing.assert_array_equal(to_factors.asnumpy().ravel(), [160000.0, 160000.0])
