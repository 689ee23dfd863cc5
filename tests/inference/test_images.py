"""Images of every kind in and out: what they are made of is kept."""

import io
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import upscaler_of
from PIL import Image, ImageCms

from csd.data import image_size, read_image
from csd.data.png_writer import encode_png, profile_chunk
from csd.errors import InputError, WorkError
from csd.inference import ImageFile, read_image_file, write_image_file
from csd.inference.images import fill_transparent, upscale_plane

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def repeat(x):
    """A network that repeats pixels: what comes out is known exactly."""
    return x.repeat(2, axis=2).repeat(2, axis=3)


def doubled(image):
    return image.repeat(2, axis=0).repeat(2, axis=1)


def through(path, tmp_path, name="out.png"):
    """Read, up-scale by repetition, write, read again."""
    photo = upscaler_of(repeat, tile=16).upscale_file(read_image_file(path))
    write_image_file(tmp_path / name, photo)
    return read_image_file(tmp_path / name)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_eight_bits_keep_their_channels(tmp_path, sample_image, mode):
    image = Image.fromarray(sample_image).convert(mode)
    if mode[-1] == "A":
        image.putalpha(Image.fromarray(sample_image[:, :, 1]))
    image.save(tmp_path / "in.png")
    back = through(tmp_path / "in.png", tmp_path)
    planes = np.asarray(image)
    colour = planes if mode in ("L", "RGB") else planes[:, :, :-1].squeeze()
    np.testing.assert_array_equal(back.pixels, doubled(colour))
    assert back.pixels.dtype == np.uint8
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode == mode
    if mode[-1] == "A":
        np.testing.assert_array_equal(back.alpha, upscale_plane(sample_image[:, :, 1], 2))


