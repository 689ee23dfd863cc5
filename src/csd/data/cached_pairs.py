"""The training images, decoded once: aligned HR and LR pixels out of the image cache."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csd.data.cache import ImageCache, Source, open_cache
from csd.data.images import read_image
from csd.data.imresize import imresize_bicubic, modcrop
from csd.data.layouts import Pair, check_pair, fitted_size
from csd.errors import CSDError, InputError
from csd.runtime import cache_folder


class CachedPairs:
    """Aligned images: `lr(i)` uint8 (3, h, w) and `hr(i)` uint8 (3, s*h, s*w), copies.

    Attributes:
        names: of the images, in order.
        scale: s.
        sizes: int64 (n, 2), height and width of every LR image.
        failure: what ended the making of batches, for who reads them; else None.
    """

    def __init__(
        self, names: Sequence[str], scale: int, hr: ImageCache, lr: ImageCache, sizes: np.ndarray
    ):
        self.names = list(names)
        self.scale = scale
        self.sizes = sizes
        self._hr, self._lr = hr, lr
        self.failure: CSDError | None = None  # why a batch could not be made

    def __len__(self) -> int:
        return len(self.names)

    def lr(self, index: int) -> np.ndarray:
        height, width = self.sizes[index].tolist()
        return np.array(self._lr.planes(index)[:, :height, :width])

    def hr(self, index: int) -> np.ndarray:
        height, width = (self.sizes[index] * self.scale).tolist()
        return np.array(self._hr.planes(index)[:, :height, :width])

    def crops(self, index: int, top: int, left: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
        """An LR crop uint8 (3, p, p) at (top, left) and the HR crop (3, s*p, s*p) that it shows.

        Read-only views of files that are mapped as long as these are referred to; the crop must lie
        inside.
        """
        s = self.scale
        lr = self._lr.planes(index)[:, top : top + patch, left : left + patch]
        hr = self._hr.planes(index)[:, top * s : (top + patch) * s, left * s : (left + patch) * s]
        return lr, hr


def cache_pairs(
    pairs: Sequence[Pair],
    scale: int,
    cache_dir: str | Path | None = None,
    *,
    role: str = "train",
    lr_patch: int = 1,
    progress: bool = True,
) -> CachedPairs:
    """Open the decoded images; decode those that are new or changed since the last time.

    HR pixels are kept once for all scales. LR is decoded, or made from the cropped HR with
    `imresize_bicubic`. All sizes are checked from the files' headers before anything is decoded.

    Args:
        pairs: from `find_pairs`.
        cache_dir: see `runtime.cache_folder`; the files go to its folder `images`.
        role: what the pairs are, `train` or `val`, for the progress bar.
        lr_patch: the crop that must fit into every LR image.
        progress: show a bar on standard error, where that is a terminal.

    Raises:
        InputError: no pairs, an unreadable image (named), sizes that do not fit.
        WorkError: the cache cannot be written.
    """
    if not pairs:
        raise InputError("there are no images to train on; check data_dir")
    folder = cache_folder(cache_dir) / "images"
    sizes = np.array([check_pair(pair, scale, lr_patch) for pair in pairs], np.int64)
    hr = open_cache(
        folder,
        [Source(pair.hr) for pair in pairs],
        lambda i: read_image(pairs[i].hr),
        f"decoding HR ({role})",
        progress,
    )

    def load_lr(index: int) -> np.ndarray:
        file = pairs[index].lr
        if file is not None:
            return read_image(file)
        return imresize_bicubic(modcrop(hr.image(index), scale), 1 / scale)

    lr = open_cache(
        folder,
        [Source(p.lr) if p.lr else Source(p.hr, f"bicubic x{scale}") for p in pairs],
        load_lr,
        f"{'decoding' if pairs[0].lr else 'making'} LR ({role})",
        progress,
    )
    # The decoded sizes count: a header may say otherwise.
    for index, pair in enumerate(pairs):
        sizes[index] = fitted_size(pair, hr.sizes[index], lr.sizes[index], scale)
    return CachedPairs([pair.name for pair in pairs], scale, hr, lr, sizes)
