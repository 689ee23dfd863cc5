"""Every kind of image file reads as upright uint8 RGB, or is named in the error."""

import io

import numpy as np
import pytest
from PIL import Image

import csd.data.formats as formats
from csd.data import image_size, read_image, write_png
from csd.errors import InputError, WorkError


@pytest.fixture
def small(sample_image):
    return np.ascontiguousarray(sample_image[40:64, 50:90])  # 24 x 40


def check(path, expected):
    got = read_image(path)
    assert got.dtype == np.uint8 and got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)
    assert image_size(path) == expected.shape[:2]


def test_rgb_and_round_trip(tmp_path, small):
    write_png(tmp_path / "new" / "a.png", small)
    check(tmp_path / "new" / "a.png", small)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


def test_grey_is_repeated(tmp_path, small):
    grey = small[:, :, 1]
    Image.fromarray(grey).save(tmp_path / "a.png")
    check(tmp_path / "a.png", np.stack([grey] * 3, axis=2))


def test_black_and_white(tmp_path, small):
    bits = small[:, :, 1] > 128
    Image.fromarray(bits).save(tmp_path / "a.png")
    check(tmp_path / "a.png", np.stack([bits * np.uint8(255)] * 3, axis=2))


def test_palette_is_looked_up(tmp_path, small):
    image = Image.fromarray(small).quantize(32)
    image.save(tmp_path / "a.png")
    check(tmp_path / "a.png", np.asarray(image.convert("RGB")))
    image.save(tmp_path / "b.png", transparency=3)
    check(tmp_path / "b.png", np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_and_colours_kept(tmp_path, small):
    alpha = np.linspace(0, 255, small[:, :, 0].size).reshape(small.shape[:2]).astype(np.uint8)
    Image.fromarray(np.dstack([small, alpha])).save(tmp_path / "a.png")
    check(tmp_path / "a.png", small)
    Image.fromarray(np.dstack([small[:, :, 0], alpha]), "LA").save(tmp_path / "b.png")
    check(tmp_path / "b.png", np.stack([small[:, :, 0]] * 3, axis=2))


@pytest.mark.parametrize("factor", [256, 257])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey(tmp_path, small, factor, suffix):
    grey = small[:, :, 1]
    Image.fromarray(grey.astype(np.uint16) * factor).save(tmp_path / f"a.{suffix}")
    check(tmp_path / f"a.{suffix}", np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("factor", [256, 257])
def test_sixteen_bit_colour(tmp_path, small, factor):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), small[:, :, ::-1].astype(np.uint16) * factor)
    check(tmp_path / "a.png", small)


def test_cmyk(tmp_path, small):
    Image.fromarray(small).convert("CMYK").save(tmp_path / "a.tif")
    check(tmp_path / "a.tif", small)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, small, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    Image.fromarray(small).save(tmp_path / "a.png", exif=exif)
    check(tmp_path / "a.png", turn(small))


def test_first_frame_of_several(tmp_path, small):
    first, second = Image.fromarray(small), Image.fromarray(255 - small)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    check(tmp_path / "a.tif", small)


def _bytes(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("part", [0.1, 0.6])
def test_truncated_file_is_named(tmp_path, small, form, part):
    data = _bytes(small, format=form)
    path = tmp_path / "cut.png"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError, match=r"cut\.png cannot be read as an image") as error:
        read_image(path)
    assert error.value.exit_code == 2


def test_empty_text_missing_and_folder_are_named(tmp_path):
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    for name, sentence in (
        ("zero.png", r"zero\.png is empty \(0 bytes\)"),
        ("text.png", r"text\.png cannot be read as an image"),
        ("gone.png", r"gone\.png: no such image file"),
        ("folder.png", r"folder\.png is a folder"),
    ):
        for reader in (read_image, image_size):
            with pytest.raises(InputError, match=sentence):
                reader(tmp_path / name)


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match=r"f\.tif holds floating-point"):
        read_image(tmp_path / "f.tif")


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    Image.new("1", (400, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(formats, "MAX_PIXELS", 100_000)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match=r"bomb\.png has more than 0 megapixels"):
        read_image(tmp_path / "bomb.png")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillow_limit_is_raised_without_warning(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (60, 50)).save(tmp_path / "large.png")
    assert read_image(tmp_path / "large.png").shape == (50, 60, 3)
    assert not [w for w in recwarn if issubclass(w.category, Image.DecompressionBombWarning)]


def test_failed_write_leaves_nothing_and_says_so(tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match="cannot write"):
        write_png(tmp_path / "file" / "a.png", small)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(WorkError, match=r"cannot write .*taken\.png: "):
        write_png(tmp_path / "taken.png", small)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.png"]
