"""A teacher of another scale gives everything but the up-sampler; of another network, nothing."""

import logging

import numpy as np
import pytest

from csd.errors import InputError

TINY = {
    "edsr": {"n_feats": 8, "n_resblocks": 2},
    "rcan": {"n_feats": 8, "n_resgroups": 1, "n_resblocks": 2, "reduction": 4},
    "carn": {"n_feats": 8},
    "msrresnet": {"n_feats": 8, "n_resblocks": 1},
}


def _network(name: str, scale: int, **changes):
    from csd.nets import create_model

    return create_model(name, scale=scale, **{**TINY[name], **changes})


@pytest.fixture
def saved(mindspore_cpu, tmp_path):
    """Function: a network's weights in a file."""
    from csd.checkpoints import network_state, save_checkpoint

    def save(net):
        file = tmp_path / "teacher.ckpt"
        save_checkpoint(file, network_state(net), {"model": net.describe(), "widths": [1.0]})
        return str(file)

    return save


@pytest.mark.parametrize(
    ("scale", "target", "fresh"),
    [
        (2, 3, {"blocks.0.weight", "blocks.0.bias"}),
        (2, 4, {"blocks.1.weight", "blocks.1.bias"}),
        (4, 2, set()),
    ],
)
@pytest.mark.parametrize("name", TINY)
def test_another_scale_loads_what_fits(saved, caplog, name, scale, target, fresh):
    from csd.checkpoints import network_state
    from csd.training.teacher import load_teacher

    teacher, net = _network(name, scale), _network(name, target)
    given, before = network_state(teacher), network_state(net)
    with caplog.at_level(logging.WARNING, "csd.training"):
        load_teacher(net, saved(teacher))
    upsampler = "upsample." if name == "carn" else "upsampler."
    for tensor, value in network_state(net).items():
        kept = tensor.removeprefix(upsampler) in fresh
        np.testing.assert_array_equal(value, (before if kept else given)[tensor], err_msg=tensor)
    (line,) = caplog.messages
    assert f"a teacher of scale {scale}, not {target}: " in line
    assert f"{len(before) - len(fresh)} tensors are loaded" in line
    assert all(f"{upsampler}{tensor}" in line for tensor in fresh)


def test_same_scale_loads_everything_without_a_word(saved, caplog):
    from csd.checkpoints import network_state
    from csd.training.teacher import load_teacher

    teacher, net = _network("edsr", 2), _network("edsr", 2)
    load_teacher(net, saved(teacher))
    given = network_state(teacher)
    for tensor, value in network_state(net).items():
        np.testing.assert_array_equal(value, given[tensor], err_msg=tensor)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("carn", {}),
        ("edsr", {"n_feats": 4}),
        ("edsr", {"n_resblocks": 1}),
        ("edsr", {"res_scale": 0.1}),
    ],
)
def test_another_network_is_refused_at_any_scale(saved, name, changes):
    from csd.checkpoints import network_state
    from csd.training.teacher import load_teacher

    net = _network("edsr", 3)
    before = network_state(net)
    with pytest.raises(InputError, match=rf"holds {name} x2 .*configuration asks for edsr x3"):
        load_teacher(net, saved(_network(name, 2, **changes)))
    for tensor, value in network_state(net).items():
        np.testing.assert_array_equal(value, before[tensor])


def test_a_training_starts_from_another_scale(saved, settings, run, tmp_path):
    """The whole way: a x2 teacher on the command line of a x3 training."""
    from csd.checkpoints import load_network

    teacher = saved(_network("edsr", 2, n_resblocks=1))
    run([
        *settings(f"--teacher={teacher}", "--scale=3", "--model.n_resblocks=1"),
        "--train.epochs=1", "--train.steps_per_epoch=1",
        "--optim.schedule=constant", "--optim.lr=1e-9",
    ])  # fmt: skip
    (net, _), (given, _) = load_network(tmp_path / "run" / "last.ckpt"), load_network(teacher)
    assert net.scale == 3
    np.testing.assert_allclose(
        net.head.weight.asnumpy(), given.head.weight.asnumpy(), rtol=0, atol=1e-6
    )


def test_a_student_takes_the_place_of_the_teachers_channels(saved, settings, run, tmp_path):
    """The whole way: teacher, student trained alone, both together."""
    from csd.checkpoints import load_network, network_state, save_checkpoint
    from csd.nets import extract_student

    teacher = saved(_network("edsr", 2, n_resblocks=1))
    alone = extract_student(_network("edsr", 2, n_resblocks=1), 0.5)
    student = tmp_path / "student.ckpt"
    save_checkpoint(student, network_state(alone), {"model": alone.describe(), "widths": [1.0]})
    run([
        *settings(f"--teacher={teacher}", f"--student={student}", method="joint"),
        "--scale=2", "--train.widths=0.25,0.5", "--model.n_resblocks=1",
        "--train.epochs=1", "--train.steps_per_epoch=1",
        "--optim.schedule=constant", "--optim.lr=1e-9",
    ])  # fmt: skip
    (net, _), (given, _) = load_network(tmp_path / "run" / "last.ckpt"), load_network(teacher)
    head, own = net.head.weight.asnumpy(), alone.head.weight.asnumpy()
    np.testing.assert_allclose(head[: len(own)], own, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        head[len(own) :], given.head.weight.asnumpy()[len(own) :], rtol=0, atol=1e-6
    )


def test_only_a_student_that_is_trained_is_inserted(saved):
    from csd.checkpoints import network_state
    from csd.nets import extract_student
    from csd.training.teacher import load_student

    net = _network("edsr", 2)
    before = network_state(net)
    student = saved(extract_student(_network("edsr", 2), 0.5))
    with pytest.raises(InputError, match=r"holds edsr x2 \(n_feats 4, .* none of the students"):
        load_student(net, student, [0.25])
    with pytest.raises(InputError, match="none of the students of edsr x3"):
        load_student(_network("edsr", 3), student, [0.5])
    for tensor, value in network_state(net).items():
        np.testing.assert_array_equal(value, before[tensor])
