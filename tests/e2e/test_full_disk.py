"""A disk that is full while an output is written: one sentence that names the file, no half of it.

A limit on the size of files stands for the full disk.
"""

import contextlib
import resource

import numpy as np
import pytest
from PIL import Image

from csd.errors import WorkError, run_main


@contextlib.contextmanager
def full_above(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def fails(capsys, tmp_path):
    """A function: a program and its words -> what it printed, the error line apart."""

    def run(size, main, *words):
        with full_above(size):
            code = run_main(main, words)
        printed = capsys.readouterr()
        (error,) = [line for line in printed.err.splitlines() if line.startswith("error: ")]
        assert code == 1 and "Traceback" not in printed.err
        left = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
        assert left == []
        return error, printed.out

    return run


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "ppm"])
def test_infer(fails, tmp_path, suffix):
    from csd.cli import infer

    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"in.{suffix}")
    words = (f"--input={tmp_path / f'in.{suffix}'}", "--format=same", "--scale=2")
    out = tmp_path / "out"
    error, _ = fails(1000, infer.main, *words, f"--output_dir={out}")
    assert error.endswith(f"cannot write {out / f'in.{suffix}'}: File too large")


@pytest.mark.parametrize(
    ("size", "file", "words"),
    [(200, "images/Tiny/HR/one.png", ["--save_images"]), (200, "metrics.json", [])],
)
def test_eval(fails, small_set, tmp_path, size, file, words):
    from csd.cli import evaluate

    error, printed = fails(
        size, evaluate.main, "--model=bicubic", "--scale=2", f"--data_dir={small_set}",
        "--sets=Tiny", f"--output_dir={tmp_path / 'out'}", *words,
    )  # fmt: skip
    assert error == f"error: cannot write {tmp_path / 'out' / file}: File too large"
    assert ("PSNR" in printed) == (file == "metrics.json")  # what took the time is not lost


@pytest.mark.slow
@pytest.mark.parametrize("kind", [["MINDIR"], ["ONNX"], ["ONNX", "--size=8x8"]])
def test_export(fails, mindspore_cpu, tmp_path, kind):
    from csd.cli import export
    from csd.inference import shipped_checkpoint

    error, _ = fails(
        9000, export.main, f"--ckpt={shipped_checkpoint(2)}", f"--output_dir={tmp_path / 'out'}",
        "--device_target=CPU", f"--file_format={kind[0]}", *kind[1:],
    )  # fmt: skip
    label = "8x8" if kind[1:] else "dynamic"
    name = f"edsr_x2_w0.25_{label}.{kind[0].lower()}"
    assert error == f"error: cannot write {tmp_path / 'out' / name}: File too large"


def test_an_int8_file_that_is_cut_off(tmp_path):
    """OpenVINO writes what there is room for, and says nothing."""
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    from csd.export.quantize import compiled, keep_if_good

    x = ops.parameter([1, 3, 8, 8], np.float32, name="x")
    kernel = ops.constant(np.ones((300, 3, 3, 3), np.float32))
    y = ops.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    target = tmp_path / "out" / "a.xml"
    with full_above(9000), pytest.raises(WorkError, match=rf"cannot write {target}: .*disk full"):
        keep_if_good(openvino.Model([y], [x], "m"), target, compiled, None, 0.1)
    assert list(target.parent.iterdir()) == []
