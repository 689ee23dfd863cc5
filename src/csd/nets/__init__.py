"""Slimmable super-resolution networks and the VGG encoder."""

from csd.errors import InputError
from csd.nets.base import SlimmableSR, check_width, copy_prefix, slim
from csd.nets.carn import CARN
from csd.nets.edsr import EDSR
from csd.nets.interpolation import start_as_interpolation
from csd.nets.rcan import RCAN
from csd.nets.vgg import VGG16_LAYERS, VGG19_LAYERS, VGG_LAYERS, VGGEncoder

__all__ = [
    "BACKBONES",
    "VGG16_LAYERS",
    "VGG19_LAYERS",
    "VGG_LAYERS",
    "SlimmableSR",
    "VGGEncoder",
    "check_width",
    "create_model",
    "extract_student",
    "slim",
    "start_as_interpolation",
]

# A new backbone is one file and one line here.
BACKBONES: dict[str, type[SlimmableSR]] = {cls.name: cls for cls in (EDSR, RCAN, CARN)}
SCALES = (2, 3, 4)


def create_model(name: str, *, scale: int, **hyper: float) -> SlimmableSR:
    """Build a backbone.

    Args:
        name: `edsr`, `rcan` or `carn`.
        scale: 2, 3 or 4.
        hyper: `n_feats`, `n_resblocks`, `res_scale` (EDSR); `n_feats`, `n_resgroups`,
            `n_resblocks`, `reduction` (RCAN); `n_feats` (CARN).

    Raises:
        InputError: an unknown name, scale or hyper-parameter, or a count below one.
    """
    if name not in BACKBONES:
        raise InputError(f"unknown model {name!r}; known are {', '.join(BACKBONES)}")
    if scale not in SCALES:
        raise InputError(f"scale {scale} is not supported by {name}; use 2, 3 or 4")
    for key, value in hyper.items():
        if value is not None and key != "res_scale" and (int(value) != value or value < 1):
            raise InputError(f"{key} of {name} must be a whole number of at least 1, not {value}")
    try:
        net = BACKBONES[name](scale=scale, **hyper)
    except TypeError as error:
        raise InputError(f"{name} has no such hyper-parameter: {error}") from None
    check_width(net, 1.0)
    return net


def extract_student(net: SlimmableSR, width: float) -> SlimmableSR:
    """The network at `width` on its own: same class, fewer channels, same output.

    Raises:
        InputError: a width that leaves some layer no channel.
    """
    check_width(net, width)
    student = create_model(net.name, scale=net.scale, **net.student_config(width))
    copy_prefix(net, student)
    return student
