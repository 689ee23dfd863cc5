"""Slimmable super-resolution networks and the VGG encoder."""

import importlib
import math
import numbers
from typing import Any

from csd import settings
from csd.backbones import BACKBONES, hyper_table
from csd.errors import InputError
from csd.nets.base import SlimmableSR, check_width, copy_prefix, replace_prefix, slim
from csd.nets.interpolation import start_as_interpolation
from csd.nets.reorder import reorder_channels
from csd.nets.vgg import VGG16_LAYERS, VGG19_LAYERS, VGG_LAYERS, VGGEncoder

__all__ = [
    "BACKBONES",
    "VGG16_LAYERS",
    "VGG19_LAYERS",
    "VGG_LAYERS",
    "SlimmableSR",
    "VGGEncoder",
    "backbone",
    "backbones",
    "check_width",
    "create_model",
    "extract_student",
    "insert_student",
    "register",
    "reorder_channels",
    "slim",
    "start_as_interpolation",
]

SCALES = (2, 3, 4)


def register(backbone: type[SlimmableSR]) -> None:
    """Add a backbone that is defined outside this package, to the settings as well.

    `backbone.name` is the name under which settings and checkpoints know it.
    """
    BACKBONES[backbone.name] = backbone
    settings.SCHEMA["model"] = settings.model_keys()


def backbone(name: str) -> type[SlimmableSR]:
    """The class of a backbone, a key of `csd.backbones.BACKBONES`.

    Raises:
        InputError: an unknown name.
    """
    if name not in BACKBONES:
        raise InputError(f"unknown model {name!r}; known are {', '.join(BACKBONES)}")
    found = BACKBONES[name]
    if isinstance(found, str):
        return getattr(importlib.import_module(f"csd.nets.{name}"), found)
    return found


def backbones() -> list[type[SlimmableSR]]:
    """The class of every backbone, in the order of their registration."""
    return [backbone(name) for name in BACKBONES]


def create_model(name: str, *, scale: int, **hyper: Any) -> SlimmableSR:
    """Build a backbone.

    Args:
        name: `edsr`, `rcan`, `carn`, `msrresnet`, or a registered one.
        scale: 2, 3 or 4.
        hyper: of its hyper-parameters (`csd.backbones.hyper_table(name)`) those that differ from
            their defaults; None stands for the default.

    Raises:
        InputError: an unknown name, scale or hyper-parameter, or a value that it cannot have.
    """
    cls = backbone(name)
    if scale not in SCALES:
        raise InputError(f"scale {scale} is not supported by {name}; use 2, 3 or 4")
    rows = {row.name: row for row in hyper_table(name)}
    for key, value in hyper.items():
        if key not in rows:
            raise InputError(f"{name} has no hyper-parameter {key!r}; it has {', '.join(rows)}")
        if value is not None:
            _check(name, key, rows[key].type, value)
    net = cls(scale=scale, **{key: value for key, value in hyper.items() if value is not None})
    check_width(net, 1.0)
    return net


def _check(name: str, key: str, kind: str, value: Any) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if kind == "int" and not (number and value >= 1 and value == int(value)):
        raise InputError(f"{key} of {name} must be a whole number of at least 1, not {value}")
    if kind == "float" and not (number and math.isfinite(value)):
        raise InputError(f"{key} of {name} must be a number, not {value}")
    if kind == "bool" and not isinstance(value, bool):
        raise InputError(f"{key} of {name} must be true or false, not {value}")


def extract_student(net: SlimmableSR, width: float) -> SlimmableSR:
    """The network at `width` on its own: same class, fewer channels, same output.

    Raises:
        InputError: a width that leaves some layer no channel.
    """
    check_width(net, width)
    student = create_model(net.name, scale=net.scale, **net.student_config(width))
    copy_prefix(net, student)
    return student


def insert_student(net: SlimmableSR, student: SlimmableSR, width: float) -> None:
    """Give the sub-network of `net` at `width` the weights of `student`: `extract_student` undone.

    The other weights stay, so the wider networks that share those channels have to learn anew.

    Raises:
        InputError: a student of another backbone, scale or size.
    """
    check_width(net, width)
    asked = create_model(net.name, scale=net.scale, **net.student_config(width))
    if student.describe() != asked.describe():
        raise InputError(
            f"{student.title()} is not the student of width {width:g}, which is {asked.title()}"
        )
    replace_prefix(net, student)
