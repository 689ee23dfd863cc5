"""Files as other programs write them: the values of every layout, and what is not read."""

import io
import struct
import sys

import numpy as np
import pytest
import tifffile
from data_room.readers import READERS, refused
from PIL import Image

from csd.data import image_size, read_image
from csd.data.decode import read_image_file
from csd.errors import InputError


@pytest.mark.parametrize("compression", [None, "zlib", "lzma"])
@pytest.mark.parametrize("order", "<>")
def test_tiff_of_tifffile(tmp_path, small, deep, compression, order):
    path = tmp_path / "a.tif"
    options = {"compression": compression, "byteorder": order}
    for image in (small, deep):
        planes = np.moveaxis(image, 2, 0)
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", **options)
        np.testing.assert_array_equal(read_image_file(path).pixels, image)
        high = image if image.dtype == np.uint8 else image >> 8
        np.testing.assert_array_equal(read_image(path), high)  # training and evaluation
        full = np.iinfo(image.dtype).max
        tifffile.imwrite(path, full - image[..., 0], photometric="miniswhite", **options)
        np.testing.assert_array_equal(read_image_file(path).pixels, image[..., 0])


def test_associated_alpha_is_divided_out(tmp_path, deep):
    alpha = np.full(deep.shape[:2], 30000, np.uint16)
    alpha[:5] = 65535
    stored = (deep.astype(np.int64) * alpha[..., None] + 32767) // 65535
    planes = np.dstack([stored.astype(np.uint16), alpha])
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", extrasamples=["assocalpha"])
    photo = read_image_file(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.alpha, alpha)
    np.testing.assert_array_equal(photo.pixels[:5], deep[:5])
    assert np.abs(photo.pixels.astype(int) - deep).max() <= 2  # what 30000 steps can hold


def test_pixmap_of_ten_bits(tmp_path, makers):
    stored = np.array([[[0, 511, 1023]]])
    (tmp_path / "a.ppm").write_bytes(makers.pnm(stored, 6, 1023))
    assert read_image_file(tmp_path / "a.ppm").pixels.tolist() == [[[0, 32735, 65535]]]
    assert read_image(tmp_path / "a.ppm").tolist() == [[[0, 127, 255]]]


@pytest.mark.parametrize(("bits", "key", "grey"), [(2, 2, 170), (4, 5, 85), (16, 515, 515)])
def test_key_of_grey_png_is_scaled(tmp_path, makers, bits, key, grey):
    stored = np.array([[[0], [key], [(1 << bits) - 1]]])
    before = [(b"tRNS", struct.pack(">H", key))]
    (tmp_path / "a.png").write_bytes(makers.png(stored, bits, 0, before=before))
    photo = read_image_file(tmp_path / "a.png")
    full = 255 if bits < 9 else 65535
    assert photo.pixels.tolist() == [[0, grey, full]] and photo.alpha.tolist() == [[full, 0, full]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_planes_and_tiles(tmp_path, makers, small, orientation):
    data = makers.tiff(small, 8, photometric=2, separate=True, tile=(16, 16), compression="LZW",
                       orientation=orientation)  # fmt: skip
    (tmp_path / "a.tif").write_bytes(data)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(small).save(tmp_path / "a.png", exif=exif)
    wanted = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), wanted)
    assert image_size(tmp_path / "a.tif") == image_size(tmp_path / "a.png") == wanted.shape[:2]


def test_jpeg_and_ycbcr_in_tiff(tmp_path, small):
    for mode, compression, far in (
        ("RGB", "jpeg", 40),
        ("YCbCr", "tiff_lzw", 3),
        ("L", "jpeg", 40),
    ):
        image = Image.fromarray(small).convert(mode)
        image.save(tmp_path / "a.tif", compression=compression)
        wanted = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(read_image(tmp_path / "a.tif") - wanted).max() <= far
        assert image_size(tmp_path / "a.tif") == small.shape[:2]


def test_what_tiff_holds_and_is_not_read_has_a_sentence(tmp_path, makers, small):
    grey = small[..., :1]
    files = {
        "floating": (makers.tiff(grey, 16, photometric=1, tags=[(339, 3, [3])]), "floating-point"),
        "signed": (makers.tiff(grey, 8, photometric=1, tags=[(339, 3, [2])]), "signed"),
        "lab": (makers.tiff(small, 8, photometric=8), "Lab colours"),
        "sensor": (makers.tiff(grey, 8, photometric=32803), "raw sensor data"),
        "inks": (makers.tiff(np.dstack([small, grey]), 8, photometric=5, tags=[(332, 3, [2])]),
                 "inks other than CMYK"),
        "ycbcr": (makers.tiff(small, 8, photometric=6), "YCbCr"),
    }  # fmt: skip
    for name, (data, words) in files.items():
        (tmp_path / f"{name}.tif").write_bytes(data)
        refused(tmp_path / f"{name}.tif", words, READERS[:2])
    for dtype, words in ((np.float32, "floating"), (np.uint32, "32-bit"), (np.float16, "floating")):
        tifffile.imwrite(
            tmp_path / "wide.tif", grey[..., 0].astype(dtype), photometric="minisblack"
        )
        refused(tmp_path / "wide.tif", words, READERS[:2])


PACKED = [(34712, "JPEG 2000"), (50001, "WebP"), (50002, "JPEG XL"), (34887, "LERC"), (65000, None)]


@pytest.mark.parametrize(("number", "name"), PACKED)
def test_compressions_of_imagecodecs_name_it(tmp_path, makers, small, monkeypatch, number, name):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    data = bytearray(makers.tiff(small, 8, photometric=2))
    place = data.index(struct.pack("<HHI", 259, 3, 1)) + 8
    data[place : place + 2] = struct.pack("<H", number)
    (tmp_path / "a.tif").write_bytes(data)
    words = f"{name}.*pip install imagecodecs" if name else "scheme 65000, which no program"
    refused(tmp_path / "a.tif", words, READERS[:2])


def test_jpeg2000_of_other_depths(tmp_path, small):
    file = io.BytesIO()
    Image.fromarray(small).save(file, "JPEG2000", irreversible=False)
    data = bytearray(file.getvalue())
    place = data.index(b"\xff\x4f\xff\x51") + 42
    for component in range(3):
        data[place + 3 * component] = 11  # twelve bits
    (tmp_path / "a.jp2").write_bytes(data)
    refused(tmp_path / "a.jp2", "neither 8 nor 16 bits", READERS[:2])


@pytest.mark.parametrize("raster", ["", " ", "1 2 3", "1 2 3 x", "x 1 2 3", "1 2 3 -4", "1 2,3 4"])
@pytest.mark.parametrize("kind", [2, 3])
def test_plain_rasters_that_are_too_short_are_damaged(tmp_path, kind, raster):
    """Not filled up with whatever memory held."""
    file = tmp_path / "a.pnm"
    file.write_text(f"P{kind}\n{4 if kind == 2 else 2} 1\n255\n{raster}\n")
    with pytest.raises(InputError, match="its raster is incomplete"):
        read_image_file(file)
    file.write_text(f"P{kind}\n{3 if kind == 2 else 1} 1\n255\n1 2 3\nP{kind} and so on")
    np.testing.assert_array_equal(read_image_file(file).pixels.ravel(), [1, 2, 3])
