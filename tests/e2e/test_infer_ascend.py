"""The C++ program's Ascend branch, on a stub of MindSpore Lite (ascend310_infer/tests/lite_stub).

The stub's network repeats pixels and adds 0.7, which rounding makes 1; in enforce_fp16 it adds
nothing. It takes only the shapes that a model is compiled for, and logs what it is asked.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "ascend310_infer"
MODES = ("enforce_fp32", "preferred_fp32", "enforce_fp16", "enforce_origin", "preferred_optimal")
pytestmark = pytest.mark.slow

BATCHES = "[ascend_context]\ninput_shape=x:[-1,3,16,20]\ndynamic_dims=[1],[4]\n"
SIZES = "[ascend_context]\ninput_shape=x:[1,3,-1,-1]\ndynamic_dims=[16,20],[32,24]\n"
SIZES_AND_BATCHES = (
    '[acl_build_options]\ninput_format="ND"\ninput_shape="x:-1,3,-1,-1"\n'
    'ge.dynamicDims="1,16,20;4,16,20;2,32,24"\n'
)


@pytest.fixture(scope="session")
def lite(compiler, shell, tmp_path_factory):
    """Folder of the stub, laid out like MindSpore Lite's tarball."""
    home = tmp_path_factory.mktemp("lite")
    done = shell("bash", RUNNER / "tests" / "lite_stub" / "build.sh", home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture(scope="session")
def built(lite, shell, tmp_path_factory):
    """Folder of the program built with the stub; every warning is an error there."""
    folder = tmp_path_factory.mktemp("build")
    done = shell("bash", RUNNER / "build.sh", lite, "--test", BUILD_DIR=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / ".lite").write_text(f"{lite}\n")
    return folder


@pytest.fixture
def run(built, lite, shell, tmp_path):
    """Function: options of csd_infer -> the finished process and what the stub logged."""
    log = tmp_path / "log"

    def start(*options):
        done = shell(
            built / "csd_infer", "--device", "Ascend", "--output", tmp_path / "out",
            "--overlap", "3", *options,
            LD_LIBRARY_PATH=lite / "tools" / "converter" / "lib", CSD_STUB_LOG=log,
        )  # fmt: skip
        return done, log.read_text().splitlines() if log.exists() else []

    return start


def model(folder, shape, compiled=(), config=None):
    """A stub's model that doubles both sides, and the converter's configuration beside it."""
    path = folder / "m_ascend.mindir"
    lines = [
        "stub 2",
        " ".join(map(str, shape)),
        "".join(f"{' '.join(map(str, c))};" for c in compiled),
    ]
    path.write_text("\n".join(lines))
    if config:
        path.with_suffix(".cfg").write_text(config)
    return path


def image(path, height, width):
    """Random pixels in `path`; they are returned."""
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def doubled(pixels, plus=0):
    return np.minimum(pixels.repeat(2, axis=0).repeat(2, axis=1).astype(int) + plus, 255)


def is_written(path, pixels, plus=0):
    np.testing.assert_array_equal(np.asarray(Image.open(path)), doubled(pixels, plus))


def is_refused(done, sentence):
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr


def test_the_device_that_is_asked_for(run, tmp_path):
    pixels = image(tmp_path / "a.png", 16, 20)
    done, log = run(
        "--model", model(tmp_path, (1, 3, 16, 20)), "--input", tmp_path / "a.png",
        "--device_id", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert log[0] == "Ascend, device 3, rank 0, enforce_fp16"
    assert log[1:] == ["predict 1x3x16x20"] * 2  # on grey, then the image
    is_written(tmp_path / "out" / "a.png", pixels)


@pytest.mark.parametrize("mode", MODES)
def test_precision_reaches_the_device(run, tmp_path, mode):
    pixels = image(tmp_path / "a.png", 16, 20)
    path = model(tmp_path, (1, 3, 16, 20))
    done, log = run("--model", path, "--input", tmp_path / "a.png", "--precision", mode)
    assert done.returncode == 0, done.stderr
    assert log[0] == f"Ascend, device 0, rank 0, {mode}"
    is_written(tmp_path / "out" / "a.png", pixels, plus=mode != "enforce_fp16")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--precision", "fp16"), f"--precision must be one of {', '.join(MODES)}, not 'fp16'"),
        (("--precision", "force_fp32"), "not 'force_fp32'"),
        (("--precision", "enforce_fp32", "--device", "CPU"), "--precision is for --device Ascend"),
    ],
)
def test_precision_that_is_refused(run, tmp_path, options, sentence):
    image(tmp_path / "a.png", 16, 20)
    path = model(tmp_path, (1, 3, 16, 20))
    done, log = run("--model", path, "--input", tmp_path / "a.png", *options)
    is_refused(done, sentence)
    assert log == []  # before anything is loaded


