"""Damaged images, configurations, metadata and numbers, drawn at random, in one process.

Whatever they are: exit code 0, 1 or 2; no traceback; one short sentence for a failure; files only
below the output folder; under 20 seconds and 2 GB. 200 examples in every run, the same ones; 2,000
other ones in each nightly run.
"""

import contextlib
import io
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from csd.errors import run_main

QUICK, LONG = 50, 500  # examples of each of the four


def fuzz(count):
    """Settings of one test: the same examples in every run, or others each night."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=count == QUICK,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def tree(folder):
    """Every file below the folder but for those below `out`, and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    names = {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in files}
    return {name: written for name, written in names.items() if not name.startswith("out/")}


def hold(main, argv, folder):
    """Run a program with `folder` as its working folder and `folder/out` for its output."""
    before, memory = tree(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    here, printed, started = Path.cwd(), io.StringIO(), time.process_time()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                code = run_main(main, argv)
            except SystemExit as end:  # argparse
                code = end.code
    finally:
        os.chdir(here)
    words = printed.getvalue()
    assert code in (0, 1, 2), words
    assert "Traceback" not in words
    failures = [line for line in words.splitlines() if line.startswith("error: ")]
    assert code == 0 or failures or "usage: " in words
    assert all(len(line) < 2000 + len(str(folder)) for line in failures)
    assert time.process_time() - started < 20  # of this process: others may load the machine
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 2 << 20  # KiB
    assert tree(folder) == before
    return code


# A change: where (a share of the content), what becomes of it, with which bytes.
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["flip", "replace", "insert", "cut", "repeat"]),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"]),
        ),
    ),
    min_size=1,
    max_size=5,
)


def changed(content, changes):
    for share, kind, new in changes:
        # Headers are at the front: half of the changes are in the first 64 bytes.
        at = int(share * 2 * 64) if share < 0.5 else int((share - 0.5) * 2 * len(content))
        at = min(at, len(content))
        if kind == "flip":
            content = (
                content[:at] + bytes(b ^ 0x55 for b in content[at : at + 1]) + content[at + 1 :]
            )
        elif kind == "replace":
            content = content[:at] + new + content[at + len(new) :]
        elif kind == "insert":
            content = content[:at] + new + content[at:]
        elif kind == "cut":
            content = content[:at]
        else:
            content = content[:at] + content[at : at + 64] * 3 + content[at:]
    return content


def image_files():
    """Suffix -> the bytes of valid images of several modes."""
    rng = np.random.default_rng(0)
    files = {}
    for suffix, kind, options in (
        ("png", "PNG", {}), ("jpg", "JPEG", {}), ("tif", "TIFF", {}), ("webp", "WEBP", {}),
        ("gif", "GIF", {}), ("bmp", "BMP", {}), ("ppm", "PPM", {}), ("tga", "TGA", {}),
        ("tiff", "TIFF", {"compression": "tiff_lzw"}), ("apng", "PNG", {"optimize": True}),
        ("jp2", "JPEG2000", {}),
    ):  # fmt: skip
        image = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
        data = io.BytesIO()
        image.save(data, kind, **options)
        files[suffix] = data.getvalue()
    deep, data = Image.fromarray(rng.integers(0, 65536, (9, 7)).astype(np.uint16)), io.BytesIO()
    deep.save(data, "PNG")
    return {**files, "PNG": data.getvalue()}


IMAGES = image_files()


@pytest.fixture(scope="module")
def upscale():
    """`infer.py` with its network opened once: everything behind that is the program's."""
    from csd.cli.infer import main
    from csd.inference import opening

    opened, open_again = {}, opening.open_upscaler

    def once(path, **options):
        key = (str(path), str(options.get("width")), str(options.get("scale")))
        if key not in opened:
            opened[key] = open_again(path, **options)
        return opened[key]

    patch = pytest.MonkeyPatch()
    patch.setattr("csd.inference.open_upscaler", once)
    patch.setattr("csd.inference.opening.open_upscaler", once)
    yield main
    patch.undo()


def one_image(upscale, tmp_path_factory, suffix, changes):
    folder = tmp_path_factory.mktemp("image")
    (folder / "in").mkdir()
    (folder / "in" / f"a.{suffix}").write_bytes(changed(IMAGES[suffix], changes))
    call = ["--input", "in", "--output_dir", "out", "--scale", "2", "--device_target", "CPU"]
    hold(upscale, call, folder)


