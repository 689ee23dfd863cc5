"""infer.py as people call it: outputs, skipping, failures, odd and hostile files."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import csd
from csd.errors import run_main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def infer():
    """`infer.py` called in this process: arguments -> exit code."""
    from csd.cli import infer as program

    return lambda *argv: run_main(program.main, [str(a) for a in argv])


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A small slimmable EDSR x2, untrained, trained widths 1.0 and 0.25 by its metadata."""
    from csd import runtime

    runtime.setup("CPU", seed=1)
    from csd.checkpoints import network_state, save_checkpoint
    from csd.nets import create_model

    net = create_model("edsr", scale=2, n_feats=8, n_resblocks=2)
    path = tmp_path_factory.mktemp("ckpt") / "edsr.ckpt"
    meta = {"format": "csd", "version": 1, "model": net.describe(), "widths": [1.0, 0.25]}
    save_checkpoint(path, network_state(net), meta)
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 11, 3), np.uint8)
    sample_image = Image.fromarray(coarse).resize((44, 31), Image.Resampling.BICUBIC)
    sample_image.save(folder / "one.jpg")
    sample_image.convert("LA").save(folder / "two.png")
    return folder


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom csd.cli import infer\n"
        "try: infer.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'mindspore', 'torch', 'cv2', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--self_ensemble" in done.stdout


def test_folder_file_and_skipping(infer, ckpt, photos, tmp_path, capsys):
    out = tmp_path / "out"
    call = ["--ckpt", ckpt, "--input", photos, "--output_dir", out, "--device_target", "CPU"]
    assert infer(*call) == 0
    assert tree(out) == ["one.png", "two.png"]
    assert pixels(out / "one.png").shape == (62, 88, 3)
    assert pixels(out / "two.png").shape == (62, 88, 2)
    assert "44x31 -> 88x62" in capsys.readouterr().out
    student = (out / "one.png").read_bytes()
    (out / "two.png").unlink()
    (out / "one.png").write_bytes(b"mine")
    assert infer(*call) == 0  # what exists is left alone
    assert (out / "one.png").read_bytes() == b"mine" and (out / "two.png").is_file()
    assert infer(*call) == 0
    assert "2 exist already" in capsys.readouterr().out
    assert infer(*call, "--overwrite") == 0
    assert (out / "one.png").read_bytes() == student
    assert infer(*call, "--overwrite", "--width", "1.0") == 0
    assert (out / "one.png").read_bytes() != student


def test_tiles_ensemble_compare_and_same_format(infer, ckpt, photos, tmp_path):
    def run(name, *flags):
        call = ["--ckpt", ckpt, "--input", photos / "one.jpg", "--output_dir", tmp_path / name]
        assert infer(*call, "--device_target", "CPU", *flags) == 0
        return tmp_path / name

    whole = pixels(run("a") / "one.png")
    np.testing.assert_array_equal(pixels(run("b", "--tile", "16") / "one.png"), whole)
    assert (pixels(run("c", "--self_ensemble") / "one.png") != whole).any()
    assert tree(run("d", "--compare", "--format", "same")) == ["one.jpg", "one_compare.png"]
    with Image.open(tmp_path / "d" / "one.jpg") as image:
        assert image.format == "JPEG" and image.size == (88, 62)
    sheet = pixels(tmp_path / "d" / "one_compare.png")
    assert sheet.shape[1] == 3 * 330 + 10  # bicubic, student, teacher


@pytest.mark.slow
def test_metadata_is_kept_and_stripped(infer, ckpt, photos, tmp_path):
    exif, sample_image = Image.Exif(), Image.open(photos / "one.jpg")
    exif[0x010F], exif[0x0112] = "Camera", 6
    sample_image.save(photos / "one.jpg", exif=exif, dpi=(300, 300))
    base = ["--ckpt", ckpt, "--input", photos / "one.jpg", "--output_dir", tmp_path / "out"]
    assert infer(*base, "--format", "same") == infer(*base) == 0
    for name in ("one.png", "one.jpg"):
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size == (62, 88)
            assert image.getexif()[0x010F] == "Camera" and image.getexif()[0x0112] == 1
            assert [round(value) for value in image.info["dpi"]] == [300, 300]
    assert infer(*base, "--strip", "--overwrite") == 0
    with Image.open(tmp_path / "out" / "one.png") as image:
        assert not image.getexif() and "dpi" not in image.info


