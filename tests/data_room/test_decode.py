"""Files as other programs write them, damaged metadata, foreign kinds, and what is refused."""

import io
import os
import struct
import sys
import threading
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

import csd.data.formats as formats
from csd.data import image_size, read_image
from csd.data.decode import read_image_file
from csd.data.encode import write_image_file
from csd.data.image_file import ImageFile
from csd.errors import InputError

READERS = (read_image, read_image_file, image_size)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def small(sample_image):
    return np.ascontiguousarray(sample_image[40:64, 50:90])  # 24 x 40


@pytest.fixture
def deep(small):
    """16 bits whose low bytes matter."""
    return small.astype(np.uint16) * 200 + 77


def refused(path, words, readers=READERS):
    for reader in readers:
        with pytest.raises(InputError, match=words) as error:
            reader(path)
        assert "\n" not in str(error.value) and path.name in str(error.value)


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


# What opens, and what does not.

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


# Metadata, large and damaged.


@pytest.fixture
def large_profile():
    """An RGB profile of 3 MB, of which deflate saves little."""
    body = np.random.default_rng(0).integers(0, 256, 3 << 20, np.uint8).tobytes()
    return SRGB[:128] + body


def test_large_profile_goes_through_png(tmp_path, small, large_profile):
    Image.fromarray(small).save(tmp_path / "a.jpg", icc_profile=large_profile, quality=95)
    photo = read_image_file(tmp_path / "a.jpg")
    assert photo.icc == large_profile
    for name in ("b.png", "b.tif", "b.jpg"):
        assert write_image_file(tmp_path / name, photo) == []
        back = read_image_file(tmp_path / name)
        assert back.icc == large_profile
        if name != "b.jpg":
            np.testing.assert_array_equal(back.pixels, photo.pixels)


def test_png_with_large_and_damaged_texts(tmp_path, makers, small):
    text = b"Comment\0\0\0\0\0" + b"x" * (3 << 20)
    packed = b"Comment\0\1\0\0\0" + zlib.compress(bytes(1 << 24))
    broken = (b"zTXt", b"key\0\0not a stream"), (b"iCCP", b"name\0\0nor this"), (b"eXIf", b"MM\0*")
    for before in ([(b"iTXt", text)], [(b"iTXt", packed)], broken, [(b"tEXt", text)]):
        data = makers.png(small, 8, 2, before=before, after=[(b"iTXt", text)])
        (tmp_path / "a.png").write_bytes(data)
        np.testing.assert_array_equal(read_image_file(tmp_path / "a.png").pixels, small)
        assert read_image_file(tmp_path / "a.png").icc is None
        assert image_size(tmp_path / "a.png") == small.shape[:2]


def _exif(kind, value):
    """EXIF with an orientation of any type: 2 is ASCII, 3 a short, 4 a long."""
    return b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHI", 0x0112, kind, 2 if kind == 2 else 1) + value


STRANGE = {
    "ascii": _exif(2, b"6\0\0\0") + bytes(4),
    "nine": _exif(3, b"\0\x09\0\0") + bytes(4),
    "zero": _exif(3, b"\0\0\0\0") + bytes(4),
    "huge": _exif(4, b"\xff\xff\xff\xff") + bytes(4),
    "cut": _exif(3, b"\0\x06")[:-1],
    "noise": bytes(range(256)),
    "empty": b"",
    "loop": b"MM\0*\0\0\0\x08\0\0\0\0\0\x08",
    "far": b"II*\0\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_broken_exif_leaves_the_pixels(tmp_path, small, name, suffix):
    plain, path = tmp_path / f"plain{suffix}", tmp_path / f"a{suffix}"
    Image.fromarray(small).save(plain)
    if suffix == ".jpg":
        block = b"Exif\0\0" + STRANGE[name]
        data = plain.read_bytes()
        path.write_bytes(
            data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
        )
    else:
        Image.fromarray(small).save(path, exif=b"Exif\0\0" + STRANGE[name])
    np.testing.assert_array_equal(read_image(path), read_image(plain))
    assert image_size(path) == small.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".avif", ".webp", ".jpg"])
def test_orientation_of_lossy_formats(tmp_path, small, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(small).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(small).save(tmp_path / f"a{suffix}", exif=exif, quality=95)
    wanted, got = (read_image(tmp_path / f"a{s}").astype(int) for s in (".png", suffix))
    assert np.abs(got - wanted).mean() < 12
    assert image_size(tmp_path / f"a{suffix}") == wanted.shape[:2]


def test_orientation_of_tiff_of_a_wrong_type(tmp_path, makers, small):
    for kind, values in ((2, b"6\0"), (3, [9]), (3, [0]), (4, [6])):
        data = makers.tiff(small, 8, photometric=2, tags=[(274, kind, values)])
        (tmp_path / "a.tif").write_bytes(data)
        wanted = np.rot90(small, -1) if values == [6] else small
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), wanted)


