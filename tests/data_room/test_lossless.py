"""Every combination of the table in docs/formats.md is read exactly; decoders agree on the rest."""

import io
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from csd.data import image_size, read_image
from csd.data.decode import read_image_file
from csd.errors import CSDError, InputError

TABLE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
SIZE = (13, 19)


def combinations():
    """(format, pixels, bits, layout, byte order, compression) for every product of cells."""
    text = TABLE.read_text().split("<!-- lossless -->")[1].split("<!-- end -->")[0]
    for line in text.strip().splitlines()[2:]:
        cells = [[value.strip() for value in cell.split(",")] for cell in line.split("|")[1:-1]]
        yield from itertools.product(*cells)


COMBINATIONS = list(combinations())


def stretched(values, bits):
    """What full range means, in exact arithmetic."""
    top, full = (1 << bits) - 1, 255 if bits <= 8 else 65535
    out = (values.astype(np.int64) * 2 * full + top) // (2 * top)
    return out.astype(np.uint8 if bits <= 8 else np.uint16)


def straight(planes):
    """Premultiplied alpha divided out, in exact arithmetic."""
    full = int(np.iinfo(planes.dtype).max)
    colour, alpha = planes[..., :-1].astype(np.int64), planes[..., -1:].astype(np.int64)
    wide = np.minimum((2 * colour * full + alpha) // np.maximum(2 * alpha, 1), full)
    return np.concatenate([np.where(alpha > 0, wide, colour), alpha], axis=2).astype(planes.dtype)


def draw(rng, bits, channels, size=SIZE):
    values = rng.integers(0, 1 << bits, (*size, channels))
    values[0, 0], values[-1, -1] = 0, (1 << bits) - 1
    values[2:5] = values[2]  # something to compress
    return values


def tiff_case(makers, rng, name, pixels, bits, layout, order, compression):
    """(bytes of a file, the planes it shows)."""
    premultiplied, white = "premultiplied" in pixels, "white-is-zero" in pixels
    second = "alpha" in pixels or "unspecified" in pixels
    stored = draw(rng, bits, ("RGB" in pixels) * 2 + 1 + second)
    if premultiplied:
        stored[..., :-1] = stored[..., :-1] * stored[..., -1:] // ((1 << bits) - 1)
    palette = rng.integers(0, 256, (1 << bits, 3)) * 257 if pixels == "palette" else None
    photometric = 3 if pixels == "palette" else 2 if "RGB" in pixels else 0 if white else 1
    compression, _, predictor = compression.partition(" + ")
    data = makers.tiff(
        stored, bits, photometric=photometric, order="<" if order == "little" else ">",
        extra=(1 if premultiplied else 2 if "alpha" in pixels else 0,) if second else (),
        compression=compression, predictor=2 if predictor else 1, palette=palette,
        tile=(16, 16) if "tiles" in layout else None, separate="planes" in layout,
        rows=SIZE[0] if "Group" in compression else 5,
        big=name == "BigTIFF", reverse="reversed" in layout,
    )  # fmt: skip
    if palette is not None:
        return data, (palette[stored[..., 0]] >> 8).astype(np.uint8)
    shown = stretched(stored, bits)
    shown = straight(shown) if premultiplied else shown
    shown = np.iinfo(shown.dtype).max - shown if white else shown
    return data, shown[..., :3] if "unspecified" in pixels else shown


def png_case(makers, rng, pixels, bits, layout):
    colour = {"grey": 0, "keyed grey": 0, "RGB": 2, "keyed RGB": 2, "palette": 3,
              "palette + alpha": 3, "grey + alpha": 4, "RGB + alpha": 6}[pixels]  # fmt: skip
    stored = draw(rng, bits, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    shown, before = stretched(stored, bits), []
    if "keyed" in pixels:
        key = stored[3, 4]
        before = [(b"tRNS", key.astype(">u2").tobytes())]
        clear = (stored == key).all(axis=2)
        alpha = np.where(clear, 0, np.iinfo(shown.dtype).max).astype(shown.dtype)
        shown = np.dstack([shown, alpha])
    if colour == 3:
        table = rng.integers(0, 256, (1 << bits, 4)).astype(np.uint8)
        before = [(b"PLTE", table[:, :3].tobytes())]
        if "alpha" in pixels:
            before.append((b"tRNS", table[:, 3].tobytes()))
        shown = table[stored[..., 0]][..., : 4 if "alpha" in pixels else 3]
    return makers.png(stored, bits, colour, interlaced=layout == "Adam7", before=before), shown


def pnm_case(makers, rng, pixels, bits, layout):
    top = (1 << bits) - 1
    stored = draw(rng, bits, 3 if pixels == "RGB" else 1)
    if pixels == "bitmap":
        return makers.pnm(stored, 1 if layout == "plain" else 4, 1), 255 - stretched(stored, 1)
    kind = (3 if pixels == "RGB" else 2) + (3 if layout == "raw" else 0)
    return makers.pnm(stored, kind, top), stretched(stored, bits)


def library_case(rng, name, pixels, bits, compression):
    """Files that Pillow or OpenCV write without loss."""
    mode = {"grey": "L", "grey + alpha": "LA", "palette": "P", "RGB": "RGB",
            "RGB + alpha": "RGBA"}[pixels]  # fmt: skip
    size = SIZE if bits == 8 else (37, 41)  # OpenCV writes no smaller JPEG 2000
    stored = draw(rng, bits, max(1, len(mode)), size)
    if bits == 16 and pixels != "grey":
        assert name == "JPEG 2000"
        order = [2, 1, 0, 3][: stored.shape[2]]
        flags = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
        data = cv2.imencode(".jp2", stored[..., order].astype(np.uint16), flags)[1]
        return data.tobytes(), stored.astype(np.uint16)
    planes = stored.astype(np.uint8 if bits == 8 else np.uint16)
    image = Image.fromarray(planes.squeeze())
    if mode == "P":
        image = Image.fromarray(planes.squeeze() % 16).convert("P")
        table = rng.integers(0, 256, (256, 3)).astype(np.uint8)
        image.putpalette(table.tobytes())
        planes = table[planes[..., 0] % 16]
    options = {
        "WebP": {"lossless": True, "exact": True},
        "JPEG 2000": {"irreversible": False},
        "TGA": {"compression": "tga_rle"} if compression == "run lengths" else {},
    }.get(name, {})
    file = io.BytesIO()
    image.save(file, {"JPEG 2000": "JPEG2000", "WebP": "WEBP"}.get(name, name), **options)
    return file.getvalue(), planes


def make(makers, combination, seed=0):
    name, pixels, bits, layout, order, compression = combination
    rng, bits = np.random.default_rng(seed), int(bits)
    if name in ("TIFF", "BigTIFF"):
        return tiff_case(makers, rng, name, pixels, bits, layout, order, compression)
    if name == "PNG":
        return png_case(makers, rng, pixels, bits, layout)
    if name == "PNM":
        return pnm_case(makers, rng, pixels, bits, layout)
    return library_case(rng, name, pixels, bits, compression)


def check(path, shown):
    """All readers: every plane of `read_image_file`, the high bytes of `read_image`, the size."""
    photo = read_image_file(path)
    planes = photo.planes()
    planes = planes if planes.ndim == 3 else planes[..., None]
    assert planes.dtype == shown.dtype and planes.shape == shown.shape
    np.testing.assert_array_equal(planes, shown)
    colours = shown[..., : 1 if shown.shape[2] < 3 else 3]
    eight = (colours >> 8 if colours.dtype == np.uint16 else colours).astype(np.uint8)
    wanted = np.broadcast_to(eight, (*shown.shape[:2], 3))
    np.testing.assert_array_equal(read_image(path), wanted)
    assert image_size(path) == shown.shape[:2]


def test_table_covers_what_matters():
    assert len(COMBINATIONS) == len(set(COMBINATIONS)) > 1500
    assert {c[0] for c in COMBINATIONS} >= {"TIFF", "PNG", "PNM", "BMP", "GIF", "TGA", "JPEG 2000"}


@pytest.mark.parametrize("name", sorted({c[0] for c in COMBINATIONS}))
def test_every_combination_is_read_exactly(makers, tmp_path, name):
    suffix = ".tga" if name == "TGA" else ".img"
    for number, combination in enumerate(c for c in COMBINATIONS if c[0] == name):
        path = tmp_path / f"{number}{suffix}"
        data, shown = make(makers, combination, number)
        path.write_bytes(data)
        try:
            check(path, shown)
        except Exception as error:
            raise AssertionError(f"{' | '.join(combination)}: {error}") from error


def others(path, combination, shown):
    """What other decoders make of the file, in the layouts in which they are right."""
    name, pixels, bits, layout, _, compression = combination
    odd = {"premultiplied", "unspecified", "white-is-zero", "palette", "keyed"} & set(
        pixels.split()
    )
    if odd & set(pixels.split()):
        return
    if name in ("TIFF", "BigTIFF") and bits in ("8", "16") and compression in ("none", "Deflate"):
        stored = tifffile.imread(path)
        planes = layout.endswith("planes") and stored.ndim == 3
        yield "tifffile", np.moveaxis(stored, 0, 2) if planes else stored
    if name == "PNG" and bits == "16" and pixels != "grey + alpha":
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        yield "OpenCV", stored[..., [2, 1, 0, 3][: shown.shape[2]]] if stored.ndim == 3 else stored
    if name in ("PNG", "TGA", "WebP", "BMP") and bits == "8":
        with Image.open(path) as image:
            yield "Pillow", np.asarray(image)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(combination=st.sampled_from(COMBINATIONS), seed=st.integers(0, 10**6))
def test_decoders_agree(makers, tmp_path_factory, combination, seed):
    """Pixels drawn at random, in random layouts: ours, tifffile's, Pillow's and OpenCV's."""
    suffix = ".tga" if combination[0] == "TGA" else ".img"
    path = tmp_path_factory.mktemp("agree") / f"any{suffix}"
    data, shown = make(makers, combination, seed)
    path.write_bytes(data)
    check(path, shown)
    for name, planes in others(path, combination, shown):
        np.testing.assert_array_equal(planes.reshape(shown.shape), shown, err_msg=name)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), combination=st.sampled_from(COMBINATIONS), seed=st.integers(0, 10**6))
