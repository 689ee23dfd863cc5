"""One training step as one graph: negatives up-scaled, losses, gradients, check, update."""

import mindspore as ms
from mindspore import amp, nn, ops

from csd.data import resize_matrix
from csd.errors import InputError
from csd.ops import device
from csd.ops.finite import AllFinite, finite_by_sums
from csd.ops.state import copies, keep_where

# Of several students, `student` and `contrast` are the sums over them, each times the weight of its
# width: they grow with the number of widths. The latter comes without `loss.contrast_weight`.
LOSSES = ("total", "student", "teacher", "contrast")

LARGEST_SCALE = 2.0**64  # of a loss: its product with the largest gradient is far from infinite
HEADROOM = 16


def _clip(x):
    return ops.minimum(ops.maximum(x, 0.0), 255.0)


class BicubicUpscale(nn.Cell):
    """Bicubic up-scaling of (K, 3, p, p) in 0..255 as two matrix products per channel.

    Equals `imresize_bicubic` up to its rounding to whole of 255; clipped as it clips.
    """

    def __init__(self, patch: int, scale: int):
        super().__init__()
        self.matrix = ms.Tensor(resize_matrix(patch, scale * patch, scale))
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, x):
        k, c, p, _ = x.shape
        side = self.matrix.shape[0]
        # Rows first, and clipped between the passes, as imresize_bicubic does.
        x = ops.transpose(ops.reshape(x, (k * c, p, p)), (0, 2, 1))
        x = self.product(ops.reshape(x, (k * c * p, p)), self.matrix)
        x = _clip(ops.reshape(x, (k * c, p, side)))
        x = ops.reshape(ops.transpose(x, (0, 2, 1)), (k * c * side, p))
        x = _clip(self.product(x, self.matrix))
        return ops.reshape(x, (k, c, side, side))


class LossScalerWithHeadroom(amp.DynamicLossScaler):
    """Leaves a factor of `HEADROOM` between the largest scale that one batch allows and the scale.

    A weight's gradient is a sum of signs times features: from batch to batch it differs by ten.
    `counter` is -1 after an overflow; else it counts the finite steps of a window.
    """

    def adjust(self, grads_finite):
        """Set the scale of the next step; `grads_finite`: bool scalar."""
        scale, ones = self.scale_value, ops.ones_like(self.scale_value)
        raised = ops.minimum(scale * self.scale_factor, LARGEST_SCALE)
        raised = ops.select(self.counter == self.scale_window - 1, raised, scale)
        # The first finite step after an overflow says that the scale fits: take the headroom.
        fits = ops.select(self.counter < 0, ops.maximum(scale / HEADROOM, ones), raised)
        lowered = ops.maximum(scale / self.scale_factor, ones)
        counter = (self.counter + 1) % self.scale_window
        ops.assign(self.scale_value, ops.select(grads_finite, fits, lowered))
        ops.assign(self.counter, ops.select(grads_finite, counter, -ops.ones_like(counter)))
        return True


def create_loss_scaler(spec: str | float, device_target: str) -> nn.Cell:
    """`none`, `dynamic`, a number, or `default` (none on the CPU, dynamic elsewhere)."""
    text = str(spec).lower()
    if text == "default":
        text = "none" if device_target == "CPU" else "dynamic"
    if text == "dynamic":
        # By 4, not by 2: about half as many steps are lost while it falls.
        return LossScalerWithHeadroom(scale_value=2.0**16, scale_factor=4, scale_window=1000)
    try:
        value = 1.0 if text == "none" else float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value < float("inf"):
        raise InputError(
            f"runtime.loss_scale is {spec!r}; use none, dynamic or a number of at least 1"
        )
    return amp.StaticLossScaler(scale_value=value)