def test_orientation_in_texts_of_png(tmp_path, makers, small):
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta tiff:Orientation="6"/>'
    exif = b"Exif\0\0" + _exif(3, b"\0\x06\0\0") + bytes(4)
    raw = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
    magick = b"Raw profile type exif\0\0" + zlib.compress(raw)
    for part in ((b"iTXt", xmp), (b"zTXt", magick)):
        for place in ("before", "after"):
            (tmp_path / "a.png").write_bytes(makers.png(small, 8, 2, **{place: [part]}))
            np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(small, -1))
            assert image_size(tmp_path / "a.png") == (40, 24)


def test_damaged_chunks_of_pixels_are_refused(tmp_path, makers, deep, small):
    for stored, bits in ((deep, 16), (small, 8)):
        data = bytearray(makers.png(stored, bits, 2))
        data[data.index(b"IDAT") + 40] ^= 8
        (tmp_path / "a.png").write_bytes(data)
        refused(tmp_path / "a.png", "IDAT is damaged", READERS[:2])
        whole = makers.png(stored, bits, 2)
        raw = zlib.compress(zlib.decompress(whole[41:-16])[:-99])
        cut = whole[:33] + makers.chunk(b"IDAT", raw) + whole[-12:]
        (tmp_path / "a.png").write_bytes(cut)
        refused(tmp_path / "a.png", "cannot be read", READERS[:2])


def test_png_without_its_end_is_read(tmp_path, makers, small):
    (tmp_path / "a.png").write_bytes(makers.png(small, 8, 2)[:-12])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), small)


# Colour that PNG states in chunks of its own.

GAMMA, CICP = (b"gAMA", struct.pack(">I", 100000)), (b"cICP", bytes([9, 16, 0, 1]))


def test_colour_chunks_are_kept_or_named(tmp_path, makers, small):
    for part in (GAMMA, CICP, (b"cHRM", struct.pack(">8I", *range(10000, 90000, 10000)))):
        (tmp_path / "a.png").write_bytes(makers.png(small, 8, 2, before=[part]))
        photo = read_image_file(tmp_path / "a.png")
        assert write_image_file(tmp_path / "b.png", photo) == []
        back = read_image_file(tmp_path / "b.png")
        assert back.png_colour == (part,)
        np.testing.assert_array_equal(back.pixels, small)
        for name in ("b.jpg", "b.webp", "b.tif", "b.bmp"):
            notes = write_image_file(tmp_path / name, photo)
            assert len(notes) == 1 and part[0].decode() in notes[0]
    usual = [(b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0")]
    (tmp_path / "a.png").write_bytes(makers.png(small, 8, 2, before=usual))
    assert write_image_file(tmp_path / "b.jpg", read_image_file(tmp_path / "a.png")) == []


def test_a_profile_is_kept_or_named(tmp_path, small):
    for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm"):
        notes = write_image_file(tmp_path / f"a{suffix}", ImageFile(small, icc=SRGB))
        kept = read_image_file(tmp_path / f"a{suffix}").icc == SRGB
        assert kept == (notes == []) and (kept or "profile" in notes[0])


CHANNELS = {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_formats_write_what_they_read(tmp_path, deep, small, suffix, channels):
    for image in (deep, small):
        planes = np.dstack([image, image[::-1, :, 0]])[..., CHANNELS[channels]]
        colour = planes[..., : 1 if channels < 3 else 3].squeeze()
        photo = ImageFile(colour, planes[..., -1] if channels in (2, 4) else None)
        notes = write_image_file(tmp_path / f"a{suffix}", photo)
        back = read_image_file(tmp_path / f"a{suffix}")
        assert back.pixels.dtype == image.dtype
        np.testing.assert_array_equal(back.pixels, colour)
        if suffix == ".ppm":
            assert len(notes) == (channels in (2, 4)) and back.alpha is None
        else:
            assert notes == []
            np.testing.assert_array_equal(back.planes(), photo.planes())


def test_colour_of_avif_becomes_a_chunk(tmp_path, small):
    Image.fromarray(small).save(tmp_path / "a.avif")
    data = bytearray((tmp_path / "a.avif").read_bytes())
    place = data.index(b"colrnclx") + 8
    data[place : place + 4] = struct.pack(">HH", 9, 16)
    (tmp_path / "a.avif").write_bytes(data)
    assert read_image_file(tmp_path / "a.avif").png_colour == (CICP,)


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
