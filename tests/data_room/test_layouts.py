"""The three disk layouts, their splits, and what is said when something is missing."""

import numpy as np
import pytest

from csd.data import (
    Pair,
    benchmark_pairs,
    check_pair,
    detect_layout,
    find_pairs,
    imresize_bicubic,
    load_pair,
    read_image,
    write_png,
)
from csd.errors import InputError


def stems(pairs):
    return [pair.hr.stem for pair in pairs]


def add_lr(hr_folder, lr_folder, scale, suffix=None):
    for path in sorted(hr_folder.iterdir()):
        name = path.stem + (f"x{scale}" if suffix is None else suffix)
        lr = imresize_bicubic(read_image(path), 1 / scale)
        write_png(lr_folder / f"{name}.png", lr)


def test_plain_folder_last_tenth_validates(tmp_path, make_photos):
    make_photos(tmp_path, [f"{n:02d}.png" for n in range(25)])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._00.png").write_text("no image either")
    train, val = (find_pairs(tmp_path, 4, split=s) for s in ("train", "val"))
    assert stems(train) == [f"{n:02d}" for n in range(23)] and stems(val) == ["23", "24"]
    assert all(pair.lr is None for pair in train)
    assert len(find_pairs(tmp_path, 4, split="all")) == 25


def test_folder_with_hr_inside_and_two_images(tmp_path, make_photos):
    make_photos(tmp_path / "HR", ["a.JPG", "b.png"])
    assert stems(find_pairs(tmp_path, 2)) == ["a"]
    assert stems(find_pairs(tmp_path, 2, split="val")) == ["b"]


def test_same_stem_twice_keeps_names_apart(tmp_path, make_photos):
    make_photos(tmp_path, ["a.jpg", "a.png", "b.png"])
    assert [p.name for p in find_pairs(tmp_path, 2, split="all")] == ["a.jpg", "a.png", "b"]


def test_val_dir_validates_and_training_keeps_all(tmp_path, make_photos):
    make_photos(tmp_path / "t", ["a.png", "b.png"])
    make_photos(tmp_path / "v", ["c.png"])
    assert stems(find_pairs(tmp_path / "t", 2, val_dir=tmp_path / "v")) == ["a", "b"]
    assert stems(find_pairs(tmp_path / "t", 2, split="val", val_dir=tmp_path / "v")) == ["c"]


def test_div2k_in_train_and_valid_folders(tmp_path, make_photos):
    make_photos(tmp_path / "DIV2K_train_HR", ["0001.png", "0800.png"])
    make_photos(tmp_path / "DIV2K_valid_HR", ["0801.png", "0810.png", "0811.png"])
    for part in ("train", "valid"):
        lr = tmp_path / f"DIV2K_{part}_LR_bicubic" / "X4"
        add_lr(tmp_path / f"DIV2K_{part}_HR", lr, 4)
    assert detect_layout(tmp_path) == "div2k"
    train, val = (find_pairs(tmp_path, 4, split=s) for s in ("train", "val"))
    assert stems(train) == ["0001", "0800"] and stems(val) == ["0801", "0810"]
    assert [p.lr.name for p in train + val] == [f"{n}x4.png" for n in stems(train + val)]


def test_div2k_all_in_the_train_folder(tmp_path, make_photos):
    root = tmp_path / "DIV2K"
    make_photos(root / "DIV2K_train_HR", ["0001.png", "0002.png", "0805.png", "0900.png"])
    add_lr(root / "DIV2K_train_HR", root / "DIV2K_train_LR_bicubic" / "X2", 2)
    assert stems(find_pairs(tmp_path, 2, "div2k")) == ["0001", "0002"]
    val = find_pairs(tmp_path, 2, split="val")
    assert stems(val) == ["0805"] and val[0].lr.name == "0805x2.png"


def test_div2k_without_validation_images(tmp_path, make_photos):
    make_photos(tmp_path / "DIV2K_train_HR", ["0001.png"])
    assert find_pairs(tmp_path, 4)[0].lr is None
    with pytest.raises(InputError, match=r"no DIV2K image numbered 0801 to 0810.*val_dir"):
        find_pairs(tmp_path, 4, split="val")


def test_missing_lr_files_are_named(tmp_path, make_photos):
    make_photos(tmp_path / "HR", [f"{n}.png" for n in "abcdefgh"])
    add_lr(tmp_path / "HR", tmp_path / "LR_bicubic" / "X4", 4)
    for name in "bcdefgh":
        (tmp_path / "LR_bicubic" / "X4" / f"{name}x4.png").unlink()
    with pytest.raises(InputError, match=r"lacks bx4\.png, .* and 2 more; add them"):
        find_pairs(tmp_path, 4)


