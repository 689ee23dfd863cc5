"""What a training step minimises: reconstruction of each width and, for CSD, the contrast."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import nn, ops

from csd.errors import InputError
from csd.losses.contrast import ContrastiveDistance
from csd.nets import SlimmableSR, VGGEncoder, check_width


def l1(sr, hr):
    """Mean absolute difference, float32."""
    return ops.mean(ops.abs(ops.cast(sr, ms.float32) - hr))


def _widths(net: SlimmableSR, student_width: float | Sequence[float]) -> tuple[float, ...]:
    widths = student_width if isinstance(student_width, (tuple, list)) else (student_width,)
    for width in widths:
        check_width(net, width)
    return tuple(float(width) for width in widths)


class CSDObjective(nn.Cell):
    """student + teacher_weight * teacher + contrast_weight * contrast (CSD, equation 6).

    Args:
        net: the whole network; its prefix at `student_width` is the student.
        encoder: frozen feature extractor with weights loaded.
        student_width: a width, or several: then student and contrast are sums over them.

    `construct(lr, hr, negatives)`: lr (N, 3, H, W), hr (N, 3, sH, sW), negatives (K, 3, sH, sW),
    float32 RGB 0..255 -> (total, student, teacher, contrast), scalars, contrast unweighted.
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
        self.net, self.encoder = net, encoder
        self.widths = _widths(net, student_width)
        self.contrast_weight, self.teacher_weight = contrast_weight, teacher_weight
        self.contrast = ContrastiveDistance(layer_weights, implementation)

    def construct(self, lr, hr, negatives):
        teacher_sr = self.net(lr, 1.0)
        teacher = l1(teacher_sr, hr)
        frozen_t = self.encoder(ops.stop_gradient(teacher_sr))
        frozen_n = self.encoder(negatives)
        student, contrast = 0.0, 0.0
        for width in self.widths:
            student_sr = self.net(lr, width)
            student = student + l1(student_sr, hr)
            contrast = contrast + self.contrast(frozen_t, self.encoder(student_sr), frozen_n)
        total = student + self.teacher_weight * teacher + self.contrast_weight * contrast
        return total, student, teacher, contrast


class ReconstructionObjective(nn.Cell):
    """L1 alone: of the whole network, of its students, or of both.

    `construct(lr, hr)` -> (total, student, teacher, contrast); what is absent is zero.
    """

    def __init__(
        self,
        net: SlimmableSR,
        *,
        student_width: float | Sequence[float] = (),
        teacher: bool = True,
        teacher_weight: float = 1.0,
    ):
        super().__init__(auto_prefix=False)
        self.net = net
        self.widths = _widths(net, student_width)
        self.teacher, self.teacher_weight = teacher, teacher_weight
        self.zero = ms.Tensor(0.0, ms.float32)

    def construct(self, lr, hr):
        student, teacher = self.zero, self.zero
        if self.teacher:
            teacher = l1(self.net(lr, 1.0), hr)
        for width in self.widths:
            student = student + l1(self.net(lr, width), hr)
        return student + self.teacher_weight * teacher, student, teacher, self.zero
