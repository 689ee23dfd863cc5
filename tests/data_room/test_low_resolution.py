"""LR files that lie beside HR are found, used and named, in every usual arrangement."""

import numpy as np
import pytest

from csd.data import (
    benchmark_pairs,
    cache_pairs,
    find_pairs,
    imresize_bicubic,
    load_pair,
    read_image,
    write_png,
)
from csd.errors import InputError


@pytest.fixture
def add(tmp_path, sample_image):
    """`add("Set/HR/a.png", 2)`: HR image number 2; `add("Set/LR/a.png", 2, 4)`: its LR, marked.

    The mark, inverted pixels, is what no program would make.
    """

    def write(name, number, scale=None, mark=True):
        hr = np.ascontiguousarray(sample_image[7 * number : 7 * number + 48, :48])
        if scale is None:
            write_png(tmp_path / name, hr)
            return hr
        lr = imresize_bicubic(hr, 1 / scale)
        lr = 255 - lr if mark else lr
        write_png(tmp_path / name, lr)
        return lr

    return write


def lr_of(pairs, scale):
    """What load_pair gives as LR."""
    return [load_pair(pair, scale)[1] for pair in pairs]


FOUND = {
    "LR": ("HR", "LR/{}.png"),
    "LR, x4 in the name": ("HR", "LR/{}x4.png"),
    "LR/X4": ("HR", "LR/X4/{}.png"),
    "LR/x4": ("HR", "LR/x4/{}x4.png"),
    "LR/4": ("HR", "LR/4/{}.png"),
    "LQ": ("GT", "LQ/{}.png"),
    "lower case": ("hr", "lr_bicubic/x4/{}x4.png"),
    "flat": ("HR", "LR_bicubic/{}x4.png"),
    "flat, bare": ("HR", "LR_bicubic/{}.png"),
    "LR_X4": ("HR", "LR_X4/{}.png"),
    "LR_bicubic_x4": ("HR", "LR_bicubic_x4/{}.png"),
    "BasicSR": ("GTmod12", "LRbicx4/{}.png"),
    "RCAN": ("HR", "LRBI/x4/{}_x4.png"),
    "nested": ("HR", "LR/bicubic/X4/{}x4.png"),
    "images in the set's folder": ("", "LR_bicubic/X4/{}x4.png"),
    "capital X": ("HR", "LR_bicubic/X4/{}X4.png"),
    "Flickr2K": ("Flickr2K_HR", "Flickr2K_LR_bicubic/X4/{}x4.png"),
}


@pytest.mark.parametrize("layout", FOUND)
def test_lr_that_exists_is_used(tmp_path, add, layout, caplog):
    hr, lr = FOUND[layout]
    wanted = []
    for number, name in enumerate(("a", "b")):
        add(f"Mine/{hr}/{name}.png", number)
        wanted.append(add("Mine/" + lr.format(name), number, 4))
    for pairs in (
        find_pairs(tmp_path / "Mine", 4, split="all"),
        benchmark_pairs(tmp_path, "Mine", 4),
        find_pairs(tmp_path / "Mine" / hr, 4, split="all"),
    ):
        assert [pair.name for pair in pairs] == ["a", "b"]
        np.testing.assert_array_equal(lr_of(pairs, 4), wanted)
    assert caplog.records == []
    with_made = find_pairs(tmp_path / "Mine", 4, split="all", lr="made")
    made = [imresize_bicubic(read_image(pair.hr), 1 / 4) for pair in with_made]
    np.testing.assert_array_equal(lr_of(with_made, 4), made)


def test_training_takes_the_lr_that_lies_there(tmp_path, add):
    for number in range(3):
        add(f"HR/{number}.png", number)
        add(f"LR/X2/{number}.png", number, 2)
    pairs = find_pairs(tmp_path, 2, split="all")
    cached = cache_pairs(pairs, 2, tmp_path / "cache", progress=False)
    for index, pair in enumerate(pairs):
        np.testing.assert_array_equal(cached.lr(index).transpose(1, 2, 0), read_image(pair.lr))
        assert pair.lr == tmp_path / "LR" / "X2" / f"{index}.png"


