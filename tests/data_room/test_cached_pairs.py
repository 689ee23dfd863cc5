"""Cached pairs: right pixels, decoded once, refreshed, repaired, never half written."""

import mmap
import os
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csd.data import cache_pairs, cached_pairs, find_pairs, load_pair, read_image, write_png
from csd.errors import InputError, WorkError


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in any order."""
    names = []

    def counting(path):
        names.append(path.name)
        return read_image(path)

    monkeypatch.setattr(cached_pairs, "read_image", counting)
    return names


@pytest.fixture
def photos(tmp_path, make_photos):
    return make_photos(tmp_path / "photos", [f"{n}.png" for n in range(6)], size=(50, 41))


def open_all(photos, tmp_path, scale=4, **more):
    pairs = find_pairs(photos, scale, split="all")
    return cache_pairs(pairs, scale, tmp_path / "cache", role="train", progress=False, **more)


def cache_files(tmp_path):
    """The files of the cache."""
    return sorted((tmp_path / "cache" / "images").glob("*.npy"))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_holds_what_load_pair_reads(photos, tmp_path, scale):
    cached = open_all(photos, tmp_path, scale)
    assert len(cached) == 6 and cached.names[0] == "0"
    for index, pair in enumerate(find_pairs(photos, scale, split="all")):
        hr, lr = load_pair(pair, scale)
        np.testing.assert_array_equal(cached.hr(index), hr.transpose(2, 0, 1))
        np.testing.assert_array_equal(cached.lr(index), lr.transpose(2, 0, 1))
        assert tuple(cached.sizes[index]) == lr.shape[:2]


def test_lr_files_are_read_where_they_exist(tmp_path, reference):
    pairs = find_pairs(reference / "benchmark" / "Set5", 4, split="all")
    cached = cache_pairs(pairs, 4, tmp_path / "cache", progress=False)
    np.testing.assert_array_equal(cached.lr(1), read_image(pairs[1].lr).transpose(2, 0, 1))


def test_decodes_once_and_hr_serves_every_scale(photos, tmp_path, decoded):
    open_all(photos, tmp_path, 4)
    assert sorted(decoded) == [f"{n}.png" for n in range(6)]
    decoded.clear()
    open_all(photos, tmp_path, 4)
    open_all(photos, tmp_path, 2)
    assert decoded == []
    assert len(cache_files(tmp_path)) == 18  # HR, LR x4, LR x2


def test_changed_added_and_removed_sources_refresh(photos, tmp_path, decoded, sample_image):
    open_all(photos, tmp_path)
    decoded.clear()
    new = np.ascontiguousarray(sample_image[100:164, 30:90])
    write_png(photos / "3.png", new)
    write_png(photos / "9.png", new)
    (photos / "0.png").unlink()
    cached = open_all(photos, tmp_path)
    assert sorted(decoded) == ["3.png", "9.png"]
    assert cached.names == ["1", "2", "3", "4", "5", "9"]
    np.testing.assert_array_equal(cached.hr(2), new.transpose(2, 0, 1))
    expected = load_pair(find_pairs(photos, 4, split="all")[0], 4)[1]
    np.testing.assert_array_equal(cached.lr(0), expected.transpose(2, 0, 1))
    assert len(cache_files(tmp_path)) == 16  # the old pixels are there for runs that use them


def test_what_nobody_has_opened_for_a_month_goes(photos, tmp_path):
    open_all(photos, tmp_path)
    before = set(cache_files(tmp_path))
    for file in before:
        os.utime(file, (0, 0))
    Image.new("RGB", (64, 64)).save(photos / "0.png")
    open_all(photos, tmp_path)
    assert len(before - set(cache_files(tmp_path))) == 2  # HR and LR of the image as it was
    assert len(cache_files(tmp_path)) == 12


def test_open_cache_survives_a_refresh(photos, tmp_path, sample_image):
    old = open_all(photos, tmp_path)
    before = old.hr(0)
    write_png(photos / "0.png", np.ascontiguousarray(sample_image[:60, :60]))
    open_all(photos, tmp_path)
    np.testing.assert_array_equal(old.hr(0), before)


@pytest.mark.parametrize(
    "damage", ["cut", "longer", "zeros", "empty", "gone", "pipe", "not planes"]
)
def test_damaged_cache_is_made_anew(photos, tmp_path, decoded, damage):
    expected = open_all(photos, tmp_path).hr(5)
    decoded.clear()
    for file in cache_files(tmp_path):
        data = file.read_bytes()
        if damage == "cut":
            file.write_bytes(data[:-1])
        elif damage == "longer":
            file.write_bytes(data + b"x")
        elif damage == "zeros":
            file.write_bytes(bytes(len(data)))
        elif damage == "empty":
            file.write_bytes(b"")
        elif damage in ("gone", "pipe"):
            file.unlink()
            if damage == "pipe":
                os.mkfifo(file)
        else:
            np.save(file, np.zeros((4, 8), np.float32))
    np.testing.assert_array_equal(open_all(photos, tmp_path).hr(5), expected)
    assert len(decoded) == 6 and len(cache_files(tmp_path)) == 12


@pytest.mark.parametrize("damage", ["cut", "gone", "pipe", "folder gone"])
def test_a_file_that_is_cut_under_an_open_cache(photos, tmp_path, caplog, damage):
    """To touch a mapped page behind the end of a file would kill the process."""
    cached = open_all(photos, tmp_path)
    expected = [(cached.lr(n), cached.hr(n)) for n in range(6)]
    for file in cache_files(tmp_path):
        if damage == "cut":
            os.truncate(file, 200)
        elif damage in ("gone", "pipe"):
            file.unlink()
            if damage == "pipe":
                os.mkfifo(file)
    if damage == "folder gone":
        shutil.rmtree(tmp_path / "cache")
    for number, (lr, hr) in enumerate(expected):
        np.testing.assert_array_equal(cached.lr(number), lr)
        np.testing.assert_array_equal(cached.hr(number), hr)
    assert sum("which is read anew" in message for message in caplog.messages) == 12


def test_the_format_of_earlier_versions_is_removed(photos, tmp_path):
    folder = tmp_path / "cache" / "images"
    folder.mkdir(parents=True)
    stem = "lr-train-x4-0123456789abcdef"
    old = [folder / f"{stem}{end}" for end in ("-0123456789ab.u8", ".json", ".lock")]
    mine = folder / f"{stem}-backup.u8"
    for file in (*old, mine):
        file.write_bytes(b"old")
    open_all(photos, tmp_path)
    assert not any(file.exists() for file in old) and mine.read_bytes() == b"old"


def _flip(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_one_bit_anywhere_is_found_and_put_right(photos, tmp_path, caplog):
    """Also in the middle of an image, and between two openings of the same cache."""
    whole = open_all(photos, tmp_path)
    expected = [(whole.lr(n), whole.hr(n)) for n in range(6)]
    original = [file.read_bytes() for file in cache_files(tmp_path)]
    rng = np.random.default_rng(0)
    for number, (file, data) in enumerate(zip(cache_files(tmp_path), original, strict=True)):
        place = number if number < 2 else int(rng.integers(0, len(data)))
        cached = open_all(photos, tmp_path)
        _flip(file, place)
        caplog.clear()
        for index, (lr, hr) in enumerate(expected):
            np.testing.assert_array_equal(cached.lr(index), lr)
            np.testing.assert_array_equal(cached.crops(index, 1, 2, 8)[1], hr[:, 4:36, 8:40])
        (said,) = caplog.messages
        assert re.search(rf"image cache .*{file.name} is damaged at .*\d\.png, which is", said)
        assert file.read_bytes() == data


def test_damage_without_a_source_is_one_sentence(photos, tmp_path):
    open_all(photos, tmp_path)
    cached = open_all(photos, tmp_path)
    for file in cache_files(tmp_path):
        _flip(file, 200)
    (photos / "0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png"):
        cached.hr(0)
    Image.new("RGB", (64, 64)).save(photos / "0.png")
    with pytest.raises(WorkError, match=r"damaged at .*0\.png and cannot be .* another one now"):
        cached.hr(0)


def test_files_of_the_user_in_the_cache_stay(photos, tmp_path):
    open_all(photos, tmp_path)
    file = cache_files(tmp_path)[0]
    mine = [file.with_name(f"{file.stem}-backup.npy"), file.with_name(".mine.1.tmp")]
    for path in mine:
        path.write_bytes(b"mine")
    Image.new("RGB", (64, 64)).save(photos / "0.png")
    open_all(photos, tmp_path)
    assert all(path.read_bytes() == b"mine" for path in mine)


def test_several_openers_decode_once(photos, tmp_path, decoded):
    opened = []
    openers = [
        threading.Thread(target=lambda: opened.append(open_all(photos, tmp_path))) for _ in range(4)
    ]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert len(opened) == 4 and len(decoded) == 6


def test_damaged_image_is_named_and_leaves_nothing_half_written(photos, tmp_path):
    data = (photos / "4.png").read_bytes()
    (photos / "4.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"4\.png cannot be read as an image"):
        open_all(photos, tmp_path)
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    (photos / "4.png").write_bytes(data)
    assert len(open_all(photos, tmp_path)) == 6


def test_leftovers_of_a_killed_process_are_removed(photos, tmp_path):
    open_all(photos, tmp_path)
    file = cache_files(tmp_path)[0]
    leftovers = [
        file.with_name(f".{stem}.123.tmp") for stem in (file.stem, file.stem.rpartition("-")[0])
    ]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    Image.new("RGB", (64, 64)).save(photos / "0.png")
    open_all(photos, tmp_path)
    assert not any(leftover.exists() for leftover in leftovers)


def test_one_image_named_twice_is_decoded_once(photos, tmp_path, decoded):
    pairs = find_pairs(photos, 4, split="all")[:1] * 3
    cached = cache_pairs(pairs, 4, tmp_path / "cache", progress=False)
    assert decoded == ["0.png"]
    np.testing.assert_array_equal(cached.hr(0), cached.hr(2))


def test_image_below_the_patch_is_refused_before_decoding(photos, tmp_path, decoded):
    with pytest.raises(InputError, match="smaller than the HR patch of 64"):
        open_all(photos, tmp_path, lr_patch=16)
    assert decoded == []


def test_no_pairs_and_unwritable_cache(photos, tmp_path):
    with pytest.raises(InputError, match="no images"):
        cache_pairs([], 4, tmp_path)
    (tmp_path / "file").write_text("")
    pairs = find_pairs(photos, 4)
    with pytest.raises(WorkError, match=r"cannot be written.*cache_dir"):
        cache_pairs(pairs, 4, tmp_path / "file", progress=False)


def test_crops_of_a_wide_image_are_exact(tmp_path, make_photos):
    make_photos(tmp_path / "wide", ["a.png"], size=(64, 200))
    wide = np.hstack([read_image(tmp_path / "wide" / "a.png")] * 4)[:, :777]
    write_png(tmp_path / "wide" / "a.png", wide)
    cached = cache_pairs(find_pairs(tmp_path / "wide", 2, split="all"), 2, tmp_path, progress=False)
    np.testing.assert_array_equal(cached.hr(0), wide[:, :776].transpose(2, 0, 1))
    for left in (0, 100, 127, 128, 200, 356):
        lr, hr = cached.crops(0, 3, left, 29)
        np.testing.assert_array_equal(hr, wide[6:64, 2 * left : 2 * left + 58].transpose(2, 0, 1))
        np.testing.assert_array_equal(lr, cached.lr(0)[:, 3:32, left : left + 29])


def test_memory_is_given_back_with_the_crop(tmp_path, sample_image):
    large = np.tile(sample_image, (6, 6, 1))[:2000, :1300]  # 8 MiB of HR pixels
    (tmp_path / "photos").mkdir()
    write_png(tmp_path / "photos" / "a.png", large)
    pairs = find_pairs(tmp_path / "photos", 2, split="all")
    for _ in range(2):  # the second finds the first one's files, and has not looked at them
        cached = cache_pairs(pairs, 2, tmp_path / "cache", progress=False)

    def mapped():
        return int(Path("/proc/self/statm").read_text().split()[2]) * mmap.PAGESIZE

    start = mapped()
    crops = cached.crops(0, 0, 0, 600)  # the digest is checked, so every page is touched
    assert mapped() - start > 6 << 20
    del crops
    assert mapped() - start < 1 << 20


def test_cache_folder_defaults_to_xdg(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cache_pairs(find_pairs(photos, 4), 4, progress=False)
    assert list((tmp_path / "xdg" / "csd" / "images").glob("*.npy"))
