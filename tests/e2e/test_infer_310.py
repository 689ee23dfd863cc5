"""The C++ program on the CPU: built, run on images, compared with MindSpore.

Skipped, saying so, where a compiler, OpenCV's headers or MindSpore Lite cannot be had; with
CSD_REQUIRE_CPP=1 that is a failure instead.
"""

import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "ascend310_infer"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def lite(compiler, shell, unavailable):
    """Folder of MindSpore Lite 2.0."""
    done = shell("bash", ROOT / "scripts/fetch_mindspore_lite.sh")
    if done.returncode:
        unavailable(f"no MindSpore Lite: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


@pytest.fixture(scope="session")
def csd_infer(lite, shell):
    """The built program, its own tests passed."""
    done = shell("bash", RUNNER / "build.sh", lite, "--test")
    assert done.returncode == 0, done.stdout + done.stderr
    (RUNNER / "build" / ".lite").write_text(lite + "\n")
    return RUNNER / "build" / "csd_infer"


@pytest.fixture(scope="session")
def models(reference, tmp_path_factory):
    """label -> (network at width 0.25, exported MINDIR, the same lowered), input 24 x 24."""
    from csd import runtime

    runtime.setup(device_target="CPU", seed=1)
    from csd.checkpoints import load_csd_state
    from csd.export.exporter import export_network
    from csd.export.lower import lower_mindir
    from csd.nets import create_model

    folder = tmp_path_factory.mktemp("models")
    made = {}
    for label in ("edsr_x4", "rcan_x3", "carn_x2"):
        name, scale = label.split("_x")
        hyper = json.loads((reference / "config.json").read_text())["models"][label]
        net = create_model(name, scale=int(scale), **hyper)
        with np.load(reference / f"{label}.npz") as file:
            state = {k[6:]: v for k, v in dict(file).items() if k.startswith("param/")}
        load_csd_state(net, state)
        (item,) = export_network(net, 0.25, folder / label, sizes=[(24, 24)])
        lowered = folder / f"{label}.mindir"
        lower_mindir(item.path, lowered)
        made[label] = net, item.path, lowered
    return made


def whole(net, image):
    """The image that MindSpore makes of a uint8 one in one pass, width 0.25."""
    import mindspore as ms

    x = image.transpose(2, 0, 1)[None].astype(np.float32)
    y = net(ms.Tensor(x), 0.25).asnumpy()[0].transpose(1, 2, 0)
    return np.clip(np.floor(y + 0.5), 0, 255).astype(np.uint8)


def sample_image(height, width, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 5) * 90, np.cos(y / 7) * 90, np.sin((x + y) / 9) * 90], axis=2)
    return np.clip(waves + 128 + rng.normal(0, 12, waves.shape), 0, 255).astype(np.uint8)


def levels_apart(path, wanted):
    return np.abs(np.asarray(Image.open(path)).astype(int) - wanted).max()


