"""Which files are opened, by which decoder, and the list of formats; HEIC."""

import io
import os
import sys
import threading

import numpy as np
import pytest
from data_room.readers import refused
from PIL import Image

import csd.data.formats as formats
from csd.data import image_size, read_image
from csd.data.decode import read_image_file

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file closefile showpage\n"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".tga", ".eps"])
def test_postscript_never_reaches_ghostscript(tmp_path, monkeypatch, suffix):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(EPS)
    refused(path, "cannot be read as an image")
    assert not (tmp_path / "ran").exists()


def test_foreign_kinds_are_refused_by_name(tmp_path, small):
    for kind in ("PCX", "SGI", "ICO", "DDS", "PDF", "IM", "XBM", "ICNS", "SPIDER", "MSP", "PDF"):
        file = io.BytesIO()
        image = Image.fromarray(small).convert("1" if kind in ("XBM", "MSP") else "RGB")
        image = image.convert("F") if kind == "SPIDER" else image
        image.save(file, kind)
        (tmp_path / "a.png").write_bytes(file.getvalue())
        refused(tmp_path / "a.png", "cannot be read as an image")
    for data, name in ((EPS, "PostScript"), (b"8BPS\0\1", "Photoshop"), (b"\xff\x0a12", "JPEG XL")):
        (tmp_path / "a.png").write_bytes(data)
        refused(tmp_path / "a.png", f"{name} is not read here")


def test_the_first_bytes_choose_the_decoder(tmp_path, small):
    for kind in ("PNG", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000"):
        options = {"WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}}.get(kind, {})
        Image.fromarray(small).save(tmp_path / "a.jpg", kind, **options)
        np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), small)
        assert image_size(tmp_path / "a.jpg") == small.shape[:2]


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    done = threading.Event()

    def work():
        for name in ("pipe.png", "null.png", "zero.png"):
            refused(tmp_path / name, "is a pipe, socket or device")
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(10)


def test_loops_and_long_names_are_sentences(tmp_path):
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    refused(tmp_path / "loop.png", "cannot be opened")
    refused(tmp_path / ("x" * 300 + ".png"), "cannot be opened")


# The list of formats, and HEIC.


def test_every_suffix_is_an_image(tmp_path, small):
    kinds = {".jfif": "JPEG", ".avif": "AVIF", ".jp2": "JPEG2000", ".tga": "TGA", ".pbm": "PPM"}
    for suffix, kind in kinds.items():
        path = tmp_path / f"a{suffix}"
        Image.fromarray(small).save(path, kind)
        assert formats.is_image_name(path)
        assert np.abs(read_image(path).astype(int) - small).mean() < 12


def test_unread_files_are_counted_once(tmp_path, monkeypatch):
    for name in ("a.png", "b.psd", "c.psd", "d.txt", ".hidden.psd", "e.heic", "README"):
        (tmp_path / name).touch()
    (tmp_path / "folder.xyz").mkdir()
    monkeypatch.setattr(formats, "has_heif", lambda: False)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    line = formats.describe_unread(tmp_path.iterdir())
    assert line == (
        "not read: 1 .heic (needs the package pillow-heif: pip install pillow-heif), "
        "2 .png (a broken link, a pipe or a device), 2 .psd, 1 .txt, 1 without a suffix"
    )
    assert formats.describe_unread([tmp_path / "a.png"]) is None


def test_heic_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    refused(tmp_path / "a.heic", "HEIC image, which needs .*pip install pillow-heif")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_heic_is_read_where_the_package_is(tmp_path, sample_image, mode):
    heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(sample_image[:64, :96]).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(sample_image[:64, :96, 0]))
    options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    heif.from_pillow(image).save(tmp_path / "a.heic", **options)
    photo = read_image_file(tmp_path / "a.heic")
    wanted = np.asarray(image)
    planes = photo.planes()
    assert planes.shape == wanted.shape and planes.dtype == np.uint8
    assert np.abs(planes.astype(int) - wanted).max() <= (0 if mode == "L" else 2)
    assert image_size(tmp_path / "a.heic") == (64, 96)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_upright(tmp_path, small, orientation):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.repeat(np.repeat(small, 4, 0), 4, 1))
    image.save(tmp_path / "a.png", exif=exif)
    stored = heif.from_pillow(image)
    stored.info["exif"] = exif.tobytes()
    stored.save(tmp_path / "a.heic", quality=95, chroma=444)
    wanted, got = (read_image(tmp_path / f"a{s}").astype(int) for s in (".png", ".heic"))
    assert got.shape == wanted.shape and np.abs(got - wanted).mean() < 8
    assert image_size(tmp_path / "a.heic") == wanted.shape[:2]


def test_deep_heic_has_its_white(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    deep = np.dstack([ramp] * 3).astype(np.uint16)
    deep[:8] = 65535
    heif.options.SAVE_HDR_TO_12_BIT = False
    heif.encode(
        "RGB;16", (64, 64), deep.tobytes(), tmp_path / "a.heic", quality=-1, chroma=444,
        matrix_coefficients=0,
    )  # fmt: skip
    photo = read_image_file(tmp_path / "a.heic")
    assert photo.pixels.dtype == np.uint16 and photo.pixels[:4].min() > 65300
    assert np.abs(photo.pixels.astype(int) - deep).max() < 400
