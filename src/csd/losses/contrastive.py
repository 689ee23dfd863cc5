"""The contrastive distance (CSD, equations 4 and 5): one value, two implementations.

`fused` is one pass over memory on the CPU; `portable` is framework operators alone, for Ascend and
GPU. Neither builds anything of size negatives x batch features.
"""

from collections.abc import Sequence
from functools import lru_cache

import mindspore as ms
from mindspore import nn, ops
from mindspore.ops import constexpr

from csd.errors import InputError
from csd.ops import contrastive_kernel, device

EPS = 1e-7

# The operator, not the function `ops.zeros_like`: that one branches, see `csd.ops.convolution`.
zeros_like = ops.ZerosLike()


def distance_and_signs(student, other):
    """Sum of |student - other| and the signs of the differences, float32; `other` may be one image.

    The signs wait for the sum: what has the shape of the features is then there one by one.
    """
    # Operands of equal shape: the CPU's broadcasting keeps 16 bytes for each element.
    difference = student - ops.broadcast_to(other, student.shape)
    total = ops.reduce_sum(ops.abs(difference))
    return total, ops.sign(ops.depend(difference, total))


class FusedAway(nn.Cell):
    """One pass over memory, for the CPU: see `contrastive_kernel`.

    `construct(student, negatives)`: float32 -> sum (1,) float32 of |student - negative| over all
    pairs, and for each element of the student the sum of the signs of these differences, int8.
    `weigh(positive, negative, factors)`: factors[0] * positive + factors[1] * negative, float32.
    """

    def __init__(self):
        super().__init__()
        self.sum_and_signs = ops.Custom(
            contrastive_kernel.forward_and_release,
            lambda student, negatives: ((1,), student),
            lambda student, negatives: (ms.float32, ms.int8),
            func_type="pyfunc",
        )
        self.weigh = ops.Custom(
            contrastive_kernel.backward_and_release,
            lambda positive, negative, factors: positive,
            lambda positive, negative, factors: ms.float32,
            func_type="pyfunc",
        )

    def construct(self, student, negatives):
        return self.sum_and_signs(student, negatives)


class PortableAway(nn.Cell):
    """`FusedAway` by elementary operators, for any device: one negative after the other.

    Each negative waits for the sum of the one before it, so that a device which may choose the
    order holds the differences of one at a time: nothing of size K x batch exists.
    """

    def construct(self, student, negatives):
        total, signs = distance_and_signs(student, negatives[:1])
        for k in range(1, negatives.shape[0]):
            negative = ops.depend(negatives, (total, signs))[k : k + 1]
            away, sign = distance_and_signs(student, negative)
            # Signs add up as float32: the CPU's int8 sums keep 16 bytes for each element.
            total, signs = total + away, signs + sign
        return ops.reshape(total, (1,)), ops.cast(signs, ms.int8)

    def weigh(self, positive, negative, factors):
        weighted = factors[0] * ops.cast(positive, ms.float32)
        return weighted + factors[1] * ops.cast(negative, ms.float32)


@constexpr
def channel_groups(shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """(first, end) of groups of channels, each of at most 32 MiB of float32 where that is possible.

    What a group needs beside the features, several times its size, is free for the next.
    """
    batch, channels, height, width = shape
    count = min(channels, -(-4 * batch * channels * height * width // 2**25))
    return tuple((channels * i // count, channels * (i + 1) // count) for i in range(count))


class Sums(nn.Cell):
    """Sums of |student - teacher| and |student - negative|, with the gradient written by hand.

    `construct(student, teacher, negatives)` -> (student, both sums (2,), and the signs that the
    gradient is made of). The gradient goes to the student alone and needs two bytes an element:
    the features of teacher and negatives, constants to it, are free as soon as the sums are known.
    Whoever continues from the returned student has the signs weighed behind the gradient of what
    follows; otherwise a device weighs them at once and keeps four bytes an element all that time.
    """

    def __init__(self, away: nn.Cell):
        super().__init__()
        self.away = away

    def construct(self, student, teacher, negatives):
        sums, positive, negative = 0.0, (), ()
        for first, end in channel_groups(student.shape):
            s, t, n = student, teacher, negatives
            if end - first < s.shape[1]:
                s = ops.depend(s, sums)[:, first:end]
                t = ops.depend(t, sums)[:, first:end]
            near, signs = distance_and_signs(s, t)
            positive = (*positive, ops.cast(signs, ms.int8))
            n = ops.depend(n, (near, positive))
            if end - first < n.shape[1]:
                n = n[:, first:end]
            far, signs = self.away(s, n)
            negative = (*negative, signs)
            sums = sums + ops.concat((ops.reshape(near, (1,)), far))
        return student, sums, positive, negative

    def bprop(self, student, teacher, negatives, out, dout):
        factors, parts = ops.depend(dout[1], dout[0]), ()
        for i in range(len(out[2])):
            part = self.away.weigh(out[2][i], out[3][i], factors)
            factors, parts = ops.depend(factors, part), (*parts, part)
        gradient = dout[0] + (parts[0] if len(parts) == 1 else ops.concat(parts, 1))
        return gradient, zeros_like(teacher), zeros_like(negatives)


IMPLEMENTATIONS = {"fused": FusedAway, "portable": PortableAway}


class ContrastiveDistance(nn.Cell):
    """sum_i w_i * d(T_i, S_i) / (sum_k d(N_ik, S_i) + 1e-7); d is the mean absolute difference.

    Args:
        layer_weights: w_i, one for each feature map.
        implementation: `fused` (CPU), `portable`, or None for the device's own.

    `construct(teacher, student, negatives)`: sequences of feature maps, (B, C, H, W) and
    (K, C, H, W) -> scalar. Every negative meets every image of the batch. Features may be float16;
    differences, sums and quotients are float32: 37 million values in 16 bits are infinity.
    """

    def __init__(self, layer_weights: Sequence[float], implementation: str | None = None):
        super().__init__()
        if implementation is None:
            implementation = "fused" if device.is_cpu() else "portable"
        self.layer_weights = tuple(float(w) for w in layer_weights)
        self.sums = Sums(IMPLEMENTATIONS[implementation]())

    def construct(self, teacher, student, negatives):
        total = 0.0
        for i in range(len(self.layer_weights)):
            total = total + self.term(i, teacher[i], student[i], negatives[i])[0]
        return total

    def term(self, i: int, teacher, student, negatives):
        """(weighted summand of feature map i, the student's feature to continue from)."""
        t = ops.cast(ops.stop_gradient(teacher), ms.float32)
        n = ops.cast(ops.stop_gradient(negatives), ms.float32)
        s, sums, _, _ = self.sums(ops.cast(student, ms.float32), t, n)
        size = s.shape[0] * s.shape[1] * s.shape[2] * s.shape[3]
        value = self.layer_weights[i] * (sums[0] / size) / (sums[1] / size + EPS)
        return value, ops.cast(ops.depend(s, sums), student.dtype)


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
    if not 1 <= count <= contrastive_kernel.MAX_NEGATIVES:
        raise InputError(f"{count} negatives; use 1 to {contrastive_kernel.MAX_NEGATIVES}")
    if batch_size is not None and count > batch_size:
        raise InputError(
            f"loss.negatives={count} exceeds train.batch_size={batch_size}: negatives are images "
            f"of the batch; lower the one or raise the other"
        )