def test_benchmark_sets_are_found_everywhere(tmp_path, make_photos, reference):
    make_photos(tmp_path / "benchmark" / "Urban" / "HR", ["a.png"])
    make_photos(tmp_path / "Mine", ["m.png", "n.png"])
    assert stems(benchmark_pairs(tmp_path, "Urban", 4)) == ["a"]
    assert stems(benchmark_pairs(tmp_path, "Mine", 4)) == ["m", "n"]
    path = str(tmp_path / "benchmark" / "Urban")
    assert stems(benchmark_pairs(reference, path, 4)) == ["a"]
    with pytest.raises(InputError, match=r"no set 'Set9' .* sets there: Urban"):
        benchmark_pairs(tmp_path, "Set9", 4)
    with pytest.raises(InputError, match=r"data_dir .* does not exist"):
        benchmark_pairs(tmp_path / "gone", "Set5", 4)
    for number in range(20):
        make_photos(tmp_path / f"A{number:02d}" / "HR", ["a.png"])
    with pytest.raises(InputError, match=r"sets there: A00, .*A07, and 13 more$"):
        benchmark_pairs(tmp_path, "Set9", 4)


def test_benchmark_layout_trains_too(tmp_path, make_photos):
    for name in ("A", "B"):
        make_photos(tmp_path / name / "HR", ["1.png", "2.png"])
    add_lr(tmp_path / "A" / "HR", tmp_path / "A" / "LR_bicubic" / "X2", 2, suffix="")
    pairs = find_pairs(tmp_path, 2, split="all")
    assert [p.name for p in pairs] == ["A/1", "A/2", "B/1", "B/2"]
    assert [p.lr is not None for p in pairs] == [True, True, False, False]


def test_wrong_places_are_explained(tmp_path, make_photos):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    make_photos(tmp_path / "one", ["a.png"])
    for folder, layout, split, sentence in (
        ("gone", "auto", "train", "data_dir .*gone does not exist"),
        ("file", "auto", "train", "is a file; give the folder"),
        ("empty", "auto", "train", "no images in .*empty"),
        ("empty", "div2k", "train", "has no folder DIV2K_train_HR"),
        ("empty", "benchmark", "train", "no images in .*HR"),
        ("empty", "tree", "train", "layout 'tree' is unknown; choose one of auto"),
        ("one", "auto", "train", "holds one image.*val_dir"),
    ):
        with pytest.raises(InputError, match=sentence):
            find_pairs(tmp_path / folder, 4, layout, split)


def test_pair_is_cropped_to_the_lr_image(tmp_path, sample_image):
    hr = sample_image[:51, :47]
    write_png(tmp_path / "hr.png", hr)
    write_png(tmp_path / "lr.png", imresize_bicubic(hr[:48, :44], 1 / 4))
    got, lr = load_pair(Pair("a", tmp_path / "hr.png", tmp_path / "lr.png"), 4)
    np.testing.assert_array_equal(got, hr[:48, :44])
    assert lr.shape == (12, 11, 3)
    got, made = load_pair(Pair("a", tmp_path / "hr.png"), 4)
    np.testing.assert_array_equal(got, hr[:48, :44])
    np.testing.assert_array_equal(made, lr)


@pytest.mark.parametrize("wrong", [2, 3])
def test_lr_of_another_scale_is_refused(reference, wrong):
    pair = benchmark_pairs(reference, "Set5", 4)[0]
    with pytest.raises(InputError, match=f"does not fit .* at scale {wrong}; check the scale"):
        load_pair(pair, wrong)
    with pytest.raises(InputError, match=f"does not fit .* at scale {wrong}"):
        check_pair(pair, wrong)


def test_image_smaller_than_the_patch_is_named(tmp_path, make_photos):
    make_photos(tmp_path, ["a.png"], size=(60, 100))
    pair = Pair("a", tmp_path / "a.png")
    assert check_pair(pair, 4, lr_patch=15) == (15, 25)
    with pytest.raises(InputError, match=r"a\.png \(100x60\) is smaller than the HR patch of 64"):
        check_pair(pair, 4, lr_patch=16)


def test_every_format_counts_and_the_rest_is_named_once(tmp_path, make_photos, caplog):
    """One list of formats for all programs; what is not on it is counted in one line."""
    make_photos(tmp_path, ["a.jfif", "b.avif", "c.jp2", "d.tga", "e.JPE", "f.png"])
    for name in ("x.psd", "y.psd", "z.xcf"):
        (tmp_path / name).touch()
    for split in ("all", "train", "val"):
        find_pairs(tmp_path, 2, split=split)
    assert stems(find_pairs(tmp_path, 2, split="all")) == list("abcdef")
    assert [r.getMessage() for r in caplog.records] == [
        f"note: {tmp_path}: not read: 2 .psd, 1 .xcf"
    ]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.xcf").touch()
    with pytest.raises(InputError, match=r"no images in .* \(not read: 1 \.xcf\)"):
        find_pairs(tmp_path / "other", 2)


def test_unread_beside_lr(tmp_path, make_photos, caplog):
    make_photos(tmp_path / "HR", ["a.png"])
    add_lr(tmp_path / "HR", tmp_path / "LR_bicubic" / "X2", 2)
    (tmp_path / "LR_bicubic" / "X2" / "a.psd").touch()
    assert len(find_pairs(tmp_path, 2, split="all")) == 1
    assert "X2: not read: 1 .psd" in caplog.text
