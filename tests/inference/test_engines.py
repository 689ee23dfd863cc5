"""Engines: the same values as MindSpore's, found graphs, and what is said where one is missing."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csd.backbones import BACKBONES
from csd.checkpoints import load_checkpoint, network_state, save_checkpoint
from csd.data import benchmark_pairs, load_pair
from csd.errors import InputError, WorkError
from csd.evaluation import psnr_y
from csd.inference import Machine, make_runner, open_upscaler, shipped_checkpoint
from csd.inference.engines import EngineMissing, graphs, open_engine
from csd.inference.engines import openvino as openvino_engine
from csd.inference.engines.graphs import SHIPPED, graph_name, metadata, open_graph
from csd.inference.opening import SHIPPED_SCALES
from csd.inference.tiling import upscale

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "edsr": {"n_feats": 8, "n_resblocks": 2, "res_scale": 0.1},
    "carn": {"n_feats": 8},
    "msrresnet": {"n_feats": 8, "n_resblocks": 2},
    "rcan": {"n_feats": 8, "n_resgroups": 2, "n_resblocks": 2, "reduction": 4},
}


def images(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def small_network(name, scale=2):
    from csd.nets import create_model

    return create_model(name, scale=scale, **SMALL[name])


def engine_of(name, net, width, tmp_path):
    graph = open_graph(net.describe(), width, network_state(net), cache_dir=tmp_path)
    return open_engine(name, graph)


def test_shipped_graphs_are_those_of_the_shipped_checkpoints():
    """`python tools/engine_graphs.py` writes them again."""
    wanted = set()
    for scale in SHIPPED_SCALES:
        checkpoint = load_checkpoint(shipped_checkpoint(scale))
        for width in checkpoint.meta["widths"]:
            name = graph_name(checkpoint.meta["model"], width)
            facts = metadata((SHIPPED / name).read_bytes())
            assert (facts["model"], facts["width"]) == (checkpoint.meta["model"], width)
            assert {n: tuple(s) for n, s in facts["shapes"].items()} == {
                n: value.shape for n, value in checkpoint.params.items()
            }
            wanted.add(name)
    assert {path.name for path in SHIPPED.iterdir()} == wanted
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 150_000  # no weights inside


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("scale", SHIPPED_SCALES)
def test_shipped_networks_give_mindspores_values(mindspore_cpu, engine, scale):
    path = shipped_checkpoint(scale)
    theirs = open_upscaler(path, machine=Machine(engine))
    ours = open_upscaler(path, machine=Machine("mindspore", "CPU"))
    assert theirs.engine.name == engine and ours.engine.name == "mindspore"
    for shape in ((1, 3, 20, 31), (2, 3, 9, 8)):
        x = images(*shape)
        got = theirs.engine(x)
        assert got.shape == (shape[0], 3, scale * shape[2], scale * shape[3])
        np.testing.assert_allclose(got, ours.engine(x), atol=2e-3)
    again = theirs.engine(x)
    np.testing.assert_array_equal(theirs.engine(images(1, 3, 8, 8)).shape[2:], (8 * scale,) * 2)
    np.testing.assert_array_equal(again, got)  # a result stays as it is when the next is computed


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", SMALL)
def test_every_backbone_at_any_size_and_batch(mindspore_cpu, tmp_path, name, scale):
    assert set(SMALL) == {name for name, kind in BACKBONES.items() if isinstance(kind, str)}
    net = small_network(name, scale)
    for width in (0.5, 1.0):
        reference = make_runner(net, width)
        for engine in ("openvino", "onnxruntime"):
            run = engine_of(engine, net, width, tmp_path)
            for shape in ((1, 3, 16, 16), (1, 3, 33, 20), (3, 3, 7, 12)):
                x = images(*shape)
                np.testing.assert_allclose(run(x), reference(x), atol=1e-3)
    assert len(list((tmp_path / "graphs").rglob("*.onnx"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_tiles_of_an_attentive_network_take_the_averages_of_the_image(
    mindspore_cpu, tmp_path, engine
):
    net = small_network("rcan")
    run, reference = engine_of(engine, net, 0.5, tmp_path), make_runner(net, 0.5)
    image = images(70, 90, 3)
    image[:, 45:] *= 0.2  # no tile's average is the image's

    def outcome(runner, tile):
        return upscale(runner, image, scale=2, tile=tile, overlap=8, dtype=np.float32)

    np.testing.assert_allclose(outcome(run, None), outcome(reference, None), atol=1e-3)
    tiled = outcome(run, 24)
    np.testing.assert_allclose(tiled, outcome(reference, 24), atol=1e-3)
    assert np.abs(tiled - outcome(run.run, 24)).max() > 0.01  # each tile's own averages differ


def test_signals_arrive_after_upscalers_are_dropped_in_any_order():
    """OpenVINO's cores, one for each, leave the thread a signal stack that is gone."""
    program = """
import gc, signal
import csd
first, second = csd.load("edsr_x4", width=0.25), csd.load("edsr_x2", width=0.25)
assert str(first.engine) == "openvino"
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("arrived"))
signal.raise_signal(signal.SIGTERM)
"""
    call = [sys.executable, "-X", "faulthandler", "-c", program]
    done = subprocess.run(call, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "arrived\n"), done.stderr