class CSDTrainOneStep(nn.Cell):
    """A step that updates the weights, unless a loss or a gradient is not finite.

    Args:
        objective: `CSDObjective` or `ReconstructionObjective`.
        optimizer: over the trainable parameters of the objective's network.
        upscale: of the negatives; None: they come at HR size (or there are none).
        loss_scaler: of `mindspore.amp`; None: no scaling.
        clip_norm: largest global norm of the gradients; 0: no clipping.
        ranks: devices that train together; gradients and losses are averaged over them.

    `construct(lr, hr, negatives_lr=None, window=None)`: uint8 or float32 (N, 3, H, W),
    (N, 3, sH, sW) and (K, 3, H, W), RGB 0..255, and int32 (2, n), see `CSDObjective` -> float32
    (5,): total, student, teacher, contrastive, and 1.0 where the weights were updated, 0.0 where
    they were not, -1.0 where they were not and a smaller loss scale is tried next.
    """

    def __init__(
        self,
        objective: nn.Cell,
        optimizer: nn.Optimizer,
        *,
        upscale: nn.Cell | None = None,
        loss_scaler: amp.LossScaler | None = None,
        clip_norm: float = 0.0,
        ranks: int = 1,
    ):
        super().__init__(auto_prefix=False)
        self.objective, self.optimizer, self.upscale = objective, optimizer, upscale
        self.scaler = loss_scaler or amp.StaticLossScaler(1.0)
        self.clip_norm, self.ranks = clip_norm, ranks
        self.weights = optimizer.parameters
        self.all_finite = AllFinite()
        self.dynamic = isinstance(self.scaler, amp.DynamicLossScaler)
        # A branch on a value stops an accelerator for its host; the CPU saves the update.
        self.branches = device.is_cpu()
        if not self.branches:
            self.state = ms.ParameterTuple(optimizer.get_parameters())
        self.value_and_grad = ops.value_and_grad(self.scaled_loss, None, self.weights, has_aux=True)
        if ranks > 1:
            self.reduce_gradients = nn.DistributedGradReducer(self.weights, True, ranks)
            self.all_reduce = ops.AllReduce()

    def scaled_loss(self, *batch):
        losses = self.objective(*batch)
        return self.scaler.scale(losses[0]), ops.stack(losses)

    def gradients(self, *batch):
        """(losses (4,), gradients) averaged over the ranks and free of the loss scale."""
        (_, losses), gradients = self.value_and_grad(*batch)
        if self.ranks > 1:
            gradients = self.reduce_gradients(gradients)
            losses = self.all_reduce(losses) / self.ranks
        return losses, self.scaler.unscale(gradients)

    def construct(self, lr, hr, negatives_lr=None, window=None):
        batch = (ops.cast(lr, ms.float32), ops.cast(hr, ms.float32))
        if negatives_lr is not None:
            negatives = ops.cast(negatives_lr, ms.float32)
            if self.upscale is not None:
                negatives = self.upscale(negatives)
            batch = (*batch, negatives)
        if window is not None:
            batch = (*batch, window)
        losses, gradients = self.gradients(*batch)
        finite = ops.logical_and(self.all_finite(gradients), finite_by_sums((losses,)))
        flag = ops.cast(finite, ms.float32)
        if self.dynamic:
            before = copies((self.scaler.scale_value,))[0]
            adjusted = self.scaler.adjust(ops.depend(finite, before))
            falls = ops.depend(self.scaler.scale_value, adjusted) < before
            flag = flag - ops.cast(ops.logical_and(falls, ops.logical_not(finite)), ms.float32)
        if self.branches:
            if finite:
                losses = ops.depend(losses, self.update(gradients))
        else:
            losses = ops.depend(losses, self.update_or_keep(finite, gradients))
        return ops.concat((losses, ops.reshape(flag, (1,))))

    def update(self, gradients):
        if self.clip_norm > 0.0:
            gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        return self.optimizer(gradients)

    def update_or_keep(self, finite, gradients):
        """Update, then put back what was before where a loss or gradient is not finite."""
        before = copies(self.state)
        gradients = ops.depend(gradients, before)
        updated = self.update(gradients)
        return keep_where(finite, self.state, before, updated)
