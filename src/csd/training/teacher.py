"""The weights that training starts from: a teacher's, and a student's in its place."""

import logging
from collections.abc import Sequence

from mindspore import Tensor

from csd.checkpoints import load_network, network_state
from csd.errors import InputError
from csd.nets import SlimmableSR, insert_student
from csd.nets.layers import Upsampler

_log = logging.getLogger("csd.training")


def load_teacher(net: SlimmableSR, path: str, res_scale: float | None = None) -> None:
    """Give `net` the weights of the network in the file `path`.

    A teacher of another scale has another up-sampler: `net` takes every tensor that has its name
    and shape, keeps its initial values for the rest, and one line is logged that names both.
    `res_scale` is that of an EDSR whose file does not hold it.

    Raises:
        InputError: an unreadable file, another backbone or other hyper-parameters.
    """
    found, _ = load_network(path, res_scale=res_scale, scale=net.scale)
    if (found.name, found.hyper) != (net.name, net.hyper):
        raise InputError(f"{path} holds {found.title()}, the configuration asks for {net.title()}")
    given, own = network_state(found), dict(net.parameters_and_names())
    fits = {
        name: value
        for name, value in given.items()
        if name in own and tuple(own[name].shape) == value.shape
    }
    fresh, unused = sorted(own.keys() - fits), sorted(given.keys() - fits)
    strange = [
        name
        for names, whose in ((fresh, net), (unused, found))
        for name in names
        if name not in _upsampler_tensors(whose)
    ]
    if strange:
        raise InputError(
            f"{path} holds {found.title()}, whose tensor '{strange[0]}' is unlike that of "
            f"{net.title()}; only the up-sampler may differ"
        )
    for name, value in fits.items():
        own[name].set_data(Tensor(value))
    if fresh or unused:
        _log.warning(
            "note: %s is a teacher of scale %d, not %d: %d tensors are loaded, those of the "
            "up-sampler start afresh (%s) or are left out (%s)",
            path, found.scale, net.scale, len(fits), _list(fresh), _list(unused),
        )  # fmt: skip


def load_student(net: SlimmableSR, path: str, widths: Sequence[float]) -> None:
    """Give the sub-network of `net` the weights of the student in the file `path`.

    A step of a student alone costs a tenth of one together with its teacher. What follows starts
    from what it has learned, and the teacher, whose channels these were, learns to use them.

    Args:
        widths: of the students that are to be trained; the file holds one of them.

    Raises:
        InputError: an unreadable file, a network that is none of these students.
    """
    student, _ = load_network(path, res_scale=net.hyper.get("res_scale"), scale=net.scale)
    for width in widths:
        if student.describe() == {**net.describe(), **net.student_config(width)}:
            return insert_student(net, student, width)
    raise InputError(
        f"{path} holds {student.title()}, which is none of the students of {net.title()} in "
        f"train.widths={list(widths)}"
    )


def _upsampler_tensors(net: SlimmableSR) -> set[str]:
    """Names of the parameters that a scale decides."""
    return {
        f"{cell_name}.{name}"
        for cell_name, cell in net.cells_and_names()
        if isinstance(cell, Upsampler)
        for name, _ in cell.parameters_and_names()
    }


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"
