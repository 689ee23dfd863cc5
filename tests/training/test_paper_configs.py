"""The configs that are shipped: the paper's are the paper's, and every one of them starts."""

from pathlib import Path

import numpy as np
import pytest

from csd.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BACKBONES, SCALES = ("edsr", "rcan", "carn"), (2, 4)
PAPER = [(name, scale) for name in BACKBONES for scale in SCALES]
DEEP = ("edsr", "rcan")

# Trainable parameters of the paper's networks at widths 1.0, 0.5, 0.25.
COUNTS = {
    ("edsr", 2): (40729603, 10190339, 2551555),
    ("edsr", 3): (43680003, 10928259, 2736195),
    ("edsr", 4): (43089923, 10780675, 2699267),
    ("rcan", 2): (15444643, 3872083, 973483),
    ("rcan", 3): (15629283, 3918323, 985083),
    ("rcan", 4): (15592355, 3909075, 982763),
    ("carn", 2): (964163, 242467, 61331),
    ("carn", 3): (1148803, 288707, 72931),
    ("carn", 4): (1111875, 279459, 70611),
}


def _load(name, scale, config_file, *extra):
    file = CONFIGS / f"paper_{name}_x{scale}_{config_file}.yaml"
    return load_config("train", ["--config", str(file), *extra])


def test_the_paper_has_twelve_configs():
    expected = {f"paper_{n}_x{s}_{r}.yaml" for n, s in PAPER for r in ("teacher", "csd")}
    assert {file.name for file in CONFIGS.glob("paper_*.yaml")} == expected


@pytest.mark.parametrize("config_file", ["teacher", "csd"])
@pytest.mark.parametrize(("name", "scale"), PAPER)
def test_settings_are_the_papers(name, scale, config_file):
    config = _load(name, scale, config_file)
    model, data, train, optim = config.model, config.data, config.train, config.optim
    assert (model.name, model.scale, train.method) == (name, scale, config_file)
    hyper = {
        "edsr": ("n_feats", "n_resblocks", "res_scale"),
        "rcan": ("n_feats", "n_resgroups", "n_resblocks", "reduction"),
        "carn": ("n_feats",),
    }[name]
    values = {"edsr": (256, 32, 0.1), "rcan": (64, 10, 20, 16), "carn": (64,)}[name]
    assert tuple(model[key] for key in hyper) == values
    # DIV2K: by its layout images 1-800 train; 801-810 validate, unless another folder is named.
    assert (data.layout, data.val_dir, data.val_images, data.augment) == ("div2k", "", 10, True)
    assert data.lr_patch * scale == 192
    assert (train.batch_size, train.epochs, train.steps_per_epoch) == (16, 400, 1000)
    assert (optim.name, optim.lr, optim.beta1, optim.beta2, optim.eps) == (
        "adam", 1e-4, 0.9, 0.999, 1e-8,
    )  # fmt: skip
    assert (optim.schedule, optim.decay_epochs, optim.decay_factor) == ("step", 200, 0.1)
    assert (optim.warmup, optim.clip_norm) == (0, 0.0)
    if config_file == "csd":
        loss = config.loss
        assert list(train.widths) == [0.25]
        assert (loss.negatives, loss.contrast_weight, loss.teacher_weight) == (10, 200.0, 1.0)
        assert (loss.vgg_arch, loss.vgg_input) == ("vgg19", "auto")
        assert list(loss.layer_weights) == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0]


@pytest.mark.parametrize(("name", "scale"), COUNTS)
def test_networks_have_the_papers_parameters(name, scale, mindspore_cpu):
    from csd.nets import create_model
    from csd.training.build import create_network

    # x3 has no config of its own: that of x4 with another scale.
    given = (name, scale, "csd") if scale in SCALES else (name, 4, "csd", f"--scale={scale}")
    net = create_network(_load(*given, "--teacher=none"))
    found = [sum(p.size for p in net.trainable_params())]
    for width in (0.5, 0.25):
        student = create_model(name, scale=scale, **net.student_config(width))
        found.append(sum(p.size for p in student.trainable_params()))
    assert tuple(found) == COUNTS[name, scale]


@pytest.mark.parametrize(
    ("name", "scale", "config_file"),
    [
        pytest.param(
            *case, config_file, marks=pytest.mark.nightly if case[0] in DEEP else pytest.mark.slow
        )
        for case in PAPER
        for config_file in ("teacher", "csd")
    ],
)
def test_a_step_of_every_config(name, scale, config_file, mindspore_cpu):
    """Whole networks, whole VGG-19, the whole schedule; only the batch is small."""
    import mindspore as ms

    from csd.runtime import Runtime
    from csd.training.build import check_settings, create_network, create_step

    config = _load(
        name, scale, config_file, "--teacher=none", "--vgg=random", "--train.batch_size=1",
        "--loss.negatives=1", "--data.lr_patch=8",
    )  # fmt: skip
    check_settings(config)
    net = create_network(config)
    step = create_step(config, net, Runtime("CPU"))
    rng = np.random.default_rng(0)
    shapes = [(1, 3, 8, 8), (1, 3, 8 * scale, 8 * scale), (1, 3, 8, 8)]
    batch = [ms.Tensor(rng.integers(0, 256, shape, np.uint8)) for shape in shapes]
    before = {n: p.asnumpy().copy() for n, p in net.parameters_and_names()}
    out = step(*batch[: 3 if config_file == "csd" else 2]).asnumpy()
    total, student, teacher, contrastive, updated = out
    assert updated == 1.0 and np.isfinite(out).all() and teacher > 0
    if config_file == "csd":
        assert min(student, contrastive) > 0
        assert total == pytest.approx(student + teacher + 200 * contrastive, rel=1e-5)
    else:
        assert total == pytest.approx(teacher) and student == contrastive == 0
    changes = [np.abs(p.asnumpy() - before[n]).max() for n, p in net.parameters_and_names()]
    assert max(changes) <= 1.01e-4  # Adam's first step is at most the learning rate
    assert np.mean(np.array(changes) > 0) > 0.9  # some of RCAN's gates let nothing through


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_config_passes_its_checks(file, tmp_path):
    """Once teacher and VGG weights are given, which no config can bring."""
    from csd.training.build import check_settings

    teacher = tmp_path / "teacher.ckpt"
    teacher.touch()
    config = load_config("train", ["--config", str(file), f"--teacher={teacher}", "--vgg=random"])
    check_settings(config)
    assert config.data.lr_patch * config.model.scale >= 16  # or VGG's last features would be empty
