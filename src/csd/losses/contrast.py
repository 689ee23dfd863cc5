"""The contrastive distance (CSD, equations 4 and 5): one value, two implementations.

`fused` is one pass over memory on the CPU; `portable` is framework operators alone, for Ascend and
GPU. Neither builds anything of size negatives x batch features.
"""

from collections.abc import Sequence
from functools import lru_cache

import mindspore as ms
from mindspore import nn, ops

from csd.errors import InputError
from csd.losses import cpu_kernel

EPS = 1e-7


class PortableSums(nn.Cell):
    """Sums of absolute differences by framework operators: any device, float32.

    `cdist` with p = 1 gives the (B, K) matrix of distances directly.
    """

    def construct(self, student, teacher, negatives):
        batch, k = student.shape[0], negatives.shape[0]
        positive = ops.reduce_sum(ops.abs(student - teacher))
        pairs = ops.cdist(ops.reshape(student, (batch, -1)), ops.reshape(negatives, (k, -1)), 1.0)
        return positive, ops.reduce_sum(pairs)


class FusedSigns(nn.Cell):
    """The fused kernel: sums, and the signs that its backward pass weighs.

    The gradient goes to the student alone: features of teacher and negatives are constants.
    """

    def __init__(self):
        super().__init__()
        self.sums_and_signs = ops.Custom(
            cpu_kernel.forward,
            lambda student, teacher, negatives: ((2,), student, student),
            lambda student, teacher, negatives: (ms.float32, ms.int8, ms.int8),
            func_type="pyfunc",
        )
        self.weighted_signs = ops.Custom(
            cpu_kernel.backward,
            lambda positive, negative, factors: positive,
            lambda positive, negative, factors: ms.float32,
            func_type="pyfunc",
        )

    def construct(self, student, teacher, negatives):
        return self.sums_and_signs(student, teacher, negatives)

    def bprop(self, student, teacher, negatives, out, dout):
        gradient = self.weighted_signs(out[1], out[2], dout[0])
        return gradient, ops.zeros_like(teacher), ops.zeros_like(negatives)


class FusedSums(nn.Cell):
    """The two sums of the fused kernel."""

    def __init__(self):
        super().__init__()
        self.signs = FusedSigns()

    def construct(self, student, teacher, negatives):
        sums = self.signs(student, teacher, negatives)[0]
        return sums[0], sums[1]


IMPLEMENTATIONS = {"fused": FusedSums, "portable": PortableSums}


class ContrastiveDistance(nn.Cell):
    """sum_i w_i * d(T_i, S_i) / (sum_k d(N_ik, S_i) + 1e-7); d is the mean absolute difference.

    Args:
        layer_weights: w_i, one for each feature map.
        implementation: `fused` (CPU), `portable`, or None for the device's own.

    `construct(teacher, student, negatives)`: sequences of feature maps, (B, C, H, W) and
    (K, C, H, W) float32 -> scalar. Every negative meets every image of the batch.
    """

    def __init__(self, layer_weights: Sequence[float], implementation: str | None = None):
        super().__init__()
        if implementation is None:
            implementation = "fused" if ms.get_context("device_target") == "CPU" else "portable"
        self.layer_weights = tuple(float(w) for w in layer_weights)
        self.sums = IMPLEMENTATIONS[implementation]()

    def construct(self, teacher, student, negatives):
        total = 0.0
        for i, weight in enumerate(self.layer_weights):
            s = student[i]
            t, n = ops.stop_gradient(teacher[i]), ops.stop_gradient(negatives[i])
            positive, negative = self.sums(s, t, n)
            size = s.shape[0] * s.shape[1] * s.shape[2] * s.shape[3]
            total = total + weight * (positive / size) / (negative / size + EPS)
        return total


_distance = lru_cache(maxsize=16)(ContrastiveDistance)


def contrastive_distance(
    teacher: Sequence[ms.Tensor],
    student: Sequence[ms.Tensor],
    negatives: Sequence[ms.Tensor],
    layer_weights: Sequence[float],
    implementation: str | None = None,
) -> ms.Tensor:
    """`ContrastiveDistance` as a function; see there.

    Raises:
        InputError: sequences of different lengths, or more than 127 negatives.
    """
    check_negatives(negatives[0].shape[0] if len(negatives) else 0)
    if not len(teacher) == len(student) == len(negatives) == len(layer_weights):
        raise InputError("teacher, student, negatives and layer_weights differ in length")
    distance = _distance(tuple(float(w) for w in layer_weights), implementation)
    return distance(tuple(teacher), tuple(student), tuple(negatives))


def check_negatives(count: int, batch_size: int | None = None) -> None:
    """Raise InputError unless 1 <= count <= 127 and, where given, count <= batch_size."""
    if not 1 <= count <= cpu_kernel.MAX_NEGATIVES:
        raise InputError(f"{count} negatives; use 1 to {cpu_kernel.MAX_NEGATIVES}")
    if batch_size is not None and count > batch_size:
        raise InputError(
            f"loss.negatives={count} exceeds train.batch_size={batch_size}: negatives are images "
            f"of the batch; lower the one or raise the other"
        )
