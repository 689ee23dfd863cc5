"""What lies beside the pixels, large or damaged: profiles, texts, EXIF, colour chunks."""

import struct
import zlib

import numpy as np
import pytest
from data_room.readers import READERS, SRGB, refused
from PIL import Image

from csd.data import image_size, read_image
from csd.data.decode import read_image_file
from csd.data.encode import write_image_file
from csd.data.image_file import ImageFile


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