@pytest.mark.slow
def test_the_engine_costs_no_more_than_openvino_itself(tmp_path):
    """Processor time, which other programs on the machine do not change, of 480 x 320 at 0.25."""
    import openvino

    x = images(1, 3, 320, 480)
    upscaler = open_upscaler(shipped_checkpoint(4), width=0.25, machine=Machine("openvino"))
    checkpoint = load_checkpoint(shipped_checkpoint(4))
    graph = open_graph(checkpoint.meta["model"], 0.25, checkpoint.params, cache_dir=tmp_path)
    core = openvino.Core()
    model = core.read_model(graph.onnx)
    model.reshape(x.shape)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def seconds(run):
        run()
        start = time.process_time()
        run()
        return time.process_time() - start

    best = {"theirs": 9.0, "engine": 9.0, "upscale": 9.0}
    pixels = x[0].transpose(1, 2, 0).astype(np.uint8)
    for _ in range(4):
        best["theirs"] = min(best["theirs"], seconds(lambda: compiled(x)))
        best["engine"] = min(best["engine"], seconds(lambda: upscaler.engine(x)))
        best["upscale"] = min(best["upscale"], seconds(lambda: upscaler.upscale(pixels)))
    assert best["engine"] < 1.1 * best["theirs"], best
    assert best["upscale"] < 1.5 * best["theirs"], best  # float32 to bytes is work of its own


@pytest.mark.slow
@pytest.mark.parametrize("case", ["edsr_x2", "edsr_x3", "edsr_x4", "rcan"])
def test_set5_in_every_engine_whole_and_tiled(mindspore_cpu, shared_data, tmp_path, case):
    """Within 1 of 255 of MindSpore's image, and the PSNR-Y within 0.001 dB."""
    if case == "rcan":
        path, scale = tmp_path / "rcan.ckpt", 4
        net = small_network("rcan", scale)
        save_checkpoint(path, network_state(net), {"model": net.describe(), "widths": [1.0]})
    else:
        scale = int(case[-1])
        path = shipped_checkpoint(scale)
    ours, *others = [
        open_upscaler(path, machine=Machine(name, cache_dir=tmp_path))
        for name in ("mindspore", "openvino", "onnxruntime")
    ]
    for pair in benchmark_pairs(shared_data, "Set5", scale):
        hr, lr = load_pair(pair, scale)
        for tile in (0, 48):
            wanted = replace(ours, tile=tile).upscale(lr)
            for other in others:
                got = replace(other, tile=tile).upscale(lr)
                assert np.abs(got.astype(int) - wanted).max() <= 1, (pair.name, tile)
                expected = pytest.approx(psnr_y(wanted, hr, scale), abs=1e-3)
                assert psnr_y(got, hr, scale) == expected