@pytest.mark.parametrize("name", ["in.png", "in.tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_stay_sixteen(tmp_path, name, channels):
    rng = np.random.default_rng(channels)
    deep = rng.integers(0, 65536, (21, 34, channels), dtype=np.uint16).squeeze()
    deep[0, :2] = [[1], [65535]] if channels > 1 else [0, 65535]  # alpha 0 hides its colour
    order = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[channels]
    stored = deep if order is None else cv2.cvtColor(deep, order)
    cv2.imwrite(str(tmp_path / name), stored)
    for target in ("out.png", "out.tif"):
        back = through(tmp_path / name, tmp_path, target)
        assert back.pixels.dtype == np.uint16
        colour = deep[:, :, :3] if channels == 4 else deep
        np.testing.assert_array_equal(back.pixels, doubled(colour))
        assert (back.alpha is not None) == (channels == 4)
    png = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert png.dtype == np.uint16 and png.shape[:2] == (42, 68)


def test_alpha_of_sixteen_bits_keeps_its_fraction():
    alpha = np.linspace(0, 65535, 400).reshape(20, 20).astype(np.uint16)
    wide = upscale_plane(alpha, 4)
    assert wide.dtype == np.uint16 and wide.shape == (80, 80)
    assert len(np.unique(wide)) > 1000
    assert np.abs(wide[2::4, 2::4].astype(int) - alpha).max() < 2000


def disc(dtype, channels, soft):
    """A white disc, radius 20, on transparent black."""
    full = np.iinfo(dtype).max
    y, x = np.mgrid[:64, :64] - 31.5
    alpha = np.clip(20.5 - np.hypot(x, y), 0, 1) if soft else np.hypot(x, y) < 20
    alpha = (alpha * full).astype(dtype)
    white = np.where(alpha > 0, full, 0).astype(dtype)
    return ImageFile(white if channels == 1 else np.dstack([white] * 3), alpha)


def bicubic(x):
    wide = [cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for p in x[0]]
    return np.stack(wide)[None]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("soft", [False, True])
def test_no_dark_fringe_around_what_is_visible(dtype, channels, soft):
    photo = disc(dtype, channels, soft)
    out = upscaler_of(bicubic, tile=16).upscale_file(photo)
    full = np.iinfo(dtype).max
    assert out.pixels[out.alpha >= full // 2 + 1].min() == full
    np.testing.assert_array_equal(out.alpha, upscale_plane(photo.alpha, 2))


def test_transparent_pixels_take_the_nearest_colour(sample_image):
    alpha = np.zeros((9, 12), np.uint8)
    alpha[2, 3], alpha[7, 10] = 1, 255
    part = sample_image[:9, :12]
    filled = fill_transparent(part, alpha)
    np.testing.assert_array_equal(filled[0, 0], part[2, 3])
    np.testing.assert_array_equal(filled[8, 11], part[7, 10])
    assert {tuple(p) for p in filled.reshape(-1, 3)} == {tuple(part[2, 3]), tuple(part[7, 10])}
    for same in (np.zeros_like(alpha), np.full_like(alpha, 9)):
        np.testing.assert_array_equal(fill_transparent(part, same), part)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, sample_image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(sample_image).save(tmp_path / "in.png", exif=exif)
    with Image.open(tmp_path / "in.png") as image:
        from PIL import ImageOps

        wanted = np.asarray(ImageOps.exif_transpose(image))
    photo = read_image_file(tmp_path / "in.png")
    np.testing.assert_array_equal(photo.pixels, wanted)
    through(tmp_path / "in.png", tmp_path)
    with Image.open(tmp_path / "out.png") as out:  # upright, and no viewer turns it again
        assert out.getexif().get(0x0112, 1) == 1
        assert out.size == (2 * wanted.shape[1], 2 * wanted.shape[0])


def raw_tiff(image, orientation):
    """An uncompressed TIFF file of uint8 or uint16 (H, W, 3) with an orientation."""
    height, width, _ = image.shape
    data, bits = image.astype(image.dtype.newbyteorder("<")).tobytes(), 8 * image.dtype.itemsize
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 16), (274, 3, 1, orientation), (277, 3, 1, 3), (278, 3, 1, height),
        (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I4H", 16 + len(data), bits, bits, bits, 0)
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_of_tiff(tmp_path, sample_image, orientation, dtype):
    image = sample_image.astype(dtype) * (1 if dtype is np.uint8 else 257)
    (tmp_path / "in.tif").write_bytes(raw_tiff(image, orientation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(sample_image).save(tmp_path / "same.png", exif=exif)
    wanted = read_image_file(tmp_path / "same.png").pixels
    np.testing.assert_array_equal(
        read_image_file(tmp_path / "in.tif").pixels,
        wanted.astype(dtype) * (1 if dtype is np.uint8 else 257),
    )
    np.testing.assert_array_equal(read_image(tmp_path / "in.tif"), wanted)
    assert image_size(tmp_path / "in.tif") == wanted.shape[:2]


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp", "out.tif"])
def test_colour_profile_goes_along(tmp_path, sample_image, name):
    Image.fromarray(sample_image).save(tmp_path / "in.png", icc_profile=SRGB)
    through(tmp_path / "in.png", tmp_path, name)
    with Image.open(tmp_path / name) as out:
        assert out.info["icc_profile"] == SRGB


def test_profile_that_does_not_fit_is_left_out(tmp_path, sample_image):
    grey = Image.fromarray(sample_image).convert("L")
    grey.save(tmp_path / "grey.png", icc_profile=SRGB)
    assert read_image_file(tmp_path / "grey.png").icc is None


def test_odd_kinds_become_what_they_show(tmp_path, sample_image):
    rgb = Image.fromarray(sample_image)
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    shown = read_image_file(tmp_path / "cmyk.jpg").pixels.astype(int)
    assert shown.shape == sample_image.shape and np.abs(shown - sample_image).mean() < 12
    rgb.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(read_image_file(tmp_path / "bits.png").pixels)) == {0, 255}
    paletted = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    paletted.save(tmp_path / "palette.png", transparency=3)
    photo = read_image_file(tmp_path / "palette.png")
    assert photo.pixels.shape == sample_image.shape
    np.testing.assert_array_equal(photo.alpha == 0, np.asarray(paletted) == 3)
    frames = [rgb, Image.fromarray(sample_image[::-1])]
    for name in ("moving.gif", "moving.webp", "pages.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        photo = read_image_file(tmp_path / name)
        assert "first" in photo.notes[0]
        assert photo.size == sample_image.shape[:2]
    np.testing.assert_array_equal(photo.pixels, sample_image)


def test_what_a_format_cannot_hold_is_said(tmp_path, sample_image):
    alpha = np.full(sample_image.shape[:2], 9, np.uint8)
    assert "transparency" in write_image_file(tmp_path / "a.jpg", ImageFile(sample_image, alpha))[0]
    deep = sample_image.astype(np.uint16) * 257
    assert "8 bits" in write_image_file(tmp_path / "b.webp", ImageFile(deep))[0]
    assert (
        write_image_file(tmp_path / "c.png", ImageFile(deep, alpha.astype(np.uint16), SRGB)) == []
    )
    with pytest.raises(InputError, match="--format png"):
        write_image_file(tmp_path / "d.webp", ImageFile(np.zeros((2, 20000), np.uint8)))
    with pytest.raises(InputError, match=r"\.png"):
        write_image_file(tmp_path / "e.xyz", ImageFile(sample_image))
    with pytest.raises(WorkError, match="cannot write"):
        write_image_file(tmp_path / "none" / "f.png", ImageFile(sample_image))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "b.webp", "c.png"]


def test_output_too_large_is_refused_before_any_work():
    photo = ImageFile(np.broadcast_to(np.uint8(0), (20000, 20000)))

    def never(x):
        raise AssertionError("the network ran")

    with pytest.raises(InputError, match="at most 62"):
        upscaler_of(never, scale=4).upscale_file(photo)


@pytest.mark.parametrize("shape", [(5, 7), (16, 24), (61, 83)])
def test_network_of_one_input_size(sample_image, shape):
    seen = set()

    def fixed(x):
        seen.add(x.shape)
        return repeat(x)

    part = sample_image[: shape[0], : shape[1]]
    upscaler = upscaler_of(fixed, size=(16, 24))
    out = upscaler.upscale_file(ImageFile(part))
    np.testing.assert_array_equal(out.pixels, doubled(part))
    assert seen == {(1, 3, 16, 24)}
    with pytest.raises(InputError, match="square"):
        replace(upscaler, self_ensemble=True).upscale_file(ImageFile(part))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 1000),
    icc=st.sampled_from([None, SRGB]),
)
def test_own_png_writer_is_read_by_others(height, width, channels, dtype, seed, icc):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    file = io.BytesIO()
    encode_png(file, [image], image.shape, image.dtype, [profile_chunk(icc)] if icc else [])
    back = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert back.dtype == dtype
    if channels == 1:
        np.testing.assert_array_equal(back, image[:, :, 0])
    else:
        wanted = image[:, :, [0, 0, 0, 1]] if channels == 2 else image
        order = [2, 1, 0, 3][: wanted.shape[2]]
        np.testing.assert_array_equal(back, wanted[:, :, order])
    with Image.open(file) as pillow:
        pillow.load()  # checks every CRC
        assert pillow.info.get("icc_profile") == icc


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    height=st.integers(1, 45),
    width=st.integers(1, 45),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr", "HSV"]),
    suffix=st.sampled_from([".png", ".tif", ".jpg", ".webp", ".bmp", ".gif"]),
    orientation=st.integers(0, 9),
    tile=st.integers(16, 64),
    seed=st.integers(0, 1000),
)
def test_any_size_and_mode(tmp_path_factory, height, width, mode, suffix, orientation, tile, seed):
    """What comes back has twice the size, the channels and the bits of what the file holds."""
    if (mode, suffix) == ("YCbCr", ".tif"):
        return  # Pillow 12 writes a file here that it cannot read itself
    folder = tmp_path_factory.mktemp("any")
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 256)
    else:
        image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    try:
        image.save(folder / f"in{suffix}", exif=exif)
    except (OSError, struct.error, KeyError, ValueError):
        return  # this format does not hold this mode
    with Image.open(folder / f"in{suffix}") as stored:
        held, turned = stored.mode, stored.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        transparent = "A" in held or "transparency" in stored.info
    photo = read_image_file(folder / f"in{suffix}")
    assert photo.size == ((width, height) if turned else (height, width))
    assert (photo.pixels.ndim == 2) == (held in ("1", "L", "LA", "I;16"))
    assert (photo.pixels.dtype == np.uint16) == (held == "I;16")
    assert (photo.alpha is not None) == transparent
    back = through(folder / f"in{suffix}", folder)
    np.testing.assert_array_equal(back.pixels, doubled(photo.pixels))
    assert (back.alpha is None) == (photo.alpha is None)
    same = upscaler_of(repeat, tile=tile).upscale_file(photo)
    np.testing.assert_array_equal(same.pixels, back.pixels)