@pytest.mark.parametrize("prefix", ["DIV2K_train_", "Flickr2K_", ""])
def test_another_degradation_is_named_and_used_when_asked_for(tmp_path, add, caplog, prefix):
    names = ["0001", "0002", "0805"]
    unknown, mild = [], []
    for number, name in enumerate(names):
        add(f"{prefix}HR/{name}.png", number)
        for scale in (2, 4):
            lr = add(f"{prefix}LR_unknown/X{scale}/{name}x{scale}.png", number, scale)
        unknown.append(lr)
        mild.append(add(f"{prefix}LR_mild/{name}x4m.png", number, 4, mark=False))

    def pairs(**options):
        return [
            pair for s in ("train", "val") for pair in find_pairs(tmp_path, 4, split=s, **options)
        ]

    for _ in range(2):  # named once
        assert [pair.lr for pair in pairs()] == [None] * 3
    (record,) = caplog.records
    assert record.getMessage() == (
        f"note: {tmp_path}: LR not used: {prefix}LR_mild (used with --data.lr=mild),"
        f" {prefix}LR_unknown/X2 (scale 2), {prefix}LR_unknown/X4 (used with --data.lr=unknown);"
        " LR of scale 4 is made"
    )
    np.testing.assert_array_equal(lr_of(pairs(lr="unknown"), 4), unknown)
    np.testing.assert_array_equal(lr_of(pairs(lr="Mild"), 4), mild)
    folder = tmp_path / f"{prefix}LR_unknown"
    np.testing.assert_array_equal(lr_of(pairs(lr=str(folder)), 4), unknown)
    np.testing.assert_array_equal(lr_of(pairs(lr=str(folder / "X4")), 4), unknown)
    with pytest.raises(InputError, match=r"no LR images 'wild' of scale 4.*there are mild, unkn"):
        pairs(lr="wild")
    with pytest.raises(InputError, match=r"no LR images 'mild' of scale 2.*there are unknown"):
        find_pairs(tmp_path, 2, lr="mild")


def test_bicubic_is_used_and_the_others_are_named(tmp_path, add, caplog):
    for folder in ("LR_bicubic/X4", "LR_bicubic/X2", "LR_unknown/X4", "LR"):
        add(f"S/{folder}/a.png", 0, int(folder[-1]) if folder[-1].isdigit() else 4, mark=False)
    add("S/HR/a.png", 0)
    (pair,) = benchmark_pairs(tmp_path, "S", 4)
    assert pair.lr == tmp_path / "S" / "LR_bicubic" / "X4" / "a.png"
    assert caplog.messages == [
        f"note: {tmp_path / 'S'}: LR not used: LR (used with --data.lr={tmp_path / 'S' / 'LR'}),"
        " LR_unknown/X4 (used with --data.lr=unknown)"
    ]


@pytest.mark.parametrize("place", ["low", "LR_mild/x4w"])
def test_folders_whose_names_say_nothing_are_named(tmp_path, add, caplog, place):
    hr = [add(f"S/HR/{n}.png", n) for n in range(2)]
    lr = [add(f"S/{place}/{n}.png", n, 4) for n in range(2)]
    add("R/HR/0.png", 0)  # another set, beside the set
    made = lr_of(benchmark_pairs(tmp_path, "S", 4), 4)
    np.testing.assert_array_equal(made[0], imresize_bicubic(hr[0], 1 / 4))
    folder = tmp_path / "S" / place
    assert caplog.messages == [
        f"note: {tmp_path / 'S'}: LR not used: {place} (used with --data.lr={folder}); LR of scale "
        "4 is made"
    ]
    used = lr_of(benchmark_pairs(tmp_path, "S", 4, str(folder)), 4)
    np.testing.assert_array_equal(used, lr)


def test_folders_beside_one_of_another_name_are_not_of_it(tmp_path, add, caplog):
    add("photos/0.png", 0)
    add("low/0.png", 0, 4)
    find_pairs(tmp_path / "photos", 4, split="all")
    assert not caplog.messages


