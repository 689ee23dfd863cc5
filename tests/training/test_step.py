"""Three whole CSD steps against the reference, and what keeps a step safe."""

import json

import numpy as np
import pytest

from csd.errors import InputError


@pytest.fixture(scope="module")
def steps(request):
    from pathlib import Path

    folder = Path(__file__).resolve().parents[1] / "data"
    config = json.loads((folder / "config.json").read_text())["step"]
    data = np.load(folder / "csd_steps.npz")
    return config, {name: data[name] for name in data.files}


def _build(steps, **options):
    from mindspore import nn

    from csd.checkpoints import load_csd_state
    from csd.losses import CSDObjective
    from csd.nets import VGGEncoder, create_model
    from csd.training import CSDTrainOneStep

    config, data = steps
    hyper = {k: config[k] for k in ("n_feats", "n_resblocks", "res_scale")}
    net = create_model("edsr", scale=config["scale"], **hyper)
    load_csd_state(net, {k[5:]: v for k, v in data.items() if k.startswith("init/")})
    encoder = VGGEncoder(config["vgg_channels"])
    encoder.load_conv_weights([(data[f"vgg/{i}.weight"], data[f"vgg/{i}.bias"]) for i in range(13)])
    objective = CSDObjective(
        net,
        encoder,
        student_width=options.pop("student_width", config["student_width"]),
        contrast_weight=config["contrast_weight"],
        teacher_weight=config["teacher_weight"],
        layer_weights=config["layer_weights"],
        implementation=options.pop("implementation", None),
    )
    optimizer = options.pop("optimizer", nn.Adam)(net.trainable_params(), config["lr"])
    return net, encoder, CSDTrainOneStep(objective, optimizer, **options)


def _batch(data):
    import mindspore as ms

    return [ms.Tensor(data[k]) for k in ("lr", "hr", "negatives")]


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["fused", "portable"])
def test_reference_steps(steps, implementation, mindspore_cpu):
    import mindspore as ms

    assert ms.get_context("mode") == ms.GRAPH_MODE
    _, data = steps
    net, encoder, step = _build(steps, implementation=implementation)
    for i, tap in enumerate(encoder(ms.Tensor(data["hr"]))):
        np.testing.assert_allclose(tap.asnumpy(), data[f"vgg_tap_{i}"], rtol=1e-4, atol=1e-3)
    gradients = _gradients(step, _batch(data))
    for name, gradient in gradients.items():
        expected = data[f"grad0/{name}"]
        error = np.abs(gradient - expected).max()
        assert error <= 1e-4 * np.abs(expected).max(), name
    for expected in data["losses_student_teacher_contrast_total"]:
        total, student, teacher, contrastive, updated = step(*_batch(data)).asnumpy()
        assert updated == 1.0
        np.testing.assert_allclose((student, teacher, contrastive, total), expected, rtol=1e-4)
    error = np.concatenate(
        [np.abs(p.asnumpy() - data[f"final/{n}"]).ravel() for n, p in net.parameters_and_names()]
    )
    assert (error <= 1e-5).mean() >= 0.995
    assert error.max() <= 2e-4