@pytest.mark.parametrize("label", ["edsr_x4", "rcan_x3", "carn_x2"])
def test_one_tile_is_what_mindspore_computes(shell, csd_infer, models, tmp_path, label):
    net, _, model = models[label]
    image = sample_image(24, 24)
    Image.fromarray(image).save(tmp_path / "a.png")
    done = shell(
        csd_infer, "--model", model, "--input", tmp_path / "a.png", "--output", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert levels_apart(tmp_path / "out" / "a.png", whole(net, image)) <= 1


@pytest.mark.parametrize("batch", ["1", "3"])
def test_tiles_are_the_whole_image(shell, csd_infer, models, tmp_path, batch):
    net, exported, model = models["edsr_x4"]
    radius = json.loads((exported.parent / f"{exported.name}.json").read_text())["receptive_field"][
        "radius"
    ]
    assert radius == 7.75
    image = sample_image(57, 70)
    Image.fromarray(image).save(tmp_path / "a.png")
    done = shell(
        csd_infer, "--model", model, "--input", tmp_path / "a.png", "--output", tmp_path / "out",
        "--overlap", "10", "--batch", batch, "--json", tmp_path / "stats.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert levels_apart(tmp_path / "out" / "a.png", whole(net, image)) <= 1
    stats = json.loads((tmp_path / "stats.json").read_text())
    (item,) = stats["images"]
    assert (item["height"], item["width"]) == (57, 70)
    # starts every 24 - 2 * 10 = 4 pixels: 10 rows of 13
    assert item["tiles"] == 130
    assert item["inference_ms"] > 0 and stats["total"]["images_per_second"] > 0


def test_batches_of_a_configuration_file(shell, csd_infer, models, tmp_path):
    # MindSpore Lite itself, resized back and forth between the batches that the file names.
    net, _, model = models["edsr_x4"]
    shutil.copy(model, tmp_path / "m.mindir")
    (tmp_path / "m.cfg").write_text(
        "[ascend_context]\ninput_shape=x:[-1,3,24,24]\ndynamic_dims=[1],[2],[6]\n"
    )
    (tmp_path / "in").mkdir()
    sizes = {"a": (25, 25), "b": (24, 24), "c": (29, 25)}  # 4, 1 and 6 tiles
    for name, size in sizes.items():
        Image.fromarray(sample_image(*size)).save(tmp_path / "in" / f"{name}.png")
    done = shell(
        csd_infer, "--model", tmp_path / "m.mindir", "--input", tmp_path / "in", "--overlap", "10",
        "--output", tmp_path / "out", "--json", tmp_path / "stats.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tiles = [item["tiles"] for item in json.loads((tmp_path / "stats.json").read_text())["images"]]
    assert tiles == [4, 1, 6]
    for name, size in sizes.items():
        assert levels_apart(tmp_path / "out" / f"{name}.png", whole(net, sample_image(*size))) <= 1


def test_all_kinds_of_images(shell, csd_infer, models, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    grey = sample_image(30, 33)[:, :, 0]
    colour = sample_image(30, 33)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(colour).save(folder / "colour.bmp")
    Image.fromarray(colour).save(folder / "photo.jpg", quality=95)
    Image.fromarray(np.dstack([colour, grey])).save(folder / "alpha.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(colour[:1, :1]).save(folder / "tiny.png")
    Image.fromarray(colour).quantize(32).save(folder / "palette.png")
    (folder / "broken.png").write_bytes((folder / "grey.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("no image")
    done = shell(
        csd_infer, "--model", models["carn_x2"][2], "--input", folder, "--output", tmp_path / "out"
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "broken.png" in errors[0]
    sizes = {p.stem: Image.open(p).size for p in (tmp_path / "out").iterdir()}
    usual = dict.fromkeys(("grey", "colour", "photo", "alpha", "deep", "palette"), (66, 60))
    assert sizes == {**usual, "tiny": (2, 2)}
    same = [np.asarray(Image.open(tmp_path / "out" / f"{n}.png")) for n in ("colour", "alpha")]
    np.testing.assert_array_equal(*same)
    same = [np.asarray(Image.open(tmp_path / "out" / f"{n}.png")) for n in ("grey", "deep")]
    np.testing.assert_array_equal(*same)


def test_two_hundred_images_and_five_bad_ones(shell, csd_infer, models, tmp_path):
    def run(count):
        folder, out = tmp_path / f"in{count}", tmp_path / f"out{count}"
        folder.mkdir()
        for i in range(count - 5):
            # Large ones too: memory that was kept for each would show.
            side = 120 if i % 10 == 0 else 12 + i % 40
            Image.fromarray(sample_image(side, side + 7, i)).save(folder / f"{i:03}.png")
        for i in range(5):
            (folder / f"bad{i}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image" * i)
        done = shell(csd_infer, "--model", models["edsr_x4"][2], "--input", folder, "--output", out)
        assert done.returncode == 1
        for i in range(5):
            assert sum(f"bad{i}.jpg" in line for line in done.stderr.splitlines()) == 1
        assert len(list(out.iterdir())) == count - 5
        assert f"{count - 5} written, 5 failed" in done.stdout
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024

    before = run(45)
    assert run(200) < before + 60  # MiB; RUSAGE_CHILDREN keeps the largest child of all


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--model": "none.mindir"}, "No such file"),
        ({"--model": "text"}, "is not a MINDIR"),
        ({"--input": "none"}, "no such file"),
        ({"--input": "empty"}, "no images"),
        ({"--output": "text"}, "is not a folder"),
        ({"--output": "text/x"}, "cannot make the folder"),
        ({"--device": "Ascend"}, "Ascend device 0"),
        ({"--device": "GPU"}, "CPU or Ascend"),
        ({"--overlap": "12"}, "less than half"),
    ],
)
def test_wrong_usage_is_one_sentence(csd_infer, models, tmp_path, changes, sentence):
    (tmp_path / "text").write_text("no model")
    (tmp_path / "empty").mkdir()
    Image.fromarray(sample_image(9, 9)).save(tmp_path / "a.png")
    options = {"--model": models["edsr_x4"][2], "--input": "a.png", "--output": "out", **changes}
    environment = {k: v for k, v in os.environ.items() if k != "GLOG_v"}  # as a user has it
    done = subprocess.run(
        [str(csd_infer), *(str(word) for pair in options.items() for word in pair)],
        env=environment,
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr


def test_images_that_are_too_large_or_no_files(shell, csd_infer, models, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(sample_image(30, 40)).save(folder / "good.png")
    Image.new("L", (7900, 7900)).save(folder / "flat.png")
    (folder / "header.pgm").write_bytes(b"P5 40000 40000 255\n")
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    done = shell(
        csd_infer, "--model", models["carn_x2"][2], "--input", folder, "--output", tmp_path / "out",
        "--max_pixels", "62409999", timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.png"]
    assert "1 written, 5 failed" in done.stdout
    for name, reason in {
        "flat.png": "more than 62409999 pixels",
        "header.pgm": "more than 62409999 pixels",
        "pipe.png": "is a pipe, socket or device",
        "device.png": "is a pipe, socket or device",
        "loop.png": "Too many levels of symbolic links",
    }.items():
        (line,) = [line for line in done.stderr.splitlines() if f"/{name}" in line]
        assert line.startswith("error: ") and reason in line


def test_names_that_nearly_agree_are_all_written(shell, csd_infer, models, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    images = {
        name: sample_image(24, 24, seed)
        for seed, name in enumerate(("a.bmp", "a.png", "a.png.bmp"))
    }
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
    net, _, model = models["edsr_x4"]
    done = shell(csd_infer, "--model", model, "--input", folder, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "3 written, 0 failed" in done.stdout
    for name, pixels in images.items():
        assert levels_apart(tmp_path / "out" / f"{name}.png", whole(net, pixels)) <= 1


def test_a_limit_on_files_is_one_sentence(shell, csd_infer, models, tmp_path):
    Image.fromarray(sample_image(100, 100)).save(tmp_path / "a.png")
    paths = f"--input {tmp_path}/a.png --output {tmp_path}/out"
    command = f"{csd_infer} --model {models['edsr_x4'][2]} {paths}"
    done = shell("bash", "-c", f"ulimit -f 8; exec {command}", timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write") and done.stderr.count("\n") == 1
    assert "a.png: File too large (the limit on the size of files, ulimit -f)" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    done = shell("bash", "-c", f"exec {command} > /dev/full", timeout=60)
    assert done.returncode == 1
    assert "standard output: No space left on device" in done.stderr


def test_a_damaged_model_is_noticed_by_its_digest(shell, csd_infer, models, tmp_path):
    _, exported, lowered = models["edsr_x4"]
    Image.fromarray(sample_image(24, 24)).save(tmp_path / "a.png")
    for source in (exported, lowered):
        shutil.copy(source, tmp_path / source.name)
        shutil.copy(f"{source}.json", tmp_path)
        content = bytearray(source.read_bytes())
        content[len(content) // 2] ^= 1  # in the weights: MindSpore Lite would take it
        (tmp_path / source.name).write_bytes(content)
        done = shell(
            csd_infer, "--model", tmp_path / source.name, "--input", tmp_path / "a.png",
            "--output", tmp_path / "out",
        )  # fmt: skip
        assert done.returncode == 2
        assert "is damaged or not the file that" in done.stderr and done.stderr.count("\n") == 1
        assert list((tmp_path / "out").iterdir()) == []


def test_script_scores_a_set(shell, csd_infer, models, tmp_path, reference):
    _, exported, _ = models["edsr_x4"]
    script = ROOT / "scripts/run_infer_310.sh"
    done = shell(
        "bash", script, exported, reference / "benchmark" / "Set5", "CPU", OUTPUT_DIR=tmp_path
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    bicubic, network = metrics["runs"]
    names = {p.stem for p in (reference / "benchmark" / "Set5" / "HR").iterdir()}
    assert set(network["sets"]["Set5"]["images"]) == names
    assert bicubic["sets"]["Set5"]["psnr_y"] > 20
    assert "output megapixels/s" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "MINDIR DATA_DIR DEVICE_ID"),
        (["none.mindir", "."], "no MINDIR at"),
        (["MODEL", "none"], "no folder"),
        (["MODEL", ".", "TPU"], "Ascend or CPU"),
        (["MODEL", ".", "CPU", "x"], "whole number"),
        (["MODEL", ".", "Ascend"], "LITE_HOME"),
        (["MODEL", ".", "3"], "LITE_HOME"),  # a device id: Ascend
        (["MODEL", ".", "3", "1"], "Ascend or CPU"),
    ],
)
def test_script_checks_its_arguments(shell, tmp_path, arguments, sentence):
    model = tmp_path / "m.mindir"
    model.write_text("")
    arguments = [model if word == "MODEL" else word for word in arguments]
    done = shell("bash", ROOT / "scripts/run_infer_310.sh", *arguments, LITE_HOME="")
    assert done.returncode == 2
    assert sentence in done.stderr


def test_sanitized_build_is_clean(shell, compiler):
    done = shell("bash", RUNNER / "build.sh", "--sanitize", "--test", LITE_HOME="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 checks failed" in done.stdout