def test_lr_of_another_scale_only_is_named_and_lr_made(tmp_path, add, caplog):
    """By the folder's name, the files' names, and the sizes."""
    for name, lr in (("A", "LR/X2/{}.png"), ("B", "LR_bicubic/{}x2.png"), ("C", "LR/{}.png")):
        for number, stem in enumerate("ab"):
            add(f"{name}/HR/{stem}.png", number)
            add(f"{name}/" + lr.format(stem), number, 2)
        assert [pair.lr for pair in benchmark_pairs(tmp_path, name, 4)] == [None, None]
        wanted = [tmp_path / name / lr.format(stem) for stem in "ab"]
        assert [pair.lr for pair in benchmark_pairs(tmp_path, name, 2)] == wanted
    assert [message.split("not used: ")[1] for message in caplog.messages] == [
        "LR/X2 (scale 2); LR of scale 4 is made",
        "LR_bicubic (another scale); LR of scale 4 is made",
        "LR (another scale); LR of scale 4 is made",
    ]


def test_one_folder_of_several_scales(tmp_path, add):
    for number, stem in enumerate("ab"):
        add(f"HR/{stem}.png", number)
        for scale in (2, 3, 4):
            add(f"LR_bicubic/{stem}x{scale}.png", number, scale)
    for scale in (2, 3, 4):
        pairs = find_pairs(tmp_path, scale, split="all")
        assert [pair.lr.name for pair in pairs] == [f"{stem}x{scale}.png" for stem in "ab"]


def test_lr_in_a_folder_of_its_own_for_several_sets(tmp_path, add):
    for number, name in enumerate(("A", "B")):
        add(f"sets/{name}/HR/a.png", number)
        add(f"lr/{name}/X4/a.png", number, 4)
    for name in ("A", "B"):
        (pair,) = benchmark_pairs(tmp_path / "sets", name, 4, str(tmp_path / "lr"))
        assert pair.lr == tmp_path / "lr" / name / "X4" / "a.png"
    add("sets/A/HR/b.png", 3)
    with pytest.raises(InputError, match=r"X4 lacks bx4\.png; add them, or .*--data\.lr=made"):
        benchmark_pairs(tmp_path / "sets", "A", 4, str(tmp_path / "lr"))


def test_twins_meet_the_lr_of_their_kind(tmp_path, add):
    add("HR/a.png", 0)
    add("HR/a.bmp", 0)
    (tmp_path / "HR" / "A.png").write_bytes((tmp_path / "HR" / "a.png").read_bytes())
    for name in ("ax4.bmp", "ax4.png", "Ax4.png"):
        add(f"LR_bicubic/X4/{name}", 0, 4)
    pairs = {pair.hr.name: pair.lr.name for pair in find_pairs(tmp_path, 4, split="all")}
    assert pairs == {"A.png": "Ax4.png", "a.bmp": "ax4.bmp", "a.png": "ax4.png"}


def test_hr_and_lr_in_one_folder(tmp_path, add, caplog):
    """As the sets of SelfExSR: scores of LR, and of other methods' results, would be nonsense."""
    wanted = {}
    for number, stem in enumerate(("img_001", "img_002")):
        for scale in (2, 4):
            add(f"{stem}_SRF_{scale}_HR.png", number)
            wanted[stem, scale] = add(f"{stem}_SRF_{scale}_LR.png", number, scale)
        add(f"{stem}_SRF_4_SRCNN.png", number)
    for scale in (2, 4):
        pairs = find_pairs(tmp_path, scale, split="all")
        assert [pair.hr.name for pair in pairs] == [f"img_00{n}_SRF_{scale}_HR.png" for n in (1, 2)]
        np.testing.assert_array_equal(
            lr_of(pairs, scale), [wanted[f"img_00{n}", scale] for n in (1, 2)]
        )
    pairs = find_pairs(tmp_path, 3, split="all")
    assert [pair.hr.name for pair in pairs] == [f"img_00{n}_SRF_2_HR.png" for n in (1, 2)]
    assert [pair.lr for pair in pairs] == [None, None]
    assert "neither HR nor LR of this scale, not used: img_001_SRF_" in caplog.messages[0]


