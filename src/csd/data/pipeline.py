"""The stream of training batches: every batch is a pure function of seed, position, step and rank.

Sample i of the stream shows image `perm_{i // n}[i % n]`, a new permutation of the n
images in every pass; crop, flips and transposition come from a counter-based hash of (seed,
i). Nothing is drawn from a generator with a state, so a resumed run sees what an uninterrupted one
would have seen, and two ranks of four see the samples of one rank of eight.
"""

import functools
import os
from dataclasses import dataclass

import cv2
import numpy as np

from csd.data.cached_pairs import CachedPairs
from csd.errors import CSDError, InputError

# What a hash is for; different purposes must not draw the same numbers.
_SHUFFLE, _TOP, _LEFT, _FLIP, _NEGATIVES, _WINDOW = range(6)
_WORD = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, SplitMix64's step
_FLIP_CODE = {1: 1, 2: 0, 3: -1}  # cv2.flip: 1 left-right, 0 upside down, -1 both


def _mix(x):
    """The finaliser of SplitMix64 (Steele et al., OOPSLA 2014) on uint64, a bijection.

    `x` is a numpy array, or a Python integer: a fifth of the time for a single number.
    """
    mask = _WORD if isinstance(x, int) else None
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        if mask:
            x = ((x ^ (x >> shift)) * factor) & mask
        else:
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> (31 if mask else np.uint64(31)))


def counter_hash(*counters: int | np.ndarray) -> np.ndarray:
    """Pseudo-random uint64 for a tuple of counters; arrays broadcast, any integer is taken."""
    state: int | np.ndarray = 0
    for counter in counters:
        if isinstance(state, int) and isinstance(counter, int):
            state = _mix((state * _GOLDEN + counter + _GOLDEN) & _WORD)
        else:
            word = np.asarray(counter).astype(np.int64).view(np.uint64)
            state = np.atleast_1d(np.asarray(state, np.uint64))
            state = _mix(state * np.uint64(_GOLDEN) + word + np.uint64(_GOLDEN))
    return np.atleast_1d(np.asarray(state, np.uint64))


@functools.lru_cache(maxsize=4)
def _pass_order(count: int, seed: int, number: int) -> np.ndarray:
    return np.argsort(counter_hash(seed, _SHUFFLE, number, np.arange(count)), kind="stable")


def sample_images(count: int, seed: int, positions: np.ndarray) -> np.ndarray:
    """Which of `count` images the stream shows at `positions`: int64, same shape.

    Every pass over `count` consecutive positions shows each image once.
    """
    passes, places = np.divmod(np.asarray(positions, np.int64), count)
    images = np.empty_like(places)
    for number in np.unique(passes).tolist():
        images[passes == number] = _pass_order(count, seed, number)[places[passes == number]]
    return images


