"""What the configuration makes of a run, and what it refuses."""

import numpy as np
import pytest

from csd.config import defaults
from csd.errors import InputError


def _config(**changes):
    config = defaults()
    config.model.update(scale=2, n_feats=8, n_resblocks=1)
    config.train.update(teacher="none", widths=[0.5])
    config.loss.update(vgg="random", negatives=2)
    for dotted, value in changes.items():
        section, key = dotted.split("__")
        config[section][key] = value
    return config


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train__teacher": ""}, "method csd starts from a teacher: give --teacher FILE"),
        ({"train__method": "joint", "train__teacher": ""}, "method joint starts from a teacher"),
        ({"train__teacher": "nowhere.ckpt"}, "no teacher checkpoint nowhere.ckpt; train one"),
        ({"train__widths": []}, "train.widths is empty"),
        ({"train__reorder": True}, "reorders a teacher's channels: give --teacher FILE"),
        ({"train__student": "s.ckpt", "train__method": "teacher"}, "--student is for the methods"),
        ({"train__student": "s.ckpt"}, "place of a teacher's channels: give --teacher FILE"),
        (
            {"train__student": "nowhere.ckpt", "train__teacher": __file__},
            "no student checkpoint nowhere.ckpt; train one",
        ),
        ({"train__method": "student", "train__widths": [0.5, 0.25]}, "give one width"),
        ({"train__widths": [1.0, 0.5]}, "1.0, which is the teacher"),
        ({"train__widths": [0.5, 0.25, 0.5]}, "names a width twice"),
        ({"loss__width_weights": [1.0, 2.0]}, "2 entries for 1 student widths"),
        ({"train__method": "joint", "loss__width_weights": [0.0]}, "number above zero"),
        ({"loss__negatives": 17}, "loss.negatives=17 exceeds train.batch_size=16"),
        ({"loss__layer_weights": [1.0]}, "loss.layer_weights needs 5 numbers, not 1"),
        ({"loss__layer_weights": [0.0] * 5}, "no weight above zero; use method joint"),
        ({"loss__crop": 97}, "loss.crop=97 is a square of 16 to 96 HR pixels"),
        ({"loss__crop": 8}, "loss.crop=8 is a square of 16 to 96 HR pixels"),
        ({"loss__vgg": ""}, "method csd needs VGG weights: --vgg FILE"),
    ],
)
def test_contradictions(changes, sentence):
    from csd.training.build import check_settings

    with pytest.raises(InputError, match=sentence):
        check_settings(_config(**changes))


def test_widths_of_each_method():
    from csd.training.build import trained_widths

    config = _config(train__widths=[0.25, 0.5])
    assert trained_widths(config) == [1.0, 0.5, 0.25]
    config.train.method = "teacher"
    assert trained_widths(config) == [1.0]


def test_student_from_a_teacher_is_its_prefix(mindspore_cpu, tmp_path):
    from csd.checkpoints import network_state, save_checkpoint
    from csd.nets import create_model
    from csd.training.build import create_network

    teacher = create_model("edsr", scale=2, n_feats=8, n_resblocks=1)
    file = tmp_path / "teacher.ckpt"
    save_checkpoint(file, network_state(teacher), {"model": teacher.describe(), "widths": [1.0]})
    config = _config(train__method="student", train__teacher=str(file))
    student, whole = network_state(create_network(config)), network_state(teacher)
    assert student.keys() == whole.keys()
    for name, value in student.items():
        prefix = whole[name][tuple(slice(n) for n in value.shape)]
        np.testing.assert_array_equal(value, prefix, err_msg=name)
    assert next(iter(student.values())).shape[0] == 4