def test_damaged_files_are_sentences(makers, tmp_path_factory, data, combination, seed):
    """Bytes changed, cut out or cut off: an image of the size that the header says, or one line."""
    whole = make(makers, combination, seed)[0]
    spoilt = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 6))):
        # Headers are where damage is odd; one change in two is there.
        within = data.draw(st.sampled_from([64, len(spoilt)]))
        place = data.draw(st.integers(0, min(len(spoilt), within)))
        kind = data.draw(st.sampled_from(["change", "insert", "remove"]))
        stop = place + (kind != "insert")
        spoilt[place:stop] = b"" if kind == "remove" else bytes([data.draw(st.integers(0, 255))])
    if data.draw(st.booleans()):
        del spoilt[data.draw(st.integers(0, len(spoilt))) :]
    path = tmp_path_factory.mktemp("spoilt") / "any.tga"
    path.write_bytes(spoilt)
    try:
        pixels = read_image(path)
    except CSDError as error:
        assert path.name in str(error) and "\n" not in str(error) and len(str(error)) < 600
        return
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    assert image_size(path) == pixels.shape[:2]


def expected(stored, bits, photometric, alpha):
    """The planes that these numbers stand for, or None where they are refused."""
    colours = {0: 1, 1: 1, 2: 3}.get(photometric)
    if colours is None or stored.shape[2] < colours:
        return None
    shown = stretched(stored, bits)
    shown = straight(shown) if alpha == 1 else shown
    shown = shown if alpha else shown[..., :colours]
    if photometric == 0:
        shown = np.dstack([np.iinfo(shown.dtype).max - shown[..., :1], shown[..., 1:]])
    return shown


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    bits=st.integers(1, 16) | st.sampled_from([8, 16]),
    photometric=st.sampled_from([0, 1, 2, 2, 4, 8, 32803]),
    alpha=st.sampled_from([None, 0, 1, 2]),
    compression=st.sampled_from(["none", "LZW", "Deflate", "old Deflate", "LZMA", "Zstandard"]),
    predictor=st.sampled_from([1, 1, 2]),
    layout=st.tuples(*[st.booleans()] * 5),
    seed=st.integers(0, 10**6),
)
def test_any_other_tiff_is_exact_or_refused(
    makers, tmp_path_factory, bits, photometric, alpha, compression, predictor, layout, seed
):
    """Layouts that the table does not list, too: the right pixels or one sentence."""
    separate, tiled, big, reverse, little = layout
    rng = np.random.default_rng(seed)
    stored = draw(rng, bits, (3 if photometric in (2, 8) else 1) + (alpha is not None))
    data = makers.tiff(
        stored, bits, photometric=photometric, extra=() if alpha is None else (alpha,),
        order="<" if little else ">", compression=compression, predictor=predictor,
        tile=(16, 32) if tiled else None, separate=separate, big=big, reverse=reverse,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("any") / "any.tif"
    path.write_bytes(data)
    shown = expected(stored, bits, photometric, alpha)
    if shown is None or (predictor == 2 and bits not in (8, 16)):
        with pytest.raises(InputError, match=r"any\.tif (holds|uses) .*save it"):
            read_image_file(path)
    else:
        check(path, shown)
