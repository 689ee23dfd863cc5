"""Strips to a file while the network runs: the same pixels, little memory, no half files."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from csd.data.decode import read_image_file
from csd.data.encode import write_image_file
from csd.data.image_file import ImageFile
from csd.errors import WorkError
from csd.inference import Engine, Upscaler, upscale, upscale_image, upscale_to_file
from csd.inference.images import upscale_plane, upscale_rows
from csd.inference.tiling import Cut, upscale_in_strips


def smooth(scale):
    """A runner whose output depends on a pixel's neighbours: the mean of three rows, repeated."""

    def run(x):
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)])
        y = (padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]) / np.float32(3)
        return y.repeat(scale, axis=2).repeat(scale, axis=3)

    return run


def upscaler(scale, **options):
    model = {"name": "edsr", "scale": scale}
    return Upscaler(Engine("openvino", smooth(scale)), model, scale, 1.0, (1.0,), **options)


@pytest.fixture
def whole():
    return np.random.default_rng(0).integers(0, 65535, (53, 38, 4), np.uint16)


def photo_of(planes, channels, dtype):
    planes = planes if dtype == np.uint16 else (planes >> 8).astype(np.uint8)
    colour = planes[:, :, 0] if channels in (1, 2) else planes[:, :, :3]
    alpha = np.ascontiguousarray(planes[:, :, 3]) if channels in (2, 4) else None
    return ImageFile(np.ascontiguousarray(colour), alpha, dpi=(300, 300))


@pytest.mark.parametrize("tile", [16, (7, 100), None])
def test_strips_are_the_rows_of_the_whole(whole, tile):
    lr = whole[:, :, :3].astype(np.uint8)
    wanted = upscale(smooth(3), lr, scale=3, tile=tile, overlap=4, dtype=np.float32)
    strips = list(upscale_in_strips(smooth(3), lr, 3, Cut(tile, 4), dtype=np.float32))
    down = tile[0] if isinstance(tile, tuple) else tile or 53
    assert [len(strip) // 3 for strip in strips] == [min(down, 53 - y) for y in range(0, 53, down)]
    np.testing.assert_array_equal(np.concatenate(strips), wanted)
    whole_at_once = upscale(smooth(3), lr, scale=3, dtype=np.float32)
    np.testing.assert_array_equal(wanted, whole_at_once)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rows_of_alpha_are_those_of_the_whole(whole, scale, dtype):
    plane = whole[:, :, 3].astype(dtype)
    wanted = upscale_plane(plane, scale)
    for top, bottom in [(0, 53), (0, 1), (1, 2), (10, 27), (50, 53), (52, 53)]:
        rows = upscale_rows(plane, scale, top, bottom)
        np.testing.assert_array_equal(rows, wanted[scale * top : scale * bottom])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm", ".bmp"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_file_in_strips_is_the_file_in_one_piece(tmp_path, whole, suffix, channels, dtype):
    photo, seen = photo_of(whole, channels, dtype), []
    in_one = upscale_image(upscaler(2, tile=0), photo)
    notes = write_image_file(tmp_path / f"one{suffix}", in_one)
    with ThreadPoolExecutor(1) as writer:
        path = tmp_path / f"strips{suffix}"
        future = upscale_to_file(upscaler(2, tile=16, overlap=3), photo, path, writer, seen.append)
        assert future.result() == notes
    assert sum(seen) == 4 * 3
    assert path.read_bytes() == (tmp_path / f"one{suffix}").read_bytes()
    assert read_image_file(path).size == (106, 76)


def test_a_graph_of_one_size_leaves_the_mirrored_part_out(tmp_path, whole):
    photo = photo_of(whole[:10, :12], 4, np.uint8)
    up = upscaler(2, size=(24, 24))
    with ThreadPoolExecutor(1) as writer:
        upscale_to_file(up, photo, tmp_path / "a.png", writer).result()
    np.testing.assert_array_equal(
        read_image_file(tmp_path / "a.png").planes(), upscale_image(up, photo).planes()
    )


def test_network_and_writer_overlap(tmp_path, whole, monkeypatch):
    """The first strip is being written while the network is at the last."""
    import csd.inference.streaming as streaming

    first_written = threading.Event()

    def slow_write(path, facts, size, strips):
        for _ in strips:
            first_written.set()
        return []

    monkeypatch.setattr(streaming, "write_strips", slow_write)
    tiles = []

    def progress(_):
        tiles.append(1)
        if len(tiles) == 4:  # one tile a strip, four strips
            assert first_written.wait(5)

    with ThreadPoolExecutor(1) as writer:
        up = upscaler(2, tile=16, overlap=3)
        photo = photo_of(whole[:, :16], 3, np.uint8)
        assert upscale_to_file(up, photo, tmp_path / "a.png", writer, progress).result() == []
    assert len(tiles) == 4


def test_a_network_that_fails_leaves_no_file(tmp_path, whole):
    calls = []

    def failing(x):
        calls.append(1)
        if len(calls) == 3:
            raise WorkError("the network failed")
        return smooth(2)(x)

    up = Upscaler(Engine("openvino", failing), {"name": "edsr", "scale": 2}, 2, 1.0, (1.0,), tile=8)
    with ThreadPoolExecutor(1) as writer, pytest.raises(WorkError, match="the network failed"):
        upscale_to_file(up, photo_of(whole, 3, np.uint8), tmp_path / "a.png", writer)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_stops_the_network(tmp_path, whole):
    calls = []
    photo = photo_of(np.tile(whole, (8, 1, 1)), 3, np.uint8)
    up = upscaler(2, tile=8)
    with ThreadPoolExecutor(1) as writer, pytest.raises(WorkError, match="cannot write"):
        upscale_to_file(up, photo, tmp_path / "none" / "a.png", writer, calls.append).result()
    assert len(calls) < up.count_tiles(*photo.size)


def test_memory_does_not_grow_with_the_output(tmp_path):
    """A tall image whose output is 96 MB goes through in a fraction of it."""
    import tracemalloc

    photo = ImageFile(np.zeros((4000, 500, 3), np.uint8))
    tracemalloc.start()
    with ThreadPoolExecutor(1) as writer:
        future = upscale_to_file(upscaler(4, tile=64), photo, tmp_path / "a.png", writer)
        assert future.result() == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
