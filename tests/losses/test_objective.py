"""Elastic widths: one objective of several students is the sum of objectives of one."""

import numpy as np
import pytest

from csd.errors import InputError
from csd.losses import CSDObjective, ReconstructionObjective, sandwich

WIDTHS = (1.0, 0.5, 0.25)
TINY_VGG = (4, 4, "M", 8, "M", 8, "M", 8, "M", 8)


@pytest.fixture(scope="module")
def problem():
    """(network, encoder, lr, hr, negatives) of four features, x2, on noise."""
    import mindspore as ms

    from csd import runtime
    from csd.nets import VGGEncoder, create_model
    from csd.nets.layers import compile_each

    runtime.setup("CPU", seed=1)
    net = create_model("edsr", scale=2, n_feats=4, n_resblocks=1)
    compile_each(net)  # several objectives share it, as two steps do
    encoder = VGGEncoder(TINY_VGG)
    encoder.load_random_weights()
    rng = np.random.default_rng(0)
    shapes = ((2, 3, 16, 16), (2, 3, 32, 32), (2, 3, 32, 32))
    images = [ms.Tensor(rng.uniform(0, 255, shape).astype(np.float32)) for shape in shapes]
    return net, encoder, *images


def _values(objective, *batch):
    """The four losses and the gradients of the total, float64."""
    from mindspore import nn, ops

    class Gradients(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.objective = objective
            self.compute = ops.value_and_grad(
                self.losses, None, objective.net.trainable_params(), has_aux=True
            )

        def losses(self, *batch):
            losses = self.objective(*batch)
            return losses[0], ops.stack(losses)

        def construct(self, *batch):
            (_, losses), gradients = self.compute(*batch)
            return losses, gradients

    losses, gradients = Gradients()(*batch)
    return losses.asnumpy().astype(np.float64), [g.asnumpy().astype(np.float64) for g in gradients]


def _assert_sum(together, parts, weights):
    """`together` is the weighted sum of `parts`, of which the first alone has the teacher."""
    values, gradients = together
    shares = [1.0, *weights]
    expected = sum(s * v for s, (v, _) in zip(shares, parts, strict=True))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    for i, gradient in enumerate(gradients):
        wanted = sum(s * g[i] for s, (_, g) in zip(shares, parts, strict=True))
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    assert np.abs(gradients[0]).max() > 0


@pytest.fixture(scope="module")
def apart(problem):
    """Values and gradients of the teacher's L1, and of the CSD of each width without it."""
    net, encoder, *batch = problem
    parts = [_values(ReconstructionObjective(net), *batch[:2])]
    for width in WIDTHS:
        one = CSDObjective(net, encoder, student_width=width, teacher_weight=0.0)
        (total, student, _, contrastive), gradients = _values(one, *batch)
        parts.append((np.array([total, student, 0.0, contrastive]), gradients))
    return parts


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(), (0.5, 2.0, 3.0)])
def test_csd_of_several_students_is_the_sum(problem, apart, weights):
    net, encoder, *batch = problem
    together = CSDObjective(net, encoder, student_width=WIDTHS, width_weights=weights)
    # The students' loss is more than rounding, the full-width network's with itself is none.
    contrasts = [values[3] for values, _ in apart[1:]]
    assert contrasts[0] == 0.0 and min(contrasts[1:]) > 1e-3
    _assert_sum(_values(together, *batch), apart, weights or (1.0,) * 3)


def test_reconstruction_of_several_students_is_the_sum(problem):
    net, _, lr, hr, _ = problem
    weights = (2.0, 3.0)
    together = ReconstructionObjective(
        net, student_width=WIDTHS[1:], teacher_weight=0.7, width_weights=weights
    )
    parts = [ReconstructionObjective(net, teacher_weight=0.7)]
    parts += [ReconstructionObjective(net, student_width=w, teacher=False) for w in WIDTHS[1:]]
    _assert_sum(_values(together, lr, hr), [_values(part, lr, hr) for part in parts], weights)


def test_the_order_of_the_passes_is_not_the_order_of_the_list(problem):
    net = problem[0]
    expected = ((0.25, 3.0), (1.0, 1.0), (0.75, 4.0), (0.5, 2.0))
    assert sandwich(net, (1.0, 0.5, 0.25, 0.75), (1.0, 2.0, 3.0, 4.0)) == expected
    assert sandwich(net, (0.75, 0.25, 1.0, 0.5), (4.0, 3.0, 1.0, 2.0)) == expected
    assert sandwich(net, 0.5) == ((0.5, 1.0),)
    assert sandwich(net, ()) == ()


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ((1.0,), "1 entries for 2 student widths"),
        ((1.0, 2.0, 3.0), "3 entries for 2 student widths"),
        ((1.0, 0.0), "holds 0, .* above zero"),
        ((-1.0, 1.0), "holds -1, .* above zero"),
        ((1.0, float("inf")), "holds inf, .* above zero"),
        ((float("nan"), 1.0), "holds nan, .* above zero"),
    ],
)
def test_weights_that_do_not_fit(problem, weights, sentence):
    net, encoder, *_ = problem
    with pytest.raises(InputError, match=sentence):
        CSDObjective(net, encoder, student_width=(0.5, 0.25), width_weights=weights)
    with pytest.raises(InputError, match=sentence):
        ReconstructionObjective(net, student_width=(0.5, 0.25), width_weights=weights)


class _Cut(CSDObjective):
    """The square at (8, 4) by a slice of constants instead of a gather."""

    def cut(self, images, window):
        return images[:, :, 8:24, 4:20]


@pytest.mark.slow
def test_the_loss_on_a_square_sees_nothing_else(problem):
    import mindspore as ms

    from csd.losses import contrastive_distance

    net, encoder, lr, hr, negatives = problem
    window = ms.Tensor([range(8, 24), range(4, 20)], ms.int32)
    values, gradients = _values(
        CSDObjective(net, encoder, student_width=0.5), lr, hr, negatives, window
    )
    images = net(lr, 1.0), net(lr, 0.5), negatives
    features = [encoder(x[:, :, 8:24, 4:20]) for x in images]
    expected = contrastive_distance(*features, (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0))
    assert values[3] == pytest.approx(float(expected.asnumpy()), rel=1e-5)
    sliced = _Cut(net, encoder, student_width=0.5)
    same, wanted = _values(sliced, lr, hr, negatives, window)
    np.testing.assert_allclose(values, same, rtol=1e-6)
    for a, b in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())


@pytest.mark.slow
def test_stages_of_weight_zero_are_left_out(problem):
    net, encoder, *batch = problem
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def contrastive(*layer_weights):
        objective = CSDObjective(net, encoder, student_width=0.5, layer_weights=layer_weights)
        return _values(objective, *batch)[0][3], objective.stages

    whole, stages = contrastive(*weights)
    first, few = contrastive(*weights[:2], 0, 0, 0)
    last, all_five = contrastive(0, 0, *weights[2:])
    assert (stages, few, all_five) == (5, 2, 5)
    assert min(first, last) > 0 and first + last == pytest.approx(whole, rel=1e-6)
    with pytest.raises(InputError, match="no layer weight is above zero"):
        contrastive(0, 0, 0, 0, 0)
