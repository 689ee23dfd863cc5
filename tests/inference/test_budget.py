"""--budget_ms: what an image will take, which width is chosen, and the table that is kept."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from networks import upscaler_of

from csd.errors import InputError
from csd.inference import budget as module
from csd.inference.budget import Budget, measured_table, open_budget, window_sides

WIDTHS = (0.25, 0.5, 1.0)
# 1, 2 and 4 ms for a thousand pixels, nothing for the call itself.
TABLE = {
    width: [(side * side, 4.0 * width * side * side / 1000) for side in (32, 120, 240)]
    for width in WIDTHS
}


def _run(x):
    return np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)


@pytest.fixture
def upscaler():
    """One whose runner is a copy of every pixel; `at` says by its name which width it is."""

    def at(width):
        def run(x):
            return _run(x)

        run.width = width
        return run

    return upscaler_of(_run, widths=WIDTHS, at=at, tile=192)


def _choose(upscaler, milliseconds, size):
    chosen, words = Budget(upscaler, TABLE, milliseconds).choose(size)
    if chosen.width != upscaler.width:
        assert chosen.engine.run.width == chosen.width  # the engine goes with it
    return chosen.width, words


def test_the_widest_that_fits_is_taken(upscaler):
    size = (100, 100)  # one window: 10, 20 and 40 ms
    assert _choose(upscaler, 1e6, size) == (
        1.0,
        "width 1, about 40 ms of 1000000, the widest there is",
    )
    assert _choose(upscaler, 40.0, size)[0] == 1.0
    assert _choose(upscaler, 39.9, size) == (0.5, "width 0.5, about 20 ms of 39.9 (width 1: 40)")
    assert _choose(upscaler, 10.0, size) == (0.25, "width 0.25, about 10 ms of 10 (width 0.5: 20)")
    width, words = _choose(upscaler, 0.5, size)
    assert width == 0.25
    assert words == "width 0.25, about 10 ms: more than the 0.5 allowed, and the narrowest there is"


def test_every_image_is_judged_by_its_own_size(upscaler):
    assert _choose(upscaler, 50.0, (100, 100))[0] == 1.0
    assert _choose(upscaler, 50.0, (150, 160))[0] == 0.5
    assert _choose(upscaler, 50.0, (400, 150))[0] == 0.25


def test_tiles_views_and_the_attentions_copy_are_counted(upscaler):
    def estimate(size, up=upscaler, **options):
        return Budget(replace(up, **options), TABLE, 1.0).estimate(1.0, size)

    assert estimate((100, 50)) == pytest.approx(20.0)
    assert estimate((100, 50), self_ensemble=True) == pytest.approx(160.0)
    assert estimate((192, 193)) == pytest.approx(2 * 4 * 192 * 193 / 1000)  # two tiles across
    assert estimate((600, 600)) == pytest.approx(16 * 4 * 240 * 240 / 1000)
    assert estimate((600, 600), tile=1000) == pytest.approx(4 * 600 * 600 / 1000)  # one window
    attentive = replace(upscaler, whole_image=True)
    assert estimate((600, 600), attentive) == pytest.approx(17 * 4 * 240 * 240 / 1000)
    assert estimate((100, 50), attentive) == pytest.approx(20.0)
    assert estimate((3, 3)) == pytest.approx(4 * 32 * 32 / 1000)  # never less than was measured


def test_measured_windows_are_those_of_the_tile_and_bounded(upscaler):
    for tile, width, sides in (
        (192, 1.0, [32, 120, 240]),
        (16, 1.0, [32, 64]),
        (100_000, 1.0, [32, 120, 240]),
        (0, 1.0, [32, 120, 240]),
        (None, 1.0, [32, 120, 240]),
        (None, 0.25, [32, 240, 480]),
        (192, 0.25, [32, 120, 240]),
    ):
        assert window_sides(replace(upscaler, tile=tile), width) == sides


@pytest.fixture
def measure(upscaler, tmp_path, monkeypatch, caplog):
    """Function: `measured_table` of a file; (table, whether it measured, what it logged)."""
    caplog.set_level("INFO", "csd")
    ckpt = tmp_path / "best.ckpt"
    ckpt.write_bytes(b"weights")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(**options):
        measured = []
        caplog.clear()
        original = module._measure

        def spy(*args):
            measured.append(args)
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(module, "_measure", spy)
            up = replace(upscaler, tile=options.pop("tile", 16))
            arguments = {"device": "CPU", "cache_dir": tmp_path / "cache", **options}
            table = measured_table(ckpt, up, **arguments)
        return table, len(measured) > 0, caplog.messages

    call.ckpt, call.cache = ckpt, tmp_path / "cache" / "speed"
    return call


def test_it_is_measured_once_and_kept(measure):
    first, measured, said = measure()
    assert measured and "measured now" in said[0] and "width 0.5 (64x64 pixels)" in said[0]
    assert sorted(first) == [0.25, 0.5, 1.0]
    for points in first.values():
        assert [pixels for pixels, _ in points] == [32 * 32, 64 * 64]
        assert all(ms > 0 for _, ms in points)
    second, measured, said = measure()
    assert second == first and not measured and "measured earlier" in said[0]
    assert len(list(measure.cache.iterdir())) == 1


@pytest.mark.parametrize("what", ["checkpoint", "device", "tile", "threads"])
def test_what_decides_the_speed_is_the_key(measure, monkeypatch, what):
    measure()
    options = {"device": {"device": "GPU"}, "tile": {"tile": 64}}.get(what, {})
    if what == "checkpoint":
        measure.ckpt.write_bytes(b"other weights")
    if what == "threads":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert measure(**options)[1]
    assert len(list(measure.cache.iterdir())) == 2


def _zero_a_time(content):
    content["widths"][0]["points"][0][1] = 0.0


def _lose_a_width(content):
    del content["widths"][1]


def _other_sizes(content):
    content["widths"][0]["points"][0][0] = 99


def _other_key(content):
    content["key"]["checkpoint"] = "0" * 64


def _no_points(content):
    content["widths"][0] = None


def _a_number_of_many_digits(content):
    content["widths"][0]["points"][0][1] = 10**400


@pytest.mark.parametrize(
    "spoil",
    [None, "", "[]", "[" * 100_000, "pipe", _zero_a_time, _lose_a_width, _other_sizes, _other_key,
     _no_points, _a_number_of_many_digits],
    ids=lambda spoil: getattr(spoil, "__name__", repr(spoil)[:9]),
)  # fmt: skip
def test_a_damaged_table_is_measured_again(measure, spoil):
    measure()
    (file,) = measure.cache.iterdir()
    if spoil is None:
        file.write_bytes(file.read_bytes()[:50] + b"\xff")
    elif spoil == "pipe":
        file.unlink()
        os.mkfifo(file)
    elif isinstance(spoil, str):
        file.write_text(spoil)
    else:
        content = json.loads(file.read_text())
        spoil(content)
        file.write_text(json.dumps(content))
    table, measured, _ = measure()
    assert measured and sorted(table) == [0.25, 0.5, 1.0]
    assert not measure()[1]  # and it is whole again


def test_a_cache_that_cannot_be_written_is_named(measure, tmp_path):
    (tmp_path / "file").touch()
    table, measured, said = measure(cache_dir=tmp_path / "file")
    assert measured and len(table) == 3
    assert "cannot write" in said[1] and "the next run measures again" in said[1]


def test_an_exported_file_has_no_widths_to_choose_from(upscaler):
    with pytest.raises(InputError, match=r"x\.mindir was exported at one width; --budget_ms"):
        open_budget("x.mindir", replace(upscaler, at=None), 5.0)
