"""The contrastive distance against the reference, in both implementations."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from csd.errors import InputError

IMPLEMENTATIONS = ["fused", "portable"]
PROGRAM = """
import gc
import weakref

import mindspore as ms
import numpy as np

from csd import runtime
from csd.losses import ContrastiveDistance
from csd.ops import contrastive_kernel

runtime.setup("CPU")
forward = contrastive_kernel.forward_and_release


def forward_and_collect(student, negatives):
    result = forward(student, negatives)
    cells.clear()
    gc.collect()
    print("kept" if garbage() else "freed")
    return result


class Double(ms.nn.Cell):
    def construct(self, x):
        return x * 2


contrastive_kernel.forward_and_release = forward_and_collect
image = ms.Tensor(np.ones((2, 1, 3, 3), np.float32))
cells = [Double()]
cells[0](image).asnumpy()
object.__setattr__(cells[0], "itself", cells[0])
garbage = weakref.ref(cells[0])
ContrastiveDistance([1.0], "fused")((image,), (image,), (image,)).asnumpy()
gc.collect()
print("kept" if garbage() else "freed")
"""


def _by_hand(teacher, student, negatives, weights):
    total = 0.0
    for t, s, n, w in zip(teacher, student, negatives, weights, strict=True):
        t, s, n = (x.astype(np.float64) for x in (t, s, n))
        away = sum(np.abs(s - one).mean() for one in n)
        total += w * np.abs(s - t).mean() / (away + 1e-7)
    return total


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_reference(implementation, reference, mindspore_cpu):
    import mindspore as ms

    from csd.losses import ContrastiveDistance

    data = np.load(reference / "contrastive_loss.npz")
    group = {k: tuple(ms.Tensor(data[f"{k}_{i}"]) for i in range(5))
             for k in ("teacher", "student", "negative")}  # fmt: skip
    cell = ContrastiveDistance(data["weights"].tolist(), implementation)

    class Flat(ms.nn.Cell):  # gradients are taken with respect to tensors, not tuples of them
        def __init__(self):
            super().__init__()
            self.cell = cell

        def construct(self, a, b, c, d, e):
            return self.cell(group["teacher"], (a, b, c, d, e), group["negative"])

    loss, gradients = ms.value_and_grad(Flat(), (0, 1, 2, 3, 4))(*group["student"])
    assert float(loss) == pytest.approx(float(data["loss"]), rel=1e-5)
    for i, gradient in enumerate(gradients):
        expected = data[f"grad_student_{i}"]
        np.testing.assert_allclose(gradient.asnumpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("negatives", [1, 7])
def test_large_layer_and_function(implementation, negatives, mindspore_cpu):
    """More positions than a block of the kernel, not a multiple of it; K above and below B."""
    import mindspore as ms

    from csd.losses import contrastive_distance

    rng = np.random.default_rng(negatives)
    t, s = rng.normal(size=(2, 3, 5, 41, 43)).astype(np.float32)
    n = rng.normal(size=(negatives, 5, 41, 43)).astype(np.float32)
    found = contrastive_distance(
        [ms.Tensor(t)], [ms.Tensor(s)], [ms.Tensor(n)], [0.7], implementation
    )
    assert float(found) == pytest.approx(_by_hand([t], [s], [n], [0.7]), rel=1e-5)


def test_kernel_signs_of_equal_values_are_zero():
    from csd.ops import contrastive_kernel

    s = np.zeros((1, 2, 1, 3), np.float32)
    t = np.array([0, 1, -1, 0, 2, -2], np.float32).reshape(s.shape)
    n = np.stack([t[0], np.zeros_like(t[0]), -t[0], t[0]])
    total, signs = contrastive_kernel.forward(s, n)
    assert total.tolist() == [18.0]
    np.testing.assert_array_equal(signs, np.sign(s - n).sum(0, keepdims=True))
    positive = np.sign(s - t).astype(np.int8)
    out = contrastive_kernel.backward(positive, signs, np.array([2.0, 0.5], np.float32))
    np.testing.assert_allclose(out, 2.0 * positive + 0.5 * signs)


def test_threads_do_not_share_results():
    from csd.ops import contrastive_kernel

    signs = np.ones((1, 2, 3, 4), np.int8)
    factors = np.array([1.0, 2.0], np.float32)
    mine = contrastive_kernel.backward(signs, signs, factors)
    with ThreadPoolExecutor(1) as other:
        other.submit(contrastive_kernel.backward, signs, signs, -factors).result()
    assert (mine == 3.0).all()


def test_a_graph_that_became_garbage_does_not_stop_the_kernel(tmp_path):
    """Freed by the thread that runs the kernel it would wait for itself, for ever."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program], timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["kept", "freed"]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_not_finite_features_stay_visible(implementation, mindspore_cpu):
    import mindspore as ms

    from csd.losses import contrastive_distance

    good = ms.Tensor(np.ones((2, 1, 3, 3), np.float32))
    bad = np.zeros((2, 1, 3, 3), np.float32)
    bad[1, 0, 2, 2] = np.nan
    assert np.isnan(
        float(contrastive_distance([good], [ms.Tensor(bad)], [good], [1.0], implementation))
    )


def test_errors(mindspore_cpu):
    import mindspore as ms

    from csd.losses import check_negatives, contrastive_distance

    x = ms.Tensor(np.ones((2, 1, 3, 3), np.float32))
    with pytest.raises(InputError, match="differ in length"):
        contrastive_distance([x, x], [x], [x], [1.0])
    with pytest.raises(InputError, match=r"negatives=10 exceeds train.batch_size=8"):
        check_negatives(10, 8)
    with pytest.raises(InputError, match="127"):
        check_negatives(128)
    with pytest.raises(InputError, match="0 negatives"):
        check_negatives(0)
