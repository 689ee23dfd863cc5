"""Batches as a pure function of seed, position, step and rank."""

from dataclasses import fields

import numpy as np
import pytest

from csd.data import (
    Batches,
    cache_pairs,
    draw_negatives,
    find_pairs,
    imresize_bicubic,
    sample_batch,
    train_dataset,
    window_dataset,
)
from csd.data.pipeline import counter_hash, draw_window, sample_images
from csd.errors import InputError

PATCH = 8
KEYS = {field.name for field in fields(Batches)}


@pytest.fixture(scope="module")
def cached(tmp_path_factory, reference):
    """The two benchmark images and, for more of them, their LR images, at x2."""
    root = tmp_path_factory.mktemp("cached")
    for path in (reference / "benchmark" / "Set5").rglob("*.png"):
        (root / path.name).write_bytes(path.read_bytes())
    return cache_pairs(find_pairs(root, 2, split="all"), 2, root / "cache", progress=False)


def batch(cached, **changes):
    place = {"step": 0, "consumed": 0, **changes}
    made = {"lr_patch": PATCH, "batch_size": 4, "seed": 3}
    made |= {key: place.pop(key) for key in KEYS & place.keys()}
    return sample_batch(cached, Batches(**made), **place)


def views(image):
    for transposed in (image, image.swapaxes(1, 2)):
        yield from (transposed[:, ::a, ::b] for a in (1, -1) for b in (1, -1))


def test_shapes_types_and_order_of_columns(cached):
    lr, hr, negatives = batch(cached, negatives=3)
    assert lr.shape == (4, 3, 8, 8) and hr.shape == (4, 3, 16, 16)
    assert negatives.shape == (3, 3, 8, 8)
    assert lr.dtype == hr.dtype == negatives.dtype == np.uint8
    assert len(batch(cached)) == 2


def test_lr_and_hr_show_the_same_place(cached):
    lr, hr = batch(cached, batch_size=32, augment=False, lr_patch=12)
    for small, large in zip(lr, hr, strict=True):
        again = imresize_bicubic(large.transpose(1, 2, 0), 1 / 2).transpose(2, 0, 1)
        inner = (slice(None), slice(2, -2), slice(2, -2))  # beyond, the filter sees outside
        np.testing.assert_array_equal(again[inner], small[inner])


def test_augmentation_turns_both_alike_and_uses_all_views(cached):
    seen = set()
    plain, turned = (batch(cached, batch_size=64, augment=a) for a in (False, True))
    for lr0, hr0, lr, hr in zip(*plain, *turned, strict=True):
        fits = [
            number
            for number, (a, b) in enumerate(zip(views(lr0), views(hr0), strict=True))
            if np.array_equal(a, lr) and np.array_equal(b, hr)
        ]
        assert len(fits) == 1
        seen.update(fits)
    assert seen == set(range(8))


def test_every_pass_shows_every_image_once():
    order = sample_images(10, 5, np.arange(40)).reshape(4, 10)
    assert (np.sort(order, axis=1) == np.arange(10)).all()
    assert len({tuple(row) for row in order}) == 4
    assert not np.array_equal(order, sample_images(10, 6, np.arange(40)).reshape(4, 10))


def test_crops_reach_every_place():
    rows = counter_hash(1, 1, np.arange(4000)) % np.uint64(41)
    counts = np.bincount(rows.astype(int), minlength=41)
    assert counts.min() > 50 and counts.max() < 160  # 98 expected


def test_a_batch_depends_on_its_arguments_alone(cached):
    first = batch(cached, step=7, consumed=28, negatives=2)
    batch(cached, step=1, consumed=400, seed=9)
    for a, b in zip(first, batch(cached, step=7, consumed=28, negatives=2), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], batch(cached, step=7, consumed=28, seed=4)[0])
    assert not np.array_equal(first[0], batch(cached, step=7, consumed=32)[0])


def test_two_ranks_see_what_one_would(cached):
    whole = batch(cached, batch_size=8, consumed=24)
    halves = [batch(cached, batch_size=4, consumed=24, rank=r) for r in (0, 1)]
    for column in (0, 1):
        joined = np.concatenate([half[column] for half in halves])
        np.testing.assert_array_equal(joined, whole[column])