def one_yaml(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("yaml")
    (folder / "c.yaml").write_bytes(text)
    hold(check_configuration, ["--config", "c.yaml"], folder)


def check_configuration(argv):
    from csd.config import load_config
    from csd.training.build import check_settings

    check_settings(load_config("train", argv))


CONFIG = b"""model: {name: edsr, scale: 2, n_feats: 8, n_resblocks: 1}
data: {lr_patch: 8, val_images: 1, data_dir: none}
train: &train {method: teacher, teacher: none, widths: [0.5], batch_size: 4, epochs: 10}
optim: {lr: 1.0e-3, schedule: constant, eps: !!float 1e-8}
loss: {vgg: random, negatives: 2, layer_weights: [1, 1, 1, 1, 1]}
"""
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(),
    st.sampled_from([10**30, -(10**9), 2**32, 2**31, 1e308, "!!int x", "&a [*a]", "9" * 5000]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)


def yamls():
    import yaml

    from csd.settings import SCHEMA

    sections = st.sampled_from(sorted(SCHEMA))
    keys = st.sampled_from(sorted(key for section in SCHEMA.values() for key in section))
    tables = st.dictionaries(sections, st.dictionaries(keys, VALUES, max_size=4), max_size=4)
    written = st.one_of(tables, VALUES).map(lambda value: yaml.safe_dump(value).encode())
    return st.one_of(CHANGES.map(lambda changes: changed(CONFIG, changes)), written)


META = {
    "model": {"name": "edsr", "scale": 2, "n_feats": 8, "n_resblocks": 1, "res_scale": 1.0},
    "widths": [0.25, 1.0],
    "config": {"model": {"name": "edsr"}},
    "progress": {"step": 5, "samples": 20, "best_psnr": 30.0},
}
PLACES = st.sampled_from(
    [("model",), ("widths",), ("config",), ("progress",), ("widths", 0), ("config", "model"),
     *(("model", key) for key in META["model"]), *(("progress", key) for key in META["progress"])]
)  # fmt: skip
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
        st.sampled_from([10**30, -1, 0, 10**6, 10**4, 2**63, "edsr", "rcan", "carn", "../x"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    from csd import runtime

    runtime.setup("CPU", seed=1)
    from csd.checkpoints import network_state
    from csd.nets import create_model

    return network_state(create_model(**META["model"]))


def load(argv):
    from csd.checkpoints import load_checkpoint, load_network
    from csd.inference.opening import _read_checkpoint

    _read_checkpoint(Path(argv[0]))
    load_checkpoint(argv[0])
    load_network(argv[0])


def one_meta(weights, tmp_path_factory, changes, raw):
    from csd.checkpoints import save_checkpoint

    folder, meta = tmp_path_factory.mktemp("meta"), json.loads(json.dumps(META))
    for place, value in changes:
        inner = meta
        with contextlib.suppress(KeyError, TypeError, IndexError):
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = value
    save_checkpoint(folder / "a.ckpt", weights, meta)
    content = (folder / "a.ckpt").read_bytes()
    (folder / "a.ckpt").write_bytes(changed(content, raw))
    (folder / "a.ckpt.sha256").unlink()
    hold(load, ["a.ckpt"], folder)


def numbers():
    """(program, section.key, value) of any setting."""
    from csd.settings import SCHEMA, SECTIONS

    pairs = [
        (program, f"{section}.{key}")
        for program in ("train", "infer", "eval", "export")
        for section in SECTIONS[program]
        for key in SCHEMA[section]
    ]
    value = st.one_of(
        st.integers().map(str),
        st.floats().map(str),
        st.sampled_from(
            ["inf", "-inf", "nan", "1e400", "-0", "0x10", "1_000", "\u0663", "1e", "", " ", "[1,2",
             "1,,2", "4294967296", "2147483648", "20000", "100000", "9" * 5000, "true", "\x1b[2J\n"]
        ),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    )  # fmt: skip
    return st.tuples(st.sampled_from(pairs), value)


def one_number(tmp_path_factory, pair, value):
    from csd.config import load_config
    from csd.training.build import check_settings

    program, key = pair

    def main(argv):
        config = load_config(program, argv)
        if program == "train":
            check_settings(config)

    call = ["--train.method=teacher", "--train.teacher=none"] if program == "train" else []
    hold(main, [*call, f"--{key}={value}"], tmp_path_factory.mktemp("number"))


COUNTS = [QUICK, pytest.param(LONG, marks=pytest.mark.nightly)]


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
def test_images(upscale, tmp_path_factory, count):
    @fuzz(count)
    @given(st.sampled_from(sorted(IMAGES)), CHANGES)
    def run(suffix, changes):
        one_image(upscale, tmp_path_factory, suffix, changes)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
def test_configurations(tmp_path_factory, count):
    @fuzz(count)
    @given(yamls())
    def run(text):
        one_yaml(tmp_path_factory, text)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
def test_metadata(weights, tmp_path_factory, count):
    @fuzz(count)
    @given(st.lists(st.tuples(PLACES, JSON), max_size=3), st.one_of(st.just([]), CHANGES))
    def run(changes, raw):
        one_meta(weights, tmp_path_factory, changes, raw)

    run()


@pytest.mark.parametrize("count", COUNTS)
def test_numbers(tmp_path_factory, count):
    @fuzz(count)
    @given(numbers())
    def run(example):
        one_number(tmp_path_factory, *example)

    run()


def test_valid_ones_succeed(upscale, weights, tmp_path_factory):
    """The same checks with nothing changed: exit code 0 and the right size."""
    from csd.checkpoints import save_checkpoint

    folder = tmp_path_factory.mktemp("valid")
    (folder / "in").mkdir()
    for suffix in ("png", "jpg", "bmp"):
        (folder / "in" / f"{suffix}_1.{suffix}").write_bytes(IMAGES[suffix])
    (folder / "c.yaml").write_bytes(CONFIG)
    save_checkpoint(folder / "a.ckpt", weights, META)
    call = ["--input", "in", "--output_dir", "out", "--scale", "2", "--device_target", "CPU"]
    assert hold(upscale, call, folder) == 0
    sizes = [Image.open(path).size for path in sorted((folder / "out").iterdir())]
    assert sizes == [(14, 18)] * 3
    assert hold(check_configuration, ["--config", "c.yaml"], folder) == 0
    assert hold(load, ["a.ckpt"], folder) == 0