def test_a_graph_is_made_once_for_all_weights(mindspore_cpu, tmp_path, monkeypatch):
    first, second = small_network("edsr"), small_network("edsr")
    x = images(1, 3, 8, 8)
    one = engine_of("openvino", first, 0.5, tmp_path)(x)

    def fail(*_):
        raise AssertionError("a second graph is made")

    monkeypatch.setattr(graphs, "_make", fail)
    other = engine_of("openvino", second, 0.5, tmp_path)(x)
    assert np.abs(one - other).max() > 0.1
    np.testing.assert_allclose(other, make_runner(second, 0.5)(x), atol=1e-3)


def test_a_damaged_graph_in_the_cache_is_made_again(mindspore_cpu, tmp_path):
    net = small_network("edsr")
    engine_of("openvino", net, 0.5, tmp_path)
    (path,) = (tmp_path / "graphs").rglob("*.onnx")
    whole = path.read_bytes()
    for damage in (b"", whole[:500]):
        path.write_bytes(damage)
        engine_of("openvino", net, 0.5, tmp_path)
        assert metadata(path.read_bytes()) == metadata(whole)


def test_weights_that_are_not_the_models_are_refused(mindspore_cpu, tmp_path):
    net = small_network("edsr")
    meta = {"model": {**net.describe(), "n_feats": 4}, "widths": [1.0]}
    save_checkpoint(tmp_path / "wrong.ckpt", network_state(net), meta)
    machine = Machine("openvino", cache_dir=tmp_path)
    with pytest.raises(InputError, match=r"wrong\.ckpt: tensor 'head.weight' should have shape"):
        open_upscaler(tmp_path / "wrong.ckpt", machine=machine)
    good = tmp_path / "good.ckpt"
    save_checkpoint(good, network_state(net), {"model": net.describe(), "widths": [1.0]})
    with pytest.raises(InputError, match="leaves no channel"):
        open_upscaler(good, width=0.01, machine=machine)


def test_a_first_inference_imports_no_mindspore(tmp_path):
    Image.fromarray(images(20, 30, 3).astype(np.uint8)).save(tmp_path / "in.png")
    code = (
        "import sys, socket\n"
        "def hook(name, args):\n"
        "    assert name not in ('socket.connect', 'socket.getaddrinfo'), args\n"
        "sys.addaudithook(hook)\n"
        "from csd.cli import run\n"
        f"code = run('infer', ['--input', {str(tmp_path / 'in.png')!r}, '--output_dir', "
        f"{str(tmp_path / 'out')!r}, '--cache_dir', {str(tmp_path / 'cache')!r}])\n"
        "bad = {'mindspore', 'torch', 'onnx', 'numba'} & set(sys.modules)\n"
        "assert code == 0 and not bad, (code, bad)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "out" / "in.png").size == (120, 80)
    assert not (tmp_path / "cache").exists()  # nothing had to be made


def test_mindspore_can_be_imported_behind_onnx():
    """Both read protobuf's messages, MindSpore in one form of that library alone."""
    code = (
        "from csd.export.graph import import_onnx\n"
        "import_onnx()\n"
        "from csd import runtime\n"
        "runtime.setup('CPU')\n"
        "from mindspore.train import mind_ir_pb2, checkpoint_pb2\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_where_openvino_is_missing_a_line_says_so(mindspore_cpu, monkeypatch):
    def missing(_model):
        raise EngineMissing("OpenVINO does not support this processor")

    monkeypatch.setattr(openvino_engine, "compile_model", missing)
    said = []
    upscaler = open_upscaler(shipped_checkpoint(4), machine=Machine(device="CPU", log=said.append))
    assert upscaler.engine.name == "mindspore"
    assert said == ["note: OpenVINO does not support this processor; MindSpore is used"]
    with pytest.raises(InputError, match="does not support this processor; or use another"):
        open_upscaler(shipped_checkpoint(4), machine=Machine("openvino"))


def test_a_network_without_a_graph_runs_in_mindspore(mindspore_cpu, tmp_path, monkeypatch):
    from csd.export import graph

    net = small_network("edsr")
    save_checkpoint(tmp_path / "a.ckpt", network_state(net), {"model": net.describe()})

    def fail(_model):
        raise WorkError("it has a value for every pixel")

    monkeypatch.setattr(graph, "free_sizes", fail)
    said = []
    machine = Machine(device="CPU", cache_dir=tmp_path, log=said.append)
    upscaler = open_upscaler(tmp_path / "a.ckpt", machine=machine)
    assert upscaler.engine.name == "mindspore"
    assert said == [
        "note: there is no ONNX graph of this network (it has a value for every pixel); MindSpore "
        "is used"
    ]
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="pip install onnx`"):
        open_upscaler(tmp_path / "a.ckpt", machine=replace(machine, engine="openvino"))


def test_a_missing_package_is_an_engine_that_is_missing(monkeypatch):
    for name in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match=f"pip install {name}"):
            open_upscaler(shipped_checkpoint(2), machine=Machine(name))