def draw_negatives(batch_size: int, count: int, seed: int, step: int, rank: int = 0) -> np.ndarray:
    """`count` distinct indices into a rank's batch, drawn by (seed, global step, rank)."""
    order = np.argsort(
        counter_hash(seed, _NEGATIVES, step, rank, np.arange(batch_size)), kind="stable"
    )
    return order[:count]


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What one rank's batches are made of.

    lr_patch: side of the LR crops. batch_size: pairs, per rank. seed: of order, crops and
    negatives. negatives: how many LR patches of a batch serve as negatives; 0 for none.
    augment: flips and transposition, eight equally likely views.
    """

    lr_patch: int
    batch_size: int
    seed: int
    negatives: int = 0
    augment: bool = True


def sample_batch(
    cached: CachedPairs, batches: Batches, *, step: int, consumed: int, rank: int = 0
) -> tuple[np.ndarray, ...]:
    """One rank's batch of global step `step`.

    Args:
        step: global step, draws the negatives.
        consumed: samples that all ranks together took before this step; rank r takes positions
            `consumed + r * batch_size + [0 .. batch_size)` of the stream.

    Returns:
        lr uint8 (B, 3, p, p), hr uint8 (B, 3, s*p, s*p) and, if negatives > 0, negatives_lr
        uint8 (K, 3, p, p).
    """
    batch_size, lr_patch, seed = batches.batch_size, batches.lr_patch, batches.seed
    positions = consumed + rank * batch_size + np.arange(batch_size, dtype=np.int64)
    images = sample_images(len(cached), seed, positions)
    room = (cached.sizes[images] - lr_patch + 1).astype(np.uint64)
    top, left, flip = counter_hash(seed, np.array([[_TOP], [_LEFT], [_FLIP]]), positions)
    tops = (top % room[:, 0]).astype(np.int64)
    lefts = (left % room[:, 1]).astype(np.int64)
    views = (flip >> np.uint64(61)).astype(np.int64)
    if not batches.augment:
        views[:] = 0
    hr_patch = lr_patch * cached.scale
    lr = np.empty((batch_size, 3, lr_patch, lr_patch), np.uint8)
    hr = np.empty((batch_size, 3, hr_patch, hr_patch), np.uint8)
    draws = zip(images.tolist(), tops.tolist(), lefts.tolist(), views.tolist(), strict=True)
    for slot, (image, top, left, view) in enumerate(draws):
        lr_crop, hr_crop = cached.crops(image, top, left, lr_patch)
        _copy_view(lr_crop, lr[slot], view)
        _copy_view(hr_crop, hr[slot], view)
    if not batches.negatives:
        return lr, hr
    return lr, hr, lr[draw_negatives(batch_size, batches.negatives, seed, step, rank)]


def _copy_view(crop: np.ndarray, out: np.ndarray, view: int) -> None:
    """Copy (3, p, p) as seen in one of eight views: bit 4 transposes, then bits 1 and 2 flip."""
    if view == 0:
        out[...] = crop
        return
    for plane, target in zip(crop, out, strict=True):  # cv2: 5 x faster than strided numpy copies
        if view & 4:
            plane = cv2.transpose(plane)
        if view & 3:
            cv2.flip(plane, _FLIP_CODE[view & 3], target)
        else:
            target[...] = plane


@dataclass
class _Source:
    """What `GeneratorDataset` indexes: batch number -> arrays."""

    cached: CachedPairs
    batches: Batches
    steps: int
    step: int  # of batch 0
    samples: int  # that all ranks together took before it
    rank: int
    ranks: int

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> tuple[np.ndarray, ...]:
        number = int(number)
        consumed = self.samples + number * self.ranks * self.batches.batch_size
        try:
            return sample_batch(
                self.cached,
                self.batches,
                step=self.step + number,
                consumed=consumed,
                rank=self.rank,
            )
        except CSDError as error:
            self.cached.failure = error  # of which the framework makes a page of its own
            raise


def train_dataset(
    cached: CachedPairs,
    batches: Batches,
    *,
    steps: int,
    start_step: int = 0,
    start_samples: int = 0,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 1,
):
    """`steps` batches as a `mindspore.dataset.Dataset`, made ahead in background threads.

    Columns, uint8: `lr` (B, 3, p, p), `hr` (B, 3, s*p, s*p) and, if negatives > 0, `negatives_lr`
    (K, 3, p, p). A run that stopped after `start_step` global steps and `start_samples` samples (of
    all ranks together) resumes there, also with another number of ranks or batch size.

    Args:
        steps: how many batches this dataset yields.
        workers: threads that make batches, no more than there are cores; one makes far more than a
            CPU step consumes.

    Raises:
        InputError: a count out of range, more negatives than the batch holds, a patch larger than
            an image.
    """
    import mindspore.dataset as ds  # here, so that the other modules of csd.data load in a moment

    _check(cached, batches)
    for name, value, least in (
        ("steps", steps, 1),
        ("workers", workers, 1),
        ("start_step", start_step, 0),
        ("start_samples", start_samples, 0),
    ):
        _check_least(name, value, least)
    if not 0 <= rank < ranks:
        raise InputError(f"rank must lie in 0..{ranks - 1}, not {rank}")
    columns = ["lr", "hr", "negatives_lr"] if batches.negatives else ["lr", "hr"]
    return ds.GeneratorDataset(
        _Source(cached, batches, steps, start_step, start_samples, rank, ranks),
        columns,
        shuffle=False,
        num_parallel_workers=min(workers, os.cpu_count() or 1),  # more are refused
        python_multiprocessing=False,
    )


def _check(cached: CachedPairs, batches: Batches) -> None:
    _check_least("lr_patch", batches.lr_patch, 1)
    _check_least("batch_size", batches.batch_size, 1)
    _check_least("negatives", batches.negatives, 0)
    if batches.negatives > batches.batch_size:
        raise InputError(
            f"{batches.negatives} negatives cannot be drawn from a batch of {batches.batch_size};"
            " use fewer negatives or a larger batch_size"
        )
    small = np.flatnonzero(cached.sizes.min(axis=1) < batches.lr_patch)
    if small.size:
        raise InputError(
            f"image {cached.names[small[0]]} is smaller than the LR patch {batches.lr_patch};"
            " remove it or choose a smaller patch"
        )


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} must be at least {least}, not {value}")


def draw_window(side: int, crop: int, seed: int, step: int, rank: int = 0) -> np.ndarray:
    """Rows and columns of a random square in one of `side` pixels: int32 (2, crop)."""
    places = counter_hash(seed, _WINDOW, step, rank, np.arange(2)) % np.uint64(side - crop + 1)
    return places.astype(np.int32)[:, None] + np.arange(crop, dtype=np.int32)


class _Windows:
    def __init__(self, steps: int, start_step: int, draw):
        self._steps, self._start, self._draw = steps, start_step, draw

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, number: int) -> tuple[np.ndarray]:
        return (self._draw(step=self._start + int(number)),)


def window_dataset(
    side: int, crop: int, *, steps: int, seed: int, start_step: int = 0, rank: int = 0
):
    """The column `window` of `steps` steps, int32 (2, crop), to `zip` with `train_dataset`.

    Rows and columns of a random square of `crop` HR pixels in patches of `side`, one for all images
    of a rank's batch, drawn by (seed, global step, rank) as the negatives are.
    """
    import mindspore.dataset as ds

    draw = functools.partial(draw_window, side, crop, seed, rank=rank)
    windows = _Windows(steps, start_step, draw)
    return ds.GeneratorDataset(windows, ["window"], shuffle=False, python_multiprocessing=False)