def test_exported_files_give_the_same(infer, ckpt, photos, tmp_path):
    from csd.export.exporter import export_checkpoint

    exported = tmp_path / "exported"
    for size in ("dynamic", "31x44", "96x96"):
        export_checkpoint(ckpt, exported, size=size)

    def run(file, *flags):
        out = tmp_path / f"out_{Path(file).name}"
        call = ["--ckpt", file, "--input", photos / "one.jpg", "--output_dir", out]
        return infer(*call, "--device_target", "CPU", *flags), out / "one.png"

    wanted = pixels(run(ckpt)[1]).astype(int)
    # rounding apart; mirrored up to 96 pixels, the lower and right borders see other neighbours
    for size, border in (("dynamic", 0), ("31x44", 0), ("96x96", 20)):
        file = exported / f"edsr_x2_w0.25_{size}.mindir"
        code, out = run(file)
        assert code == 0
        difference = np.abs(pixels(out) - wanted)[: 62 - border, : 88 - border]
        assert difference.max() <= 1, size
    assert run(exported / "edsr_x2_w0.25_dynamic.mindir", "--overwrite", "--width", "1.0")[0] == 2
    description = exported / "edsr_x2_w0.25_dynamic.mindir.json"
    facts = json.loads(description.read_text())
    for content in ("{", json.dumps({**facts, "scale": None}), json.dumps([])):
        description.write_text(content)
        assert run(exported / "edsr_x2_w0.25_dynamic.mindir", "--overwrite")[0] == 2
    # Weights that were damaged on the way: no image is written with them.
    description.write_text(json.dumps(facts))
    model = exported / "edsr_x2_w0.25_dynamic.mindir"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    assert run(model, "--overwrite")[0] == 2
    description.unlink()
    assert run(exported / "edsr_x2_w0.25_dynamic.mindir", "--overwrite")[0] == 2


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_scale_alone_takes_the_shipped_network(infer, photos, tmp_path, scale):
    options = ["--output_dir", tmp_path / "out", "--device_target", "CPU"]
    assert infer("--scale", str(scale), "--input", photos / "one.jpg", *options) == 0
    (out,) = tree(tmp_path / "out")
    expected = csd.load(f"edsr_x{scale}").upscale(pixels(photos / "one.jpg"))
    assert expected.shape == (31 * scale, 44 * scale, 3)
    np.testing.assert_array_equal(pixels(tmp_path / "out" / out), expected)


def test_one_bad_file_among_many(infer, ckpt, photos, tmp_path, capsys):
    (photos / "bad.png").write_bytes(b"not an image")
    call = ["--ckpt", ckpt, "--input", photos, "--device_target", "CPU"]
    assert infer(*call, "--output_dir", tmp_path / "out") == 1
    assert tree(tmp_path / "out") == ["one.png", "two.png"]
    error = capsys.readouterr().err
    assert "bad.png" in error and "1 of 3 images" in error


def test_wrong_usage_is_one_sentence(infer, ckpt, photos, tmp_path, capsys):
    one = photos / "one.jpg"
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    here = ["--output_dir", tmp_path / "out", "--device_target", "CPU"]
    wrong = [
        [*here],
        ["--ckpt", ckpt, "--input", tmp_path / "absent.png", *here],
        ["--ckpt", ckpt, "--input", tmp_path / "*.webp", *here],
        ["--ckpt", ckpt, "--input", tmp_path / "empty", *here],
        ["--ckpt", tmp_path / "absent.ckpt", "--input", one, *here],
        ["--ckpt", tmp_path / "file", "--input", one, *here],
        ["--ckpt", one, "--input", one, *here],
        ["--ckpt", ckpt, "--input", one, "--scale", "4", *here],
        ["--ckpt", ckpt, "--input", one, "--width", "0.01", *here],
        ["--ckpt", ckpt, "--input", one, "--tile", "3", *here],
        ["--ckpt", ckpt, "--input", photos, "--output_dir", photos],
        ["--ckpt", ckpt, "--input", one, "--output_dir", tmp_path / "file"],
        ["--scale", "5", "--input", one, *here],
    ]
    before = tree(photos)
    for argv in wrong:
        assert infer(*argv) == 2, argv
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1, (argv, error)
    assert tree(photos) == before
    assert not (tmp_path / "out").exists() or tree(tmp_path / "out") == []


