"""What every rank gets of the data."""

from itertools import chain

import numpy as np
import pytest


@pytest.fixture
def cached(tmp_path):
    """24 images, each of one grey level, its number."""
    import cv2

    from csd.data import cache_pairs, find_pairs

    for number in range(24):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((16, 16, 3), number, np.uint8))
    pairs = find_pairs(tmp_path, 2, "folder", "all")
    return cache_pairs(pairs, 2, tmp_path / "cache", lr_patch=4, progress=False)


def _shown(cached, rank, ranks, batch, steps, **position):
    from csd.data import Batches, train_dataset

    batches = Batches(lr_patch=4, batch_size=batch, seed=3)
    dataset = train_dataset(cached, batches, steps=steps, rank=rank, ranks=ranks, **position)
    rows = dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)
    return [hr[:, 0, 0, 0].tolist() for _, hr in rows]


def _flat(lists):
    return list(chain.from_iterable(lists))


@pytest.mark.parametrize(("ranks", "batch"), [(2, 4), (3, 2), (8, 1)])
def test_shards_are_disjoint_and_cover_the_images(cached, ranks, batch):
    steps = 24 // (ranks * batch)
    shards = [_flat(_shown(cached, rank, ranks, batch, steps)) for rank in range(ranks)]
    assert sorted(_flat(shards)) == list(range(24))


def test_two_ranks_share_what_one_takes(cached):
    alone = _shown(cached, 0, 1, 8, 3)
    halves = zip(*(_shown(cached, rank, 2, 4, 3) for rank in range(2)), strict=True)
    assert [_flat(half) for half in halves] == alone


def test_resume_with_another_number_of_ranks_continues_behind_the_samples(cached):
    """Two steps of 2 x 4, then one rank of 4: the stream of 24 is covered once."""
    before = _flat(_flat(_shown(cached, rank, 2, 4, 2)) for rank in range(2))
    after = _flat(_shown(cached, 0, 1, 4, 2, start_step=2, start_samples=16))
    assert sorted(before + after) == list(range(24))


def test_one_rank_needs_no_partner():
    from csd.runtime import Runtime

    device = Runtime("CPU")
    assert device.sum_over_ranks(1.5, 2.0) == [1.5, 2.0]
    assert device.max_over_ranks(1.5) == [1.5]
    arrays = {"a": np.arange(3)}
    assert device.broadcast(arrays) is arrays


def test_validation_with_fewer_images_than_ranks(mindspore_cpu, photos, tmp_path):
    """A rank without an image adds nothing; the mean is that of the others."""
    from csd.data import find_pairs
    from csd.nets import create_model
    from csd.runtime import Runtime
    from csd.training.validation import Validation

    pairs = find_pairs(photos, 2, "folder", "val")
    assert len(pairs) == 1
    net = create_model("edsr", scale=2, n_feats=4, n_resblocks=1)
    sums = []

    class Rank(Runtime):
        def sum_over_ranks(self, *values):
            sums.append(values)
            return list(values) if values[1] else [30.0, 1.0]

    alone = Validation(net, [1.0], pairs, 2, tmp_path, Runtime("CPU")).run()
    first = Validation(net, [1.0], pairs, 2, tmp_path, Rank("CPU", 0, 2)).run()
    assert first == alone
    assert Validation(net, [1.0], pairs, 2, tmp_path, Rank("CPU", 1, 2)).run() == {1.0: 30.0}
    assert sums[1] == (0.0, 0.0)