def test_negatives_are_distinct_patches_of_the_batch(cached):
    for step in range(20):
        index = draw_negatives(16, 10, 3, step)
        assert len(set(index)) == 10 and set(index) <= set(range(16))
    assert not np.array_equal(draw_negatives(16, 10, 3, 0), draw_negatives(16, 10, 3, 1))
    assert not np.array_equal(draw_negatives(16, 10, 3, 0), draw_negatives(16, 10, 3, 0, rank=1))
    lr, _, negatives = batch(cached, negatives=3, step=5)
    np.testing.assert_array_equal(negatives, lr[draw_negatives(4, 3, 3, 5)])


def test_windows_lie_inside_and_reach_every_place():
    windows = np.stack([draw_window(20, 16, 3, step) for step in range(400)])
    assert windows.dtype == np.int32 and windows.shape == (400, 2, 16)
    assert (np.diff(windows, axis=2) == 1).all()  # neighbouring rows and columns
    drawn = windows[:, :, 0]
    for axis in (0, 1):
        assert set(drawn[:, axis].tolist()) == set(range(5))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.15  # top and left are drawn apart
    assert draw_window(20, 20, 3, 7).tolist() == [list(range(20))] * 2
    assert draw_window(192, 96, 3, 7).tolist() != draw_window(192, 96, 3, 7, rank=1).tolist()


def test_dataset_with_windows_resumes_as_if_never_stopped(cached):
    import mindspore.dataset as ds

    def column(**changes):
        windows = window_dataset(2 * PATCH, 8, seed=3, **changes)
        return rows(ds.zip((dataset(cached, **changes), windows)))

    whole = column(steps=6)
    assert [row[3].tolist() for row in whole] == [
        draw_window(2 * PATCH, 8, 3, step).tolist() for step in range(6)
    ]
    for a, b in zip(whole[4:], column(steps=2, start_step=4), strict=True):
        np.testing.assert_array_equal(a[3], b[3])


def test_hash_is_fixed_forever():
    """A resumed run must draw what the version that started it drew."""
    assert counter_hash(0, 0, np.arange(3)).tolist() == [
        10891570291429925902,
        14994022588980393954,
        12110499432780310271,
    ]
    assert sample_images(6, 1, np.arange(8)).tolist() == [3, 4, 5, 2, 1, 0, 4, 5]


def dataset(cached, **changes):
    place = {"steps": 6, **changes}
    made = {"lr_patch": PATCH, "batch_size": 4, "seed": 3, "negatives": 2}
    made |= {key: place.pop(key) for key in KEYS & place.keys()}
    return train_dataset(cached, Batches(**made), **place)


def rows(data):
    return list(data.create_tuple_iterator(num_epochs=1, output_numpy=True))


@pytest.mark.parametrize("workers", [1, 2])
def test_dataset_yields_the_batches_in_order(cached, workers):
    data = dataset(cached, workers=workers)
    assert data.get_dataset_size() == 6
    assert data.get_col_names() == ["lr", "hr", "negatives_lr"]
    for step, row in enumerate(rows(data)):
        for a, b in zip(row, batch(cached, step=step, consumed=4 * step, negatives=2), strict=True):
            np.testing.assert_array_equal(a, b)
    assert step == 5


def test_resumed_dataset_continues_as_if_never_stopped(cached):
    whole = rows(dataset(cached))
    rest = rows(dataset(cached, steps=2, start_step=4, start_samples=16))
    for a, b in zip(whole[4:], rest, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_ranks_share_the_stream(cached):
    shards = [rows(dataset(cached, rank=r, ranks=2, negatives=0)) for r in (0, 1)]
    for step in range(6):
        whole = batch(cached, batch_size=8, consumed=8 * step)
        joined = np.concatenate([shard[step][1] for shard in shards])
        np.testing.assert_array_equal(joined, whole[1])


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"negatives": 5}, "5 negatives cannot be drawn from a batch of 4"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"rank": 2, "ranks": 2}, "rank must lie in 0..1"),
        ({"lr_patch": 1000}, "smaller than the LR patch 1000"),
    ],
)
def test_wrong_arguments_are_explained(cached, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        dataset(cached, **changes)