def test_hostile_files_are_refused_and_nothing_runs(infer, ckpt, tmp_path, capsys, monkeypatch):
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    (tmp_path / "script.png").write_bytes(postscript)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to("loop.png")
    words = {"script": "PostScript", "pipe": "is a pipe", "device": "device", "loop": "symbolic"}
    for name, word in words.items():
        call = ["--ckpt", ckpt, "--input", tmp_path / f"{name}.png", "--device_target", "CPU"]
        assert infer(*call, "--output_dir", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and word in error
    assert not (tmp_path / "ran").exists() and tree(tmp_path / "out") == []


def test_folder_of_many_formats(infer, ckpt, photos, tmp_path, capsys):
    """What is on the list is upscaled, sixteen bits and all; the rest is counted in one line."""
    sample_image = Image.open(photos / "one.jpg")
    for suffix, kind in ((".jfif", "JPEG"), (".avif", "AVIF"), (".jp2", "JPEG2000"),
                         (".tga", "TGA")):  # fmt: skip
        sample_image.save(photos / f"kind{suffix}", kind)
    planes = np.moveaxis(np.asarray(sample_image).astype(np.uint16) * 257, 2, 0)
    options = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(photos / "planes.tif", planes, **options)
    sample_image.save(photos / "same.png")
    for name in ("a.psd", "b.psd", "c.xcf"):
        (photos / name).touch()
    call = ["--ckpt", ckpt, "--input", photos, "--output_dir", tmp_path / "out"]
    assert infer(*call, "--device_target", "CPU") == 0
    said = capsys.readouterr().out
    assert said.count("not read: 2 .psd, 1 .xcf") == 1
    assert len(tree(tmp_path / "out")) == 8
    deep = cv2.imread(str(tmp_path / "out" / "planes.png"), cv2.IMREAD_UNCHANGED)
    assert deep.dtype == np.uint16
    wide = pixels(tmp_path / "out" / "same.png").astype(int)
    assert np.abs((deep[..., ::-1] / 257) - wide).max() < 1


def _png(width, height, *chunks):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"".join(chunk(*c) for c in [(b"IHDR", header), *chunks, (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def malformed(rng):
    """A hundred file names with their bytes, of which most cannot be read."""
    noise = Image.fromarray(rng.integers(0, 256, (12, 17, 3), np.uint8))
    good = {}
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif"),
                         ("BMP", "bmp"), ("GIF", "gif"), ("PPM", "ppm")):  # fmt: skip
        file = io.BytesIO()
        noise.save(file, kind)
        good[suffix] = file.getvalue()
    files = {}
    for suffix, data in good.items():
        for part in (0.02, 0.2, 0.5, 0.9):  # 28 cut short
            files[f"cut_{part}.{suffix}"] = data[: int(part * len(data))]
        for number in range(5):  # 35 with damaged bytes
            spoilt = bytearray(data)
            for place in rng.integers(0, len(data), 1 + 4 * number):
                spoilt[place] = rng.integers(0, 256)
            files[f"spoilt_{number}.{suffix}"] = bytes(spoilt)
        files[f"empty.{suffix}"] = b""  # 7
        files[f"text.{suffix}"] = b"once upon a time\n" * 9  # 7
        other = "png" if suffix != "png" else "jpg"
        files[f"wrong_name.{other}.{suffix}"] = good[other]  # 7, all of which can be read
    zeros = zlib.compress(bytes(1 << 16))
    files["bomb_header.png"] = _png(60000, 60000, (b"IDAT", zeros))
    files["bomb_wide.png"] = _png(2**31 - 1, 1, (b"IDAT", zeros))
    files["bomb_zero.png"] = _png(0, 0, (b"IDAT", zeros))
    files["bomb_text.png"] = _png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27))))
    files["bomb_profile.png"] = _png(8, 8, (b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 27))))
    files["no_pixels.png"] = _png(8, 8)
    files["bomb.gif"] = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0\0;"
    files["bomb.bmp"] = b"BM" + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, 60000, 60000, 1, 24,
                                            0, 0, 0, 0, 0, 0)  # fmt: skip
    files["bomb.ppm"] = b"P6 70000 70000 255\n" + bytes(99)
    file = io.BytesIO()
    Image.fromarray(rng.random((9, 9), np.float32)).save(file, "TIFF")
    files["float.tif"] = file.getvalue()
    file = io.BytesIO()
    Image.fromarray(rng.integers(-9, 99999, (9, 9), np.int32)).save(file, "TIFF")
    files["int32.tif"] = file.getvalue()
    files["ps.jpg"] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) run\n"
    files["svg.png"] = (
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/x'/></svg>"
    )
    kinds = {"cmyk.jpg": "CMYK", "bits.png": "1", "grey_alpha.png": "LA", "palette.png": "P"}
    for name, mode in kinds.items():
        file = io.BytesIO()
        noise.convert(mode).save(file, "JPEG" if name.endswith("jpg") else "PNG",
                                 **({"transparency": 2} if mode == "P" else {}))  # fmt: skip
        files[name] = file.getvalue()
    file = io.BytesIO()
    noise.save(file, "GIF", save_all=True, append_images=[noise.rotate(90, expand=False)])
    files["moving.gif"] = file.getvalue()
    files["line\nbreak.png"] = good["png"]
    files["..png"] = good["png"]
    return files