@pytest.mark.parametrize("hr, lr", [
    ("c_001_HR", "c_001_LR4"), ("c_HR", "c_LR"), ("c-GT", "c-LR"), ("c_HR", "c_LR_bicubic_x4"),
    ("0001", "0001x4"), ("c", "c_x4"), ("c", "c_LR"),
])  # fmt: skip
@pytest.mark.parametrize("folder", [".", "HR", "DIV2K_train_HR"])
def test_other_names_in_one_folder(tmp_path, add, hr, lr, folder):
    add(f"{folder}/{hr}.png", 0)
    wanted = add(f"{folder}/{lr}.png", 0, 4)
    (pair,) = find_pairs(tmp_path, 4, split="all")
    assert pair.hr.stem == hr
    np.testing.assert_array_equal(load_pair(pair, 4)[1], wanted)
    (pair,) = find_pairs(tmp_path, 2, split="all")  # it is no HR at other scales either
    assert pair.hr.stem == hr and pair.lr is None
    add(f"{folder}/other_HR.png", 2)
    with pytest.raises(InputError, match=r"lacks other_HRx4\.png; add them"):
        find_pairs(tmp_path, 4, split="all")


def test_names_that_only_look_like_lr_are_images(tmp_path, add):
    """Without an HR twin, or with another size than that of its LR."""
    for number, name in enumerate(("holiday_LR", "cat", "catx2", "a_HR_b", "matrix4")):
        add(f"{name}.png", number)
    pairs = find_pairs(tmp_path, 2, split="all")
    assert [pair.name for pair in pairs] == ["a_HR_b", "cat", "catx2", "holiday_LR", "matrix4"]
    assert [pair.lr for pair in pairs] == [None] * 5


def test_flickr2k_beside_div2k(tmp_path, add):
    """Equal numbers are not equal names."""
    div2k, flickr2k = [f"{n:04d}" for n in range(1, 12)], [f"{n:06d}" for n in range(1, 12)]
    for number, name in enumerate((*div2k, "0801", *flickr2k)):
        add(f"DIV2K_train_HR/{name}.png", number)
        add(f"DIV2K_train_LR_bicubic/X2/{name}x2.png", number, 2)
    train = find_pairs(tmp_path, 2)
    assert sorted(pair.name for pair in train) == sorted(div2k + flickr2k)
    assert [pair.lr.name for pair in train] == [f"{pair.name}x2.png" for pair in train]
    assert [pair.name for pair in find_pairs(tmp_path, 2, split="val")] == ["0801"]
    assert len(find_pairs(tmp_path, 2, split="all")) == 23


def test_cuts_of_div2k_keep_to_its_split(tmp_path, add):
    for number, name in enumerate(("0001_s001", "0801_s001", "0850_s001", "own")):
        add(f"DIV2K_train_HR/{name}.png", number)
    assert [pair.name for pair in find_pairs(tmp_path, 2)] == ["0001_s001", "own"]
    assert [pair.name for pair in find_pairs(tmp_path, 2, split="val")] == ["0801_s001"]


def test_an_image_in_both_folders_of_div2k_counts_once(tmp_path, add):
    add("DIV2K_train_HR/0801.png", 0)
    add("DIV2K_valid_HR/0801.png", 1)
    add("DIV2K_valid_HR/0802.png", 2)
    pairs = find_pairs(tmp_path, 2, split="val")
    assert [pair.hr.parent.name for pair in pairs] == ["DIV2K_train_HR", "DIV2K_valid_HR"]


def test_several_hr_folders_are_named(tmp_path, add):
    add("train_HR/a.png", 0)
    add("test_HR/a.png", 1)
    with pytest.raises(InputError, match="several HR folders: test_HR, train_HR; give one of them"):
        find_pairs(tmp_path, 2)
    assert [pair.name for pair in find_pairs(tmp_path / "test_HR", 2, split="all")] == ["a"]
