"""EXIF, XMP and resolution: what a file holds comes out again, upright and of the new size."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from csd.data.decode import read_image_file
from csd.data.encode import write_image_file, write_strips
from csd.data.image_file import ImageFile, make_image
from csd.data.metadata import exif_dpi, resized_exif, upright_exif
from csd.data.tiff_exif import append_directories, read_directory, split_exif, write_directory

MAKER_NOTE = b"Maker\0" + bytes(range(200))
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta '
    b'xmlns:x="adobe:ns:meta/"><rdf:RDF tiff:Orientation="%d"/>caf\xc3\xa9</x:xmpmeta>'
)


@pytest.fixture
def small(sample_image):
    return np.ascontiguousarray(sample_image[40:64, 50:90])  # 24 x 40


def exif_data(orientation=1, order="<", dpi=(300, 300)):
    """EXIF data as cameras write it: three directories, a maker's note, resolution, size."""
    exif = Image.Exif()
    exif.endian = order
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Copyright] = "Camera", "Somebody 2026"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = map(float, dpi)
    exif[ExifTags.Base.ResolutionUnit] = 2
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.ExposureTime] = 1 / 250
    inner[ExifTags.Base.MakerNote] = MAKER_NOTE
    inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight] = 40, 24
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 30.0, 15.5)
    return exif.tobytes()


def with_thumbnail(block):
    """The same EXIF data with a second directory, of one entry, as thumbnails have."""
    data = bytearray(block)
    (count,) = struct.unpack_from("<H", data, 8)
    struct.pack_into("<I", data, 10 + 12 * count, len(data))
    return bytes(data) + struct.pack("<HHHII", 1, 259, 3, 1, 6) + bytes(4)


def facts_of(path):
    """(make, copyright, orientation, exposure, note, latitude, size) as Pillow reads a file."""
    with Image.open(path) as image:
        exif = image.getexif()
        inner, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
        return (
            exif.get(ExifTags.Base.Make),
            exif.get(ExifTags.Base.Copyright),
            exif.get(ExifTags.Base.Orientation, 1),
            inner.get(ExifTags.Base.ExposureTime),
            inner.get(ExifTags.Base.MakerNote),
            place.get(ExifTags.GPS.GPSLatitude),
            (inner.get(ExifTags.Base.ExifImageHeight), inner.get(ExifTags.Base.ExifImageWidth)),
        )


def wanted(height, width):
    place, exposure = (52.0, 30.0, 15.5), 1 / 250
    return ("Camera", "Somebody 2026", 1, exposure, MAKER_NOTE, place, (height, width))


SAVED = {".jpg": {"dpi": (300, 300)}, ".webp": {}, ".png": {"dpi": (300, 300)}}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("suffix", SAVED)
def test_other_programs_find_what_went_in(tmp_path, small, suffix, orientation, order):
    path = tmp_path / f"a{suffix}"
    kept = {"exif": exif_data(orientation, order), "xmp": XMP % orientation}
    if suffix == ".png":  # Pillow writes the rest of it
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", kept.pop("xmp").decode(), zip=True)
        kept["pnginfo"] = text
    Image.fromarray(small).save(path, **kept, **SAVED[suffix])
    photo = read_image_file(path)
    size = (48, 80) if orientation < 5 else (80, 48)
    assert photo.size == (size[0] // 2, size[1] // 2)
    assert photo.xmp == XMP % 1
    assert photo.dpi == pytest.approx((300, 300), rel=1e-4)
    double = replace(photo, pixels=np.repeat(np.repeat(photo.pixels, 2, 0), 2, 1))
    for target in {suffix, ".png", ".tif"}:
        out = tmp_path / f"b{target}"
        assert write_image_file(out, double) == []
        assert facts_of(out) == wanted(*size)
        with Image.open(out) as image:
            image.load()
            xmp = image.info.get("xmp") or image.tag_v2[700]
            assert xmp == XMP % 1
            if target != ".webp":
                assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-4)
        back = read_image_file(out)
        assert back.exif is not None and back.xmp == photo.xmp and back.size == size
        assert back.dpi == pytest.approx(photo.dpi, rel=1e-4)