def _gradients(step, batch):
    import mindspore as ms
    from mindspore import nn

    class Gradients(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.step = step

        def construct(self, *batch):
            return self.step.gradients(*batch)[1]

    values = Gradients()(*batch)
    assert isinstance(values[0], ms.Tensor)
    return {p.name: v.asnumpy() for p, v in zip(step.weights, values, strict=True)}


@pytest.mark.slow
def test_the_loss_scale_ends_with_headroom(mindspore_cpu):
    import mindspore as ms

    from csd.training.step import LARGEST_SCALE, create_loss_scaler

    def after(scaler, *finite):
        values = []
        for flag in finite:
            scaler.adjust(ms.Tensor(flag))
            values.append(float(scaler.scale_value))
        return values

    scaler = create_loss_scaler("dynamic", "Ascend")
    top = 2.0**16
    assert after(scaler, True, False, False, True, True, False, True) == [
        top, top / 4, top / 16, top / 256, top / 256, top / 1024, top / 16384,
    ]  # fmt: skip
    scaler.counter.set_data(ms.Tensor(998, ms.int32))  # of a window of 1000
    assert after(scaler, True, True, True) == [top / 16384, top / 4096, top / 4096]
    scaler.counter.set_data(ms.Tensor(999, ms.int32))
    scaler.scale_value.set_data(ms.Tensor(LARGEST_SCALE, ms.float32))
    assert after(scaler, True, True) == [LARGEST_SCALE] * 2
    scaler.scale_value.set_data(ms.Tensor(2.0, ms.float32))
    assert after(scaler, False, True) == [1.0, 1.0]


@pytest.mark.parametrize("scaler", ["none", "1024", "dynamic", "dynamic, select"])
def test_non_finite_steps_change_nothing(steps, scaler, mindspore_cpu):
    """`select` is the form for accelerators, which puts back instead of branching."""
    import mindspore as ms

    from csd.training.build import step_state
    from csd.training.step import create_loss_scaler

    _, data = steps
    scaler, _, form = scaler.partition(", ")
    net, _, step = _build(steps, loss_scaler=create_loss_scaler(scaler, "CPU"))
    if form == "select":
        step.branches, step.state = False, ms.ParameterTuple(step.optimizer.get_parameters())
    good = step(*_batch(data)).asnumpy()
    expected = data["losses_student_teacher_contrast_total"][0]
    np.testing.assert_allclose(good[:4], expected[[3, 0, 1, 2]], rtol=1e-4)
    assert good[4] == 1.0
    before = {n: p.asnumpy().copy() for n, p in net.parameters_and_names()}
    optimizer = {n: p.asnumpy().copy() for n, p in step_state(step).items() if "optim" in n}
    scale = float(getattr(step.scaler, "scale_value", ms.Tensor(0.0)))
    lr, hr, negatives = _batch(data)
    bad = data["hr"].copy()
    bad[0, 0, 0, 0] = np.nan
    lower = -1.0 if scaler == "dynamic" else 0.0  # a smaller loss scale comes next
    assert step(lr, ms.Tensor(bad), negatives).asnumpy()[4] == lower
    for name, parameter in net.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), before[name], err_msg=name)
    for name, value in optimizer.items():
        np.testing.assert_array_equal(step_state(step)[name].asnumpy(), value, err_msg=name)
    if scaler == "dynamic":
        assert float(step.scaler.scale_value) == scale / 4
    assert step(lr, hr, negatives).asnumpy()[4] == 1.0
    assert any((p.asnumpy() != before[n]).any() for n, p in net.parameters_and_names())


@pytest.mark.slow
def test_clipping_bounds_the_update(steps, mindspore_cpu):
    from mindspore import nn

    config, data = steps
    net, _, step = _build(steps, optimizer=nn.SGD, clip_norm=0.5)
    before = {n: p.asnumpy().copy() for n, p in net.parameters_and_names()}
    step(*_batch(data))
    moved = sum(((p.asnumpy() - before[n]) ** 2).sum() for n, p in net.parameters_and_names())
    assert np.sqrt(moved) == pytest.approx(0.5 * config["lr"], rel=1e-2)


@pytest.mark.slow
def test_several_students_are_summed(steps, mindspore_cpu):
    """Elastic widths: student and contrastive loss are sums of what each width has on its own."""
    _, data = steps
    parts = {}
    for widths in ((0.25,), (0.5,), (0.25, 0.5)):
        *_, step = _build(steps, student_width=widths)
        parts[widths] = step(*_batch(data)).asnumpy()
    for i in (1, 3):
        total = parts[0.25,][i] + parts[0.5,][i]
        assert parts[0.25, 0.5][i] == pytest.approx(total, rel=1e-5)
    assert parts[0.25, 0.5][2] == pytest.approx(parts[0.25,][2], rel=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upscaled_negatives_match_imresize(scale, mindspore_cpu):
    import mindspore as ms

    from csd.data import imresize_bicubic
    from csd.training.step import BicubicUpscale

    patch = np.random.default_rng(scale).integers(0, 256, (2, 3, 11, 11)).astype(np.uint8)
    found = BicubicUpscale(11, scale)(ms.Tensor(patch.astype(np.float32))).asnumpy()
    for i in range(2):
        expected = imresize_bicubic(patch[i].transpose(1, 2, 0), scale).transpose(2, 0, 1)
        # Two roundings to whole of 255, the first one weighed by the second pass.
        assert np.abs(found[i] - expected).max() <= 1.26
        assert np.abs(found[i] - expected).mean() < 0.4
    assert found.min() >= 0 and found.max() <= 255


def test_objective_errors(mindspore_cpu):
    from csd.losses import CSDObjective
    from csd.nets import VGGEncoder, create_model
    from csd.training.step import create_loss_scaler

    net = create_model("edsr", scale=2, n_feats=8, n_resblocks=1)
    encoder = VGGEncoder((4, "M", 4))
    with pytest.raises(InputError, match="no weights"):
        CSDObjective(net, encoder, student_width=0.5)
    encoder.load_random_weights()
    with pytest.raises(InputError, match="5 layer weights for the 2 feature maps"):
        CSDObjective(net, encoder, student_width=0.5)
    with pytest.raises(InputError, match="no channel"):
        CSDObjective(net, encoder, student_width=0.1, layer_weights=(1, 1))
    with pytest.raises(InputError, match="loss_scale"):
        create_loss_scaler("huge", "CPU")
    with pytest.raises(InputError, match="loss_scale"):
        create_loss_scaler("-1", "CPU")