def test_a_run_trains_the_reordered_teacher(mindspore_cpu, settings, tmp_path):
    """Method joint and student: at full width it computes what the teacher did."""
    import contextlib

    import mindspore as ms

    from csd.checkpoints import network_state, save_checkpoint
    from csd.config import load_config
    from csd.nets import create_model
    from csd.settings import TRAIN, hyper_of
    from csd.training.run import build_run

    def built(method, reorder):
        call = settings(f"--teacher={file}", f"--train.reorder={reorder}", method=method)
        with contextlib.ExitStack() as held:
            return build_run(load_config(TRAIN, call), held).net

    config = load_config(TRAIN, settings())
    teacher = create_model("edsr", scale=2, **hyper_of(config.model))
    file = tmp_path / "teacher.ckpt"
    save_checkpoint(file, network_state(teacher), {"model": teacher.describe(), "widths": [1.0]})
    x = ms.Tensor(np.random.default_rng(0).uniform(0, 255, (1, 3, 12, 12)).astype(np.float32))
    whole, plain = built("joint", "true"), built("joint", "false")
    np.testing.assert_allclose(whole(x).asnumpy(), teacher(x).asnumpy(), atol=2e-3)
    prefix = whole(x, 0.5).asnumpy()
    assert np.abs(prefix - plain(x, 0.5).asnumpy()).max() > 1
    np.testing.assert_allclose(built("student", "true")(x).asnumpy(), prefix, atol=1e-3)


def test_teacher_of_another_network_is_refused(mindspore_cpu, tmp_path):
    from csd.checkpoints import network_state, save_checkpoint
    from csd.nets import create_model
    from csd.training.build import create_network

    other = create_model("edsr", scale=2, n_feats=4, n_resblocks=1)
    file = tmp_path / "other.ckpt"
    save_checkpoint(file, network_state(other), {"model": other.describe(), "widths": [1.0]})
    with pytest.raises(
        InputError, match=r"other.ckpt holds edsr x2 \(n_feats 4.*asks for.*n_feats 8"
    ):
        create_network(_config(train__teacher=str(file)))


@pytest.mark.parametrize("method", ["teacher", "student"])
def test_initial_weights_of_an_interpolation(mindspore_cpu, method):
    """Also in a student from scratch, which is a network of its own."""
    from csd.training.build import create_network

    config = _config(train__method=method, model__init="interpolation")
    head = create_network(config).head.weight.asnumpy()
    assert head.shape[0] == (4 if method == "student" else 8)
    np.testing.assert_array_equal(head[:3, :, 1, 1], np.eye(3))
    assert np.count_nonzero(head[:3]) == 3 and np.count_nonzero(head[3:]) == head[3:].size
    config.model.init = "default"
    assert np.count_nonzero(create_network(config).head.weight.asnumpy()[:3]) > 3


def test_the_step_between_shares_all_but_the_contrastive_loss(mindspore_cpu):
    from csd.losses import ReconstructionObjective
    from csd.runtime import Runtime
    from csd.training.build import create_network, create_step, create_step_between

    config = _config(train__method="csd", runtime__loss_scale="dynamic", loss__teacher_weight=0.3)
    config.optim.clip_norm = 2.0
    step = create_step(config, create_network(config), Runtime("CPU"))
    assert create_step_between(config, step) is None
    config.loss.every = 4
    between = create_step_between(config, step)
    assert between.optimizer is step.optimizer and between.scaler is step.scaler
    assert between.objective.net is step.objective.net and between.training
    assert (between.clip_norm, between.ranks) == (2.0, 1)
    assert isinstance(between.objective, ReconstructionObjective)
    assert between.objective.students == step.objective.students == ((0.5, 1.0),)
    assert between.objective.teacher and between.objective.teacher_weight == 0.3
    config.train.method = "joint"
    assert create_step_between(config, step) is None


def test_state_of_a_step_is_optimizer_and_scale(mindspore_cpu):
    from csd.runtime import Runtime
    from csd.training.build import create_network, create_step, step_state

    config = _config(train__method="teacher", runtime__loss_scale="dynamic")
    net = create_network(config)
    state = step_state(create_step(config, net, Runtime("CPU")))
    weights = [name for name, _ in net.parameters_and_names()]
    moments = [name for name in state if "moment" in name]
    assert len(moments) == 2 * len(weights)
    assert {"optimizer.global_step", "loss_scale.value", "loss_scale.counter"} <= state.keys()
    assert not any("learning_rate" in name for name in state)