def test_a_processor_that_openvino_refuses_is_an_engine_that_is_missing(monkeypatch):
    class Refusing:
        def get_versions(self, _device):
            return {}

    monkeypatch.setattr(openvino_engine, "openvino_core", Refusing)
    with pytest.raises(EngineMissing, match="does not support this processor"):
        openvino_engine.compile_model(b"")


def test_engines_and_devices_that_do_not_go_together(tmp_path):
    for machine, words in (
        (Machine("openvino", "Ascend"), "runs on the CPU, not on Ascend"),
        (Machine("fast"), "unknown engine 'fast'"),
        (Machine(device="CPU", jit_level="O2"), "O2 is for Ascend"),
    ):
        with pytest.raises(InputError, match=words):
            open_upscaler(shipped_checkpoint(4), machine=machine)
    assert Machine(device="CPU").order("") == ["openvino", "mindspore"]
    assert Machine().order(".mindir") == ["mindspore"]
    for engine, suffix in (
        ("mindspore", ".onnx"),
        ("onnxruntime", ".xml"),
        ("openvino", ".mindir"),
    ):
        with pytest.raises(InputError, match=f"{engine} does not read {suffix}"):
            Machine(engine).order(suffix)


def test_an_exported_onnx_file_of_any_size_shares_its_averages(mindspore_cpu, tmp_path):
    from csd.export.exporter import export_network

    net = small_network("rcan")
    (made,) = export_network(net, 1.0, tmp_path, file_format="ONNX")
    upscaler, reference = open_upscaler(made.path), make_runner(net, 1.0)
    assert upscaler.size is None and upscaler.whole_image
    small, x = images(1, 3, 12, 10), 0.3 * images(1, 3, 9, 16)
    np.testing.assert_allclose(upscaler.engine(x), reference(x), atol=1e-3)
    wanted = reference.pooled_over(small)(x)
    np.testing.assert_allclose(upscaler.engine.pooled_over(small)(x), wanted, atol=1e-3)
    assert np.abs(wanted - reference(x)).max() > 0.01


def test_an_exported_onnx_file_runs_in_both(mindspore_cpu, tmp_path):
    from csd.export.exporter import export_network

    net = small_network("edsr")
    (made,) = export_network(net, 0.5, tmp_path, file_format="ONNX", sizes=[(9, 12)])
    x, reference = images(1, 3, 9, 12), make_runner(net, 0.5)
    for engine, name in (("auto", "openvino"), ("onnxruntime", "onnxruntime")):
        upscaler = open_upscaler(made.path, machine=Machine(engine))
        assert upscaler.engine.name == name and upscaler.size == (9, 12)
        np.testing.assert_allclose(upscaler.engine(x), reference(x), atol=1e-3)
    description = made.path.with_name(made.path.name + ".json")
    facts = json.loads(description.read_text())
    assert upscaler.model == facts["architecture"] and upscaler.at is None
    made.path.write_bytes(b"no graph")
    description.write_text(json.dumps({k: v for k, v in facts.items() if k != "file_sha256"}))
    with pytest.raises(InputError, match="OpenVINO cannot read"):
        open_upscaler(made.path)
