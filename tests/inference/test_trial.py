"""A network whose graph holds the size of the image runs in MindSpore, and a line says why."""

import re
from dataclasses import replace

import numpy as np
import pytest
from mindspore import ops

from csd.checkpoints import network_state, save_checkpoint
from csd.errors import InputError, WorkError
from csd.inference import Machine, make_runner, open_upscaler
from csd.inference.engines import openvino as openvino_engine
from csd.nets import SlimmableSR, create_model, register, slim
from csd.nets.layers import SlimConv2d, Upsampler


class Sized(SlimmableSR):
    """Two convolutions; `kind` is what stands between them."""

    name = "sized"
    HYPER = (("n_feats", "int", 4, "features"), ("kind", "int", 1, "which case"))

    def __init__(self, *, scale: int, n_feats: int = 4, kind: int = 1):
        super().__init__(scale, n_feats=n_feats, kind=kind)
        self.n_feats, self.kind = n_feats, kind
        self.head = SlimConv2d(3, n_feats)
        self.upsampler = Upsampler(n_feats, scale)
        self.tail = SlimConv2d(n_feats, 3, resolution=scale)

    def student_config(self, width: float) -> dict:
        return {**self.hyper, "n_feats": slim(self.n_feats, width)}

    def construct(self, x, width=1.0):
        m = slim(self.n_feats, width)
        y = self.head(x, 3, m)
        height, across = y.shape[2], y.shape[3]
        if self.kind == 1:  # nothing
            pass
        elif self.kind == 2:  # half of the rows
            lower = y[:, :, height // 2 :]
            y = ops.concat((lower, lower), 2)[:, :, :height]
        elif self.kind == 3:  # a count of pixels
            y = y + y.sum((2, 3), keepdims=True) / float(height * across)
        elif self.kind == 4:  # averages over the channels
            y = y - y.mean(1, keep_dims=True)
        elif self.kind == 5:  # averages over the image that go through no convolution
            y = y - y.mean((2, 3), keep_dims=True)
        return self.tail(self.upsampler(y, m), m, 3)


@pytest.fixture
def sized():
    from csd import settings
    from csd.backbones import BACKBONES

    register(Sized)
    yield
    del BACKBONES["sized"]
    settings.SCHEMA["model"] = settings.model_keys()


def checkpoint(tmp_path, kind):
    net = create_model("sized", scale=2, kind=kind)
    path = tmp_path / f"{kind}.ckpt"
    save_checkpoint(path, network_state(net), {"model": net.describe(), "widths": [0.5, 1.0]})
    return net, path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (2, "41x57 becomes 0x114, not 82x114"),
        (3, "its values differ by [0-9]+ at 41x57"),
        (5, "its averages cannot be shared: .*"),
    ],
)
def test_what_holds_the_size_runs_in_mindspore(mindspore_cpu, sized, tmp_path, kind, words):
    net, path = checkpoint(tmp_path, kind)
    said: list[str] = []
    machine = Machine(device="CPU", cache_dir=tmp_path, log=said.append)
    upscaler = open_upscaler(path, machine=machine)
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 11, 9)).astype(np.float32)
    for width in (0.5, 1.0):  # said once
        engine = upscaler.at_width(width).engine
        assert engine.name == "mindspore"
        np.testing.assert_allclose(engine(x), make_runner(net, width)(x), atol=1e-3)
    (line,) = said
    start = r"note: there is no ONNX graph of this network( for every size)? \("
    assert re.fullmatch(start + words + r"\); MindSpore is used", line), line
    assert not list(tmp_path.rglob("*.onnx"))
    with pytest.raises(InputError, match=f"{words}.; or use another --engine"):
        open_upscaler(path, machine=replace(machine, engine="openvino"))


@pytest.mark.parametrize("kind", [1, 4])
def test_what_does_not_hold_it_runs_in_openvino(mindspore_cpu, sized, tmp_path, kind):
    net, path = checkpoint(tmp_path, kind)
    said: list[str] = []
    upscaler = open_upscaler(
        path, machine=Machine(device="CPU", cache_dir=tmp_path, log=said.append)
    )
    x = np.random.default_rng(0).uniform(0, 255, (2, 3, 11, 9)).astype(np.float32)
    assert upscaler.engine.name == "openvino" and not said
    np.testing.assert_allclose(upscaler.engine(x), make_runner(net, 0.5)(x), atol=1e-3)
    assert list(tmp_path.rglob("*.onnx"))


def test_a_graph_that_openvino_rejects_or_that_fails_is_no_graph(
    mindspore_cpu, sized, tmp_path, monkeypatch
):
    def unreadable(_model):
        raise InputError("OpenVINO cannot read the model: no")

    def failing(_inputs):
        raise WorkError("OpenVINO failed: no")

    _, path = checkpoint(tmp_path, 1)
    for compiler, words in (
        (unreadable, "there is no graph of this network (OpenVINO cannot read the model: no)"),
        (
            lambda _: failing,
            "there is no ONNX graph of this network for every size (41x57: OpenVINO failed: no)",
        ),
    ):
        monkeypatch.setattr(openvino_engine, "compile_model", compiler)
        said: list[str] = []
        machine = Machine(device="CPU", cache_dir=tmp_path, log=said.append)
        assert open_upscaler(path, machine=machine).engine.name == "mindspore"
        assert said == [f"note: {words}; MindSpore is used"]
