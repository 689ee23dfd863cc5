"""`import csd`: what it offers, what it returns, and that it imports nothing until it is used."""

import subprocess
import sys

import numpy as np
import pytest
from networks import upscaler_of
from PIL import Image

import csd
from csd.errors import InputError
from csd.inference.images import upscale_plane


def repeat(x):
    return x.repeat(2, axis=2).repeat(2, axis=3)


def doubled(image):
    return image.repeat(2, axis=0).repeat(2, axis=1)


def test_importing_csd_imports_nothing_else():
    code = (
        "import sys\nbefore = set(sys.modules)\nimport csd\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert new <= {'csd', *sys.stdlib_module_names}, new\n"
        "assert [n for n in sys.modules if n.startswith('csd.')] == []\n"
        "assert 'load' in dir(csd)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_name_is_there():
    for name in csd.__all__:
        assert getattr(csd, name) is not None, name
    assert csd.errors.InputError is InputError
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        csd.nothing  # noqa: B018


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_shipped_network_by_its_name(scale):
    upscaler = csd.load(f"edsr_x{scale}", device="CPU")
    assert (upscaler.scale, upscaler.width, upscaler.widths) == (scale, 0.25, (0.25, 0.5, 1.0))
    assert str(upscaler.engine) == upscaler.engine.name == "openvino" and upscaler.name == "edsr"
    image = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    large = upscaler.upscale(image)
    assert large.shape == (12 * scale, 17 * scale, 3) and large.dtype == np.uint8
    teacher = csd.load(f"edsr_x{scale}", width=1.0, device="CPU")
    assert teacher.width == 1.0
    np.testing.assert_array_equal(teacher.upscale(image), upscaler.at_width(1.0).upscale(image))


def test_unknown_names_and_files_are_sentences(tmp_path):
    with pytest.raises(InputError, match="no trained checkpoint for scale 7"):
        csd.load("edsr_x7")
    with pytest.raises(InputError, match="of that name; known are edsr_x2, edsr_x3, edsr_x4"):
        csd.load("swinir")
    with pytest.raises(InputError, match="no checkpoint"):
        csd.load(tmp_path / "gone.ckpt")
    with pytest.raises(InputError, match="unknown engine"):
        csd.load("edsr_x4", engine="cuda")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_arrays_keep_their_kind(dtype, channels):
    shape = (9, 14) if channels is None else (9, 14, channels)
    full = np.iinfo(dtype).max
    image = np.random.default_rng(1).integers(1, full, shape).astype(dtype)
    out = upscaler_of(repeat).upscale(image)
    wanted = doubled(image)
    if channels in (2, 4):
        wanted[:, :, -1] = upscale_plane(np.ascontiguousarray(image[:, :, -1]), 2)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pil_images_keep_their_mode(sample_image, mode):
    if mode == "I;16":
        image = Image.fromarray(sample_image[:, :, 0].astype(np.uint16) * 200)
    else:
        image = Image.fromarray(sample_image).convert(mode)
    out = upscaler_of(repeat).upscale(image)
    assert out.mode == mode and out.size == (2 * 83, 2 * 61)
    np.testing.assert_array_equal(np.asarray(out), doubled(np.asarray(image)))


def test_a_path_gives_an_upright_pil_image(tmp_path, sample_image):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(sample_image).save(tmp_path / "in.png", exif=exif)
    for path in (tmp_path / "in.png", str(tmp_path / "in.png")):
        out = upscaler_of(repeat).upscale(path)
        np.testing.assert_array_equal(np.asarray(out), doubled(np.rot90(sample_image, -1)))
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]
    with pytest.raises(InputError, match="no such image file"):
        upscaler_of(repeat).upscale(tmp_path / "none.png")


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4, 5), np.uint8), np.zeros((0, 4), np.uint8),
     np.zeros((1, 4, 4, 3), np.uint8), np.zeros(4, np.uint8)],
    ids=["float", "five channels", "empty", "batch", "row"],
)  # fmt: skip
def test_other_arrays_are_refused(image):
    with pytest.raises(InputError, match="uint8 or uint16 array"):
        upscaler_of(repeat).upscale(image)
    with pytest.raises(InputError, match="cannot be upscaled"):
        upscaler_of(repeat).upscale(Image.new("F", (3, 3)))


def test_windows_grow_as_the_width_shrinks():
    """The memory of a full-width network's tiles, and no more windows than it allows."""
    for width, whole, side in ((1.0, 240 * 240, 192), (0.25, 480 * 480, 432)):
        upscaler = upscaler_of(repeat, width=width)
        assert upscaler.tile_for(whole // 100, 100) == ((whole // 100, 100), 24)
        assert upscaler.tile_for(whole // 100 + 1, 100) == ((side, side), 24)
    assert upscaler.count_tiles(320, 480) == 1 and upscaler.count_tiles(2160, 3840) == 45


def test_a_width_that_the_file_does_not_hold():
    with pytest.raises(InputError, match=r"holds width 0.25 only, not 1"):
        upscaler_of(repeat).at_width(1.0)