def chunks_of(path):
    data, place, found = path.read_bytes(), 8, []
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        found.append((kind, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def test_bytes_of_png(tmp_path, small):
    block = exif_data(6)[6:]
    photo = make_image(small, orientation=6, exif=b"Exif\0\0" + block, xmp=XMP % 6, dpi=(72, 300))
    assert write_image_file(tmp_path / "a.png", photo) == []
    found = chunks_of(tmp_path / "a.png")
    kinds = [kind for kind, _ in found]
    assert kinds[:4] == [b"IHDR", b"eXIf", b"pHYs", b"iTXt"] and kinds.index(b"IDAT") == 4
    parts = dict(found)
    assert parts[b"pHYs"] == struct.pack(">IIB", 11811, 2835, 1)  # turned: 300 across, 72 down
    assert parts[b"iTXt"] == b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % 1
    # In place: three numbers differ, the orientation and the size, whose sides are turned.
    old, new = np.frombuffer(block, np.uint8), np.frombuffer(parts[b"eXIf"], np.uint8)
    assert old.size == new.size and 1 <= np.count_nonzero(old != new) <= 3


def test_a_thumbnail_stays_with_an_image_that_is_not_turned():
    block = with_thumbnail(exif_data(3)[6:])
    (count,) = struct.unpack_from("<H", block, 8)
    link = slice(10 + 12 * count, 14 + 12 * count)
    assert upright_exif(with_thumbnail(exif_data(1)[6:]), 1)[link] == block[link] != bytes(4)
    assert upright_exif(block, 3)[link] == bytes(4)


def test_resolution_in_exif_alone(tmp_path, small):
    Image.fromarray(small).save(tmp_path / "a.webp", exif=exif_data(6, dpi=(72, 300)))
    photo = read_image_file(tmp_path / "a.webp")
    assert photo.dpi == (300, 72) == exif_dpi(photo.exif)
    Image.fromarray(small).save(tmp_path / "b.jpg", exif=Image.Exif())
    assert read_image_file(tmp_path / "b.jpg").dpi is None  # Pillow says 72


def test_a_number_without_room_stays():
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 40  # a short
    block = exif.tobytes()[6:]
    assert resized_exif(block, (70000, 70000)) == block
    assert resized_exif(block, (100, 80)) == block.replace(b"\x28\0", b"\x50\0")


@pytest.mark.parametrize("length", range(9, 60, 5))
def test_damaged_exif_is_left_out_or_kept_whole(tmp_path, small, length):
    photo = make_image(small, exif=exif_data(6)[6 : 6 + length])
    assert photo.exif is None or len(photo.exif) == length
    for suffix in (".png", ".tif", ".jpg", ".webp"):
        write_image_file(tmp_path / f"a{suffix}", photo)
        assert read_image_file(tmp_path / f"a{suffix}").size == photo.size


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_directories_survive_the_way_through_tiff(order, big):
    block = exif_data(order=order)[6:]
    plain, inner = split_exif(block)
    assert [tag for tag, *_ in plain] == [271, 33432]
    placeholders = [(tag, 16 if big else 4, 1, bytes(8 if big else 4)) for tag, *_ in inner]
    head = (
        struct.pack(order + "HHHHQ", 0, 43, 8, 0, 16)
        if big
        else struct.pack(order + "HHI", 0, 42, 8)
    )
    file = io.BytesIO(head + write_directory(placeholders, order, big, len(head)) + b"odd")
    append_directories(file, inner, order, big)
    found = read_directory(file, order, big, len(head))
    assert [entry[0] for entry in found] == [0x8769, 0x8825]
    assert [entry[3] for entry in found] == [entry[3] for entry in inner]


def test_tiff_of_other_programs(tmp_path, small):
    extra = [(700, 1, len(XMP) - 1, XMP % 1, True), (315, 2, 0, "An Artist", True)]
    tifffile.imwrite(
        tmp_path / "a.tif", small, photometric="rgb", resolution=(118.11, 59.055),
        resolutionunit="CENTIMETER", extratags=extra, byteorder=">",
    )  # fmt: skip
    photo = read_image_file(tmp_path / "a.tif")
    assert photo.dpi == pytest.approx((300, 150), rel=1e-4) and photo.xmp == XMP % 1
    assert b"shape" not in photo.exif  # tifffile's description states the layout of its own file
    write_image_file(tmp_path / "b.png", photo)
    with Image.open(tmp_path / "b.png") as image:
        assert image.getexif()[ExifTags.Base.Artist] == "An Artist"
        assert image.info["dpi"] == pytest.approx((300, 150), rel=1e-4)


def test_what_a_format_does_not_hold_is_named(tmp_path, small):
    photo = make_image(small, exif=exif_data(), xmp=XMP % 1 + b" " * 70000, dpi=(96, 96))
    notes = write_image_file(tmp_path / "a.jpg", photo)
    assert len(notes) == 1 and "XMP" in notes[0] and "--format png" in notes[0]
    notes = write_image_file(tmp_path / "a.ppm", photo)
    assert ["EXIF" in n or "XMP" in n for n in notes] == [True, True]
    assert write_image_file(tmp_path / "a.webp", photo) == []
    assert read_image_file(tmp_path / "a.webp").xmp == photo.xmp


def test_stripped(tmp_path, small):
    photo = make_image(small, exif=exif_data(), xmp=XMP % 1, dpi=(96, 96)).stripped()
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        write_image_file(tmp_path / f"a{suffix}", photo)
        back = read_image_file(tmp_path / f"a{suffix}")
        assert (back.exif, back.xmp, back.dpi) == (None, None, None)
        data = (tmp_path / f"a{suffix}").read_bytes()
        assert b"Camera" not in data and b"xmpmeta" not in data


def test_strips_make_the_same_file(tmp_path, small):
    rng = np.random.default_rng(5)
    for dtype in (np.uint8, np.uint16):
        whole = rng.integers(0, np.iinfo(dtype).max, (301, 700, 4), dtype)
        photo = ImageFile(whole[..., :3], np.ascontiguousarray(whole[..., 3]), dpi=(96, 96))
        strips = [whole[:1], whole[1:130], whole[130:300], whole[300:]]
        for suffix in (".png", ".tif"):
            one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
            write_image_file(one, photo)
            few = ImageFile(photo.pixels[:2], photo.alpha[:2], dpi=(96, 96))
            write_strips(other, few, photo.size, iter(strips))
            assert one.read_bytes() == other.read_bytes()
            np.testing.assert_array_equal(read_image_file(other).planes(), whole)


def test_text_of_imagemagick_becomes_a_chunk(tmp_path, makers, small):
    exif = exif_data(6)
    raw = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
    part = (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw))
    (tmp_path / "a.png").write_bytes(makers.png(small, 8, 2, before=[part]))
    write_image_file(tmp_path / "b.png", read_image_file(tmp_path / "a.png"))
    assert facts_of(tmp_path / "b.png") == wanted(40, 24)