@pytest.mark.slow
def test_a_hundred_malformed_images(infer, ckpt, tmp_path, capfd):
    """No traceback, every failure named, readable ones upscaled, nothing outside the folder."""
    inside = tmp_path / "work"
    photos, out = inside / "photos", inside / "out"
    photos.mkdir(parents=True)
    files = malformed(np.random.default_rng(3))
    assert len(files) >= 100
    for name, data in files.items():
        (photos / name).write_bytes(data)
    (photos / "folder.png").mkdir()
    (photos / "nowhere.png").symlink_to(tmp_path / "absent.png")
    (photos / "..png").rename(photos / "....png")
    before = tree(tmp_path)
    code = infer("--ckpt", ckpt, "--input", photos / "*", "--output_dir", out, "--format", "same",
                 "--device_target", "CPU")  # fmt: skip
    captured = capfd.readouterr()
    assert code == 1
    assert "Traceback" not in captured.out + captured.err
    new = [p for p in tree(tmp_path) if p not in before]
    assert all(p == "work/out" or p.startswith("work/out/") for p in new)
    for name, data in files.items():
        assert name == "..png" or (photos / name).read_bytes() == data  # inputs are untouched
    made = list(out.iterdir())
    assert not [p for p in made if p.name.startswith(".") and p.suffix == ".tmp"]
    for path in made:
        pixels(path)  # whole files, every one
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    named = [name for name in files if any(f"{name}" in line for line in errors)]
    visible = [n for n in files if not n.startswith(".")]
    upscaled = captured.out.count(" -> ")
    assert upscaled == len(made) and upscaled + len(errors) - 1 == len(visible)
    for name in ("bomb_header.png", "bomb.gif", "bomb.ppm", "float.tif", "int32.tif", "empty.jpg"):
        assert name in named
    for kind in ("cmyk.jpg", "bits.png", "grey_alpha.png", "palette.png"):
        assert kind in captured.out
    assert "first" in captured.out  # the animated one
