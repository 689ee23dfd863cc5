"""What a training step minimises: L1 of each width and, for CSD, the contrastive loss."""

import math
from collections.abc import Sequence

import mindspore as ms
from mindspore import nn, ops

from csd.errors import InputError
from csd.losses.contrastive import ContrastiveDistance
from csd.nets import SlimmableSR, VGGEncoder, check_width


def l1(sr, hr):
    """Mean absolute difference, float32."""
    return ops.mean(ops.abs(ops.cast(sr, ms.float32) - hr))


def check_width_weights(weights: Sequence[float], students: int) -> None:
    """Raise InputError unless `weights` is empty or holds a number above zero for each student."""
    if weights and len(weights) != students:
        raise InputError(
            f"width_weights has {len(weights)} entries for {students} student widths; give one "
            f"for each, or none"
        )
    for weight in weights:
        if not 0.0 < weight < math.inf:
            raise InputError(
                f"width_weights holds {weight:g}, but a weight must be a number above zero; leave "
                f"a width out of the widths to train without it"
            )


def sandwich(
    net: SlimmableSR, student_width: float | Sequence[float], width_weights: Sequence[float] = ()
) -> tuple[tuple[float, float], ...]:
    """(width, weight) of each student: the narrowest first, then from the widest down.

    With the full-width network's pass before them this is the sandwich rule of slimmable networks
    (Yu and Huang, ICCV 2019, arXiv 1903.05134). All passes are one graph, and one backward pass
    goes through their sum: the order decides when they are computed and how the sum is rounded,
    nothing else, and not the order in which a configuration lists them.

    Raises:
        InputError: a width that leaves some layer no channel, weights that do not fit.
    """
    widths = student_width if isinstance(student_width, (tuple, list)) else (student_width,)
    for width in widths:
        check_width(net, width)
    check_width_weights(width_weights, len(widths))
    pairs = zip(map(float, widths), map(float, width_weights or [1.0] * len(widths)), strict=True)
    narrowest_last = sorted(pairs, reverse=True)
    return (*narrowest_last[-1:], *narrowest_last[:-1])


class CSDObjective(nn.Cell):
    """student + teacher_weight * teacher + contrast_weight * contrastive (CSD, equation 6).

    Args:
        net: the full-width network; its prefix at `student_width` is the student.
        encoder: frozen feature extractor with weights loaded.
        student_width: a width, or several (elastic widths): then student and contrastive loss
            are sums over them, each student with a term of its own against the one teacher.
        width_weights: what multiplies each width's L1 and contrastive loss in those sums, one
            number above zero for each of `student_width`; empty: 1.

    The passes run from the teacher's to the narrowest student's and then from the widest down, see
    `sandwich`; the features of teacher and negatives are computed once for all students.

    `construct(lr, hr, negatives, window)`: lr (N, 3, H, W), hr (N, 3, sH, sW), negatives
    (K, 3, sH, sW), float32 RGB 0..255; window int32 (2, n), the rows and columns of the HR pixels
    that the contrastive loss sees, or None for all of them -> (total, student, teacher,
    contrastive), scalars, the last unweighted.
    """

    def __init__(
        self,
        net: SlimmableSR,
        encoder: VGGEncoder,
        *,
        student_width: float | Sequence[float],
        contrast_weight: float = 200.0,
        teacher_weight: float = 1.0,
        layer_weights: Sequence[float] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0),
        width_weights: Sequence[float] = (),
        implementation: str | None = None,
    ):
        super().__init__(auto_prefix=False)  # parameters keep the names of checkpoints
        if not encoder.loaded:
            raise InputError("the VGG encoder has no weights yet; load_conv_weights comes first")
        if len(layer_weights) != sum(encoder.taps):
            raise InputError(
                f"{len(layer_weights)} layer weights for the {sum(encoder.taps)} feature maps of "
                f"the encoder"
            )
        if not any(layer_weights):
            raise InputError("no layer weight is above zero: nothing is left of the loss")
        self.net, self.encoder = net, encoder
        self.students = sandwich(net, student_width, width_weights)
        self.contrast_weight, self.teacher_weight = contrast_weight, teacher_weight
        self.contrastive = ContrastiveDistance(layer_weights, implementation)
        self.stages = max(i for i, weight in enumerate(layer_weights, 1) if weight)

    def construct(self, lr, hr, negatives, window=None):
        teacher_sr = self.net(lr, 1.0)
        student, images = 0.0, ()
        for width, weight in self.students:
            student_sr = self.net(lr, width)
            student = student + weight * l1(student_sr, hr)
            images = (*images, student_sr)
        teacher = l1(teacher_sr, hr)
        teacher_sr = ops.stop_gradient(teacher_sr)
        if window is not None:
            teacher_sr, negatives = self.cut(teacher_sr, window), self.cut(negatives, window)
            images = tuple([self.cut(image, window) for image in images])
        contrastive = self.distances(teacher_sr, images, negatives)
        total = student + self.teacher_weight * teacher + self.contrast_weight * contrastive
        return total, student, teacher, contrastive

    def cut(self, images, window):
        """The rows and columns `window` (2, n) of images (N, 3, H, W): (N, 3, n, n)."""
        return ops.gather(ops.gather(images, window[0], 2), window[1], 3)

    def distances(self, teacher, students, negatives):
        """The weighted sum of the students' contrastive distances, stage by stage.

        A stage's features of teacher and negatives are free once every student has met them: the
        next stage of all three begins behind that, whatever order a device would prefer. A stage of
        weight zero is not compared, and none is computed behind the last that is.
        """
        total = 0.0
        for stage in range(self.stages):
            teacher = self.encoder.stage(teacher, stage)
            negatives = self.encoder.stage(negatives, stage)
            features = ()
            for i, (_, weight) in enumerate(self.students):
                feature = self.encoder.stage(students[i], stage)
                if self.contrastive.layer_weights[stage] > 0.0:
                    term, feature = self.contrastive.term(stage, teacher, feature, negatives)
                    total = total + weight * term
                features = (*features, feature)
            students = features
            teacher, negatives = ops.depend(teacher, total), ops.depend(negatives, total)
        return total


class ReconstructionObjective(nn.Cell):
    """L1 alone: of the full-width network, of its students, or of both.

    `student_width` and `width_weights` as for `CSDObjective`, and the same order of the passes.

    `construct(lr, hr)` -> (total, student, teacher, contrastive); what is absent is zero.
    """

    def __init__(
        self,
        net: SlimmableSR,
        *,
        student_width: float | Sequence[float] = (),
        teacher: bool = True,
        teacher_weight: float = 1.0,
        width_weights: Sequence[float] = (),
    ):
        super().__init__(auto_prefix=False)
        self.net = net
        self.students = sandwich(net, student_width, width_weights)
        self.teacher, self.teacher_weight = teacher, teacher_weight
        self.zero = ms.Tensor(0.0, ms.float32)

    def construct(self, lr, hr):
        student, teacher = self.zero, self.zero
        if self.teacher:
            teacher = l1(self.net(lr, 1.0), hr)
        for width, weight in self.students:
            student = student + weight * l1(self.net(lr, width), hr)
        return student + self.teacher_weight * teacher, student, teacher, self.zero