def test_a_device_that_is_refused(run, tmp_path):
    image(tmp_path / "a.png", 16, 20)
    path = model(tmp_path, (1, 3, 16, 20))
    done, log = run("--model", path, "--input", tmp_path / "a.png", "--device_id", "9")
    is_refused(done, f"could not load {path} on Ascend device 9; is it there (npu-smi info)")
    assert log == ["Ascend, device 9, rank 0, enforce_fp16"]


def test_tiles_of_one_size(run, tmp_path):
    pixels = image(tmp_path / "a.png", 57, 70)
    done, log = run(
        "--model", model(tmp_path, (3, 3, 16, 20)), "--input", tmp_path / "a.png",
        "--precision", "enforce_fp32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Starts every 10 rows and 14 columns: 6 x 5 tiles, three at once, after the run on grey.
    assert log[1:] == ["predict 3x3x16x20"] * (1 + 10)
    is_written(tmp_path / "out" / "a.png", pixels, plus=1)


def test_several_batches(run, tmp_path):
    pixels = image(tmp_path / "a.png", 57, 70)
    path = model(tmp_path, (-1, 3, 16, 20), [(1, 3, 16, 20), (4, 3, 16, 20)], BATCHES)
    done, log = run("--model", path, "--input", tmp_path / "a.png", "--overlap", "4")
    assert done.returncode == 0, done.stderr
    # Starts every 8 rows and 12 columns: 7 x 6 tiles, 10 batches of 4 and half of one.
    assert [line for line in log if line.startswith("predict")] == [
        "predict 1x3x16x20", *["predict 4x3x16x20"] * (1 + 11),
    ]  # fmt: skip
    is_written(tmp_path / "out" / "a.png", pixels)


def test_several_sizes(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    small, large = image(folder / "a.png", 16, 20), image(folder / "b.png", 32, 24)
    path = model(tmp_path, (1, 3, -1, -1), [(1, 3, 16, 20), (1, 3, 32, 24)], SIZES)
    done, log = run("--model", path, "--input", folder, "--overlap", "4")
    assert done.returncode == 0, done.stderr
    assert log[1:] == [
        "resize 1x3x16x20", "predict 1x3x16x20", "resize 1x3x32x24", "predict 1x3x32x24",
        "resize 1x3x16x20", "predict 1x3x16x20", "resize 1x3x32x24", "predict 1x3x32x24",
    ]  # fmt: skip
    is_written(tmp_path / "out" / "a.png", small)
    is_written(tmp_path / "out" / "b.png", large)


def test_several_sizes_with_batches(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    images = {
        name: image(folder / f"{name}.png", *size)
        for name, size in {"a": (16, 20), "b": (32, 24), "c": (50, 37), "d": (9, 11)}.items()
    }
    compiled = [(1, 3, 16, 20), (4, 3, 16, 20), (2, 3, 32, 24)]
    path = model(tmp_path, (-1, 3, -1, -1), compiled, SIZES_AND_BATCHES)
    done, log = run("--model", path, "--input", folder, "--precision", "enforce_origin")
    assert done.returncode == 0, done.stderr
    runs = [line.split()[1] for line in log if line.startswith("predict")]
    assert runs[:3] == ["1x3x16x20", "4x3x16x20", "2x3x32x24"]  # each on grey
    assert runs[3:5] == ["1x3x16x20", "2x3x32x24"]  # a and b, of those sizes
    # c: 4 tiles of 32 x 24 have fewer pixels than 15 of 16 x 20; d: 4 mirrored tiles.
    assert runs[5:] == ["2x3x32x24"] * 2 + ["4x3x16x20"]
    for name, pixels in images.items():
        is_written(tmp_path / "out" / f"{name}.png", pixels, plus=1)


def test_a_batch_that_the_model_has(run, tmp_path):
    pixels = image(tmp_path / "a.png", 16, 20)
    compiled = [(1, 3, 16, 20), (4, 3, 16, 20), (2, 3, 32, 24)]
    path = model(tmp_path, (-1, 3, -1, -1), compiled, SIZES_AND_BATCHES)
    options = ("--model", path, "--input", tmp_path / "a.png", "--batch")
    done, log = run(*options, "4")
    assert done.returncode == 0, done.stderr
    assert {line.split()[1] for line in log[1:]} == {"4x3x16x20"}
    is_written(tmp_path / "out" / "a.png", pixels)
    done, _ = run(*options, "3")
    is_refused(done, f"--batch 3 is none of the batches in {path.with_suffix('.cfg')}")


@pytest.mark.parametrize(
    ("shape", "compiled", "config", "options", "sentence"),
    [
        ((1, 3, -1, -1), [(1, 3, 16, 20)], None, (), "keep the configuration file of"),
        ((-1, 3, 16, 20), [(1, 3, 16, 20)], "[ascend_context]\n", (), "as {config}"),
        ((-1, 3, 16, 20), [(1, 3, 16, 20)], BATCHES, (), "of (4, 3, 16, 20); is {config} what"),
        ((1, 3, 16, 20), [], None, ("--batch", "2"), "an input of (2, 3, 16, 20); export it with"),
        ((-1, 3, 16, 20), [], BATCHES.replace("[1]", "[a]"), (), "does not fit input_shape"),
        ((1, 8, 8, 3), [], None, (), "not float32 images (N, 3, H, W)"),
    ],
)  # fmt: skip
def test_sizes_that_are_refused(run, tmp_path, shape, compiled, config, options, sentence):
    image(tmp_path / "a.png", 16, 20)
    path = model(tmp_path, shape, compiled, config)
    done, _ = run("--model", path, "--input", tmp_path / "a.png", *options)
    is_refused(done, sentence.format(config=path.with_suffix(".cfg")))


@pytest.fixture
def script(built, lite, shell, tmp_path):
    """Function: run_infer_310.sh with the stub on a set of two images; environment as keywords."""
    folder = tmp_path / "data" / "Two"
    (folder / "HR").mkdir(parents=True)
    image(folder / "HR" / "a.png", 60, 52)
    image(folder / "HR" / "b.png", 32, 40)
    models = tmp_path / "models"
    models.mkdir()
    facts = {"scale": 2, "width": 0.25, "parameters": 7, "architecture": {"name": "edsr"}}
    facts["input"] = facts["output"] = {"shape": [1, 3, None, None]}
    facts["receptive_field"] = {"whole_image": False}
    (models / "m.mindir.json").write_text(json.dumps(facts))

    def start(*arguments, **environment):
        return shell(
            "bash", ROOT / "scripts" / "run_infer_310.sh", models, folder, *arguments,
            MS_LITE_HOME=lite, BUILD_DIR=built, OUTPUT_DIR=tmp_path / "out", OVERLAP=3,
            CSD_STUB_LOG=tmp_path / "log", **environment,
        )  # fmt: skip

    return start


def scored(folder, log, plus):
    """The first line of the stub's log, once the outputs and the table are what they should be."""
    for name in ("a", "b"):
        small = np.asarray(Image.open(folder / "Two" / "lr" / f"{name}.png"))
        is_written(folder / "Two" / "sr" / f"{name}.png", small, plus)
    _, network = json.loads((folder / "metrics.json").read_text())["runs"]
    assert network["label"] == "csd_infer" and set(network["sets"]["Two"]["images"]) == {"a", "b"}
    return log.read_text().splitlines()[0]


@pytest.mark.parametrize("arguments", [("2",), ("Ascend", "2")])
def test_script_on_ascend(script, tmp_path, arguments):
    # The converted model is taken, with the description of the one it was made from.
    compiled = [(1, 3, 16, 20), (4, 3, 16, 20), (2, 3, 32, 24)]
    model(tmp_path / "models", (-1, 3, -1, -1), compiled, SIZES_AND_BATCHES)
    (tmp_path / "models" / "m.mindir").write_text("no model")
    done = script(*arguments, PRECISION="preferred_fp32", LD_LIBRARY_PATH="/nowhere")
    assert done.returncode == 0, done.stderr
    first = scored(tmp_path / "out", tmp_path / "log", plus=1)
    assert first == "Ascend, device 2, rank 0, preferred_fp32"


def test_script_on_the_cpu(script, tmp_path):
    model(tmp_path / "models", (1, 3, 16, 20)).rename(tmp_path / "models" / "m.mindir")
    (tmp_path / "models" / "n_ascend.mindir").write_text("no model")
    done = script("CPU", THREADS="2", BATCH="2")
    assert done.returncode == 0, done.stderr
    assert scored(tmp_path / "out", tmp_path / "log", plus=1) == "CPU, threads 2"


def test_script_refuses_as_the_program_does(script, tmp_path):
    model(tmp_path / "models", (1, 3, 16, 20))
    is_refused(script("0", PRECISION="fp16"), "--precision must be one of")
    is_refused(script("9"), "on Ascend device 9")
    assert list((tmp_path / "out" / "Two" / "sr").iterdir()) == []
