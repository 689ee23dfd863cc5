"""The decoded store: right pixels, decoded once, refreshed, repaired, never half written."""

import json
import re
import threading

import numpy as np
import pytest
from PIL import Image

import csd.data.store as store_module
from csd.data import find_pairs, load_pair, open_store, read_image, write_png
from csd.errors import InputError, WorkError


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in any order."""
    names = []

    def counting(path):
        names.append(path.name)
        return read_image(path)

    monkeypatch.setattr(store_module, "read_image", counting)
    return names


@pytest.fixture
def photos(tmp_path, make_photos):
    return make_photos(tmp_path / "photos", [f"{n}.png" for n in range(6)], size=(50, 41))


def open_all(photos, tmp_path, scale=4, **more):
    pairs = find_pairs(photos, scale, split="all")
    return open_store(pairs, scale, tmp_path / "cache", role="train", progress=False, **more)


def packs(tmp_path):
    return sorted((tmp_path / "cache" / "images").glob("*.u8"))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_holds_what_load_pair_reads(photos, tmp_path, scale):
    store = open_all(photos, tmp_path, scale)
    assert len(store) == 6 and store.names[0] == "0"
    for index, pair in enumerate(find_pairs(photos, scale, split="all")):
        hr, lr = load_pair(pair, scale)
        np.testing.assert_array_equal(store.hr(index), hr.transpose(2, 0, 1))
        np.testing.assert_array_equal(store.lr(index), lr.transpose(2, 0, 1))
        assert tuple(store.sizes[index]) == lr.shape[:2]


def test_lr_files_are_read_where_they_exist(tmp_path, reference):
    pairs = find_pairs(reference / "benchmark" / "Set5", 4, split="all")
    store = open_store(pairs, 4, tmp_path / "cache", progress=False)
    np.testing.assert_array_equal(store.lr(1), read_image(pairs[1].lr).transpose(2, 0, 1))


def test_decodes_once_and_hr_serves_every_scale(photos, tmp_path, decoded):
    open_all(photos, tmp_path, 4)
    assert sorted(decoded) == [f"{n}.png" for n in range(6)]
    decoded.clear()
    open_all(photos, tmp_path, 4)
    open_all(photos, tmp_path, 2)
    assert decoded == []
    assert len(packs(tmp_path)) == 3  # HR, LR x4, LR x2


def test_changed_added_and_removed_sources_refresh(photos, tmp_path, decoded, picture):
    open_all(photos, tmp_path)
    decoded.clear()
    new = np.ascontiguousarray(picture[100:164, 30:90])
    write_png(photos / "3.png", new)
    write_png(photos / "9.png", new)
    (photos / "0.png").unlink()
    store = open_all(photos, tmp_path)
    assert sorted(decoded) == ["3.png", "9.png"]
    assert store.names == ["1", "2", "3", "4", "5", "9"]
    np.testing.assert_array_equal(store.hr(2), new.transpose(2, 0, 1))
    expected = load_pair(find_pairs(photos, 4, split="all")[0], 4)[1]
    np.testing.assert_array_equal(store.lr(0), expected.transpose(2, 0, 1))
    assert len(packs(tmp_path)) == 2  # the old pixels are gone


def test_open_store_survives_a_refresh(photos, tmp_path, picture):
    old = open_all(photos, tmp_path)
    before = old.hr(0)
    write_png(photos / "0.png", np.ascontiguousarray(picture[:60, :60]))
    open_all(photos, tmp_path)
    np.testing.assert_array_equal(old.hr(0), before)


@pytest.mark.parametrize(
    "damage", ["cut", "overwritten", "index", "entry", "no_pixels", "other_version"]
)
def test_damaged_cache_is_rebuilt(photos, tmp_path, damage):
    expected = open_all(photos, tmp_path).hr(5)
    pixels = packs(tmp_path)[0]
    index = next(pixels.parent.glob("hr-*.json"))
    if damage == "cut":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "overwritten":
        pixels.write_bytes(bytes(pixels.stat().st_size))
    elif damage == "index":
        index.write_text('{"version": 1, "file"')
    elif damage == "entry":
        first, second = (
            f'"offset": {image["offset"]}' for image in json.loads(index.read_text())["images"][:2]
        )
        index.write_text(index.read_text().replace(second, first))
    elif damage == "no_pixels":
        pixels.unlink()
    else:
        index.write_text(index.read_text().replace('"version": 2', '"version": 1'))
    np.testing.assert_array_equal(open_all(photos, tmp_path).hr(5), expected)


def _flip(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_one_bit_anywhere_is_found_and_put_right(photos, tmp_path, caplog):
    """Also in the middle of an image, and between two openings of an open store."""
    whole = open_all(photos, tmp_path)
    expected = [(whole.lr(n), whole.hr(n)) for n in range(6)]
    original = [pack.read_bytes() for pack in packs(tmp_path)]
    rng = np.random.default_rng(0)
    for pack, data in zip(packs(tmp_path), original, strict=True):
        for place in rng.integers(0, len(data), 5).tolist():
            store = open_all(photos, tmp_path)
            _flip(pack, place)
            caplog.clear()
            for number, (lr, hr) in enumerate(expected):
                np.testing.assert_array_equal(store.lr(number), lr)
                np.testing.assert_array_equal(store.crops(number, 1, 2, 8)[1], hr[:, 4:36, 8:40])
            (said,) = caplog.messages
            assert re.search(rf"image cache .*{pack.name} is damaged at .*\d\.png, which is", said)
            assert pack.read_bytes() == data


def test_damaged_images_are_not_carried_over_into_a_refreshed_pack(photos, tmp_path, picture):
    expected = open_all(photos, tmp_path).hr(5)
    for pack in packs(tmp_path):
        _flip(pack, pack.stat().st_size - 1000)
    write_png(photos / "9.png", np.ascontiguousarray(picture[100:164, 30:90]))
    np.testing.assert_array_equal(open_all(photos, tmp_path).hr(5), expected)


def test_damage_without_a_source_is_one_sentence(photos, tmp_path):
    open_all(photos, tmp_path)
    store = open_all(photos, tmp_path)
    for pack in packs(tmp_path):
        _flip(pack, 1000)
    (photos / "0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png"):
        store.hr(0)
    Image.new("RGB", (64, 64)).save(photos / "0.png")
    with pytest.raises(WorkError, match=r"damaged at .*0\.png and cannot be .* another size"):
        store.hr(0)


def test_a_file_of_the_user_beside_a_pack_stays(photos, tmp_path):
    open_all(photos, tmp_path)
    pack = packs(tmp_path)[0]
    mine = pack.with_name(pack.name.rsplit("-", 1)[0] + "-backup.u8")
    mine.write_bytes(b"mine")
    Image.new("RGB", (64, 64)).save(photos / "0.png")
    open_all(photos, tmp_path)
    assert mine.read_bytes() == b"mine" and len(packs(tmp_path)) == 3


def test_several_openers_decode_once(photos, tmp_path, decoded):
    stores = []
    openers = [
        threading.Thread(target=lambda: stores.append(open_all(photos, tmp_path))) for _ in range(4)
    ]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert len(stores) == 4 and len(decoded) == 6


def test_damaged_photograph_is_named_and_leaves_no_pack(photos, tmp_path):
    data = (photos / "4.png").read_bytes()
    (photos / "4.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"4\.png cannot be read as an image"):
        open_all(photos, tmp_path)
    assert packs(tmp_path) == []
    (photos / "4.png").write_bytes(data)
    assert len(open_all(photos, tmp_path)) == 6


def test_leftovers_of_a_killed_process_are_removed(photos, tmp_path):
    open_all(photos, tmp_path)
    keep = packs(tmp_path)
    leftover = keep[0].with_name(keep[0].name.rsplit("-", 1)[0] + "-000000000000.u8")
    leftover.write_bytes(b"half")
    Image.new("RGB", (64, 64)).save(photos / "0.png")
    open_all(photos, tmp_path)
    assert len(packs(tmp_path)) == 2 and not leftover.exists()


def test_small_picture_is_refused_before_decoding(photos, tmp_path, decoded):
    with pytest.raises(InputError, match="smaller than the HR patch of 64"):
        open_all(photos, tmp_path, lr_patch=16)
    assert decoded == []


def test_no_pairs_and_unwritable_cache(photos, tmp_path):
    with pytest.raises(InputError, match="no photographs"):
        open_store([], 4, tmp_path)
    (tmp_path / "file").write_text("")
    pairs = find_pairs(photos, 4)
    with pytest.raises(WorkError, match=r"cannot be written.*cache_dir"):
        open_store(pairs, 4, tmp_path / "file", progress=False)


def test_crops_across_strips_are_exact(tmp_path, make_photos):
    make_photos(tmp_path / "wide", ["a.png"], size=(64, 200))
    wide = np.hstack([read_image(tmp_path / "wide" / "a.png")] * 4)[:, :777]
    write_png(tmp_path / "wide" / "a.png", wide)
    store = open_store(find_pairs(tmp_path / "wide", 2, split="all"), 2, tmp_path, progress=False)
    np.testing.assert_array_equal(store.hr(0), wide[:, :776].transpose(2, 0, 1))
    for left in (0, 100, 127, 128, 200, 356):
        lr, hr = store.crops(0, 3, left, 29)
        np.testing.assert_array_equal(hr, wide[6:64, 2 * left : 2 * left + 58].transpose(2, 0, 1))
        np.testing.assert_array_equal(lr, store.lr(0)[:, 3:32, left : left + 29])


def test_memory_is_given_back_and_pixels_stay(tmp_path, picture, monkeypatch):
    large = np.tile(picture, (6, 6, 1))[:2000, :1300]  # 9 MiB of HR pixels
    (tmp_path / "photos").mkdir()
    write_png(tmp_path / "photos" / "a.png", large)
    pairs = find_pairs(tmp_path / "photos", 2, split="all")
    store = open_store(pairs, 2, tmp_path / "cache", progress=False)
    monkeypatch.setattr(store_module, "RESIDENT_BYTES", 4 << 20)
    start = store_module._mapped_bytes()
    store.hr(0)
    assert store_module._mapped_bytes() - start > 6 << 20
    store.trim()
    assert store_module._mapped_bytes() - start < 1 << 20
    np.testing.assert_array_equal(store.hr(0), large.transpose(2, 0, 1))


def test_cache_folder_defaults_to_xdg(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    open_store(find_pairs(photos, 4), 4, progress=False)
    assert list((tmp_path / "xdg" / "csd" / "images").glob("hr-*.u8"))
