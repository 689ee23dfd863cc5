"""The training photographs, decoded once: memory-mapped HR and LR pixels in the cache folder."""

import hashlib
import json
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csd.data.images import read_image
from csd.data.imresize import imresize_bicubic, modcrop
from csd.data.layouts import Pair, check_pair, fitted_size
from csd.data.packs import Pack, open_pack
from csd.errors import CSDError, InputError
from csd.runtime import cache_folder

# How much of the mapped pixels may stay in our memory; below it, nothing is mapped twice.
RESIDENT_BYTES = 128 << 20


class Store:
    """Aligned pictures: `lr(i)` uint8 (3, h, w) and `hr(i)` uint8 (3, s*h, s*w), copies.

    Attributes:
        names: of the photographs, in order.
        scale: s.
        sizes: int64 (n, 2), height and width of every LR picture.
        failure: what ended the making of batches, for who reads them; else None.
    """

    def __init__(self, names: Sequence[str], scale: int, hr: Pack, lr: Pack, sizes: np.ndarray):
        self.names = list(names)
        self.scale = scale
        self.sizes = sizes
        self._hr, self._lr = hr, lr
        self._resident = _mapped_bytes()
        self.failure: CSDError | None = None  # why a batch could not be made

    def __len__(self) -> int:
        return len(self.names)

    def lr(self, index: int) -> np.ndarray:
        return self._lr.crop(index, 0, 0, *self.sizes[index].tolist())

    def hr(self, index: int) -> np.ndarray:
        return self._hr.crop(index, 0, 0, *(self.sizes[index] * self.scale).tolist())

    def crops(self, index: int, top: int, left: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
        """An LR crop uint8 (3, p, p) at (top, left) and the HR crop (3, s*p, s*p) that it shows."""
        s = self.scale
        lr = self._lr.crop(index, top, left, patch, patch)
        return lr, self._hr.crop(index, top * s, left * s, patch * s, patch * s)

    def trim(self) -> None:
        """Keep resident memory bounded however many photographs were visited; cheap, call it often.

        Pages of a mapped file count as ours once touched, and the system maps many around each:
        what we hold is asked from it, not estimated.
        """
        if _mapped_bytes() - self._resident > RESIDENT_BYTES:
            self.release()

    def release(self) -> None:
        """Give all mapped memory back; the store stays open."""
        self._hr.release()
        self._lr.release()
        self._resident = _mapped_bytes()


def _mapped_bytes() -> int:
    """Resident pages of files that this process maps: /proc/self/statm, proc(5)."""
    with Path("/proc/self/statm").open("rb") as file:
        return int(file.read().split()[2]) * mmap.PAGESIZE


def open_store(
    pairs: Sequence[Pair],
    scale: int,
    cache_dir: str | Path | None = None,
    *,
    role: str = "train",
    lr_patch: int = 1,
    progress: bool = True,
) -> Store:
    """Open the decoded photographs; decode those that are new or changed since the last time.

    HR pixels are kept once for all scales. LR is decoded, or made from the cropped HR with
    `imresize_bicubic`. All sizes are checked from the files' headers before anything is decoded.

    Args:
        pairs: from `find_pairs`.
        cache_dir: see `runtime.cache_folder`; the files go to its folder `images`.
        role: what the pairs are, `train` or `val`: one cache for each, of one folder.
        lr_patch: the crop that must fit into every LR picture.
        progress: show a bar on standard error, where that is a terminal.

    Raises:
        InputError: no pairs, an unreadable image (named), sizes that do not fit.
        WorkError: the cache cannot be written.
    """
    if not pairs:
        raise InputError("there are no photographs to train on; check data_dir")
    folder = cache_folder(cache_dir) / "images"
    sizes = np.array([check_pair(pair, scale, lr_patch) for pair in pairs], np.int64)

    hr_sources = [_signature(pair.hr) for pair in pairs]
    hr = open_pack(
        folder,
        _key("hr", role, 0, [pair.hr for pair in pairs]),
        hr_sources,
        lambda i: read_image(pairs[i].hr),
        f"decoding HR ({role})",
        progress,
    )

    def load_lr(index: int) -> np.ndarray:
        file = pairs[index].lr
        if file is not None:
            return read_image(file)
        return imresize_bicubic(modcrop(hr.image(index), scale), 1 / scale)

    lr_sources = [
        _signature(pair.lr) if pair.lr else [*source, "bicubic"]
        for pair, source in zip(pairs, hr_sources, strict=True)
    ]
    lr = open_pack(
        folder,
        _key("lr", role, scale, [pair.lr or pair.hr for pair in pairs]),
        lr_sources,
        load_lr,
        f"{'decoding' if pairs[0].lr else 'making'} LR ({role})",
        progress,
    )
    # The decoded sizes count: a header may say otherwise.
    for index, pair in enumerate(pairs):
        sizes[index] = fitted_size(pair, hr.sizes[index], lr.sizes[index], scale)
    store = Store([pair.name for pair in pairs], scale, hr, lr, sizes)
    store.release()
    return store


def _signature(path: Path) -> list:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _key(kind: str, role: str, scale: int, files: Sequence[Path]) -> str:
    """One pack per role and folders: a changed set of files refreshes it, nothing piles up."""
    folders = sorted({str(file.resolve().parent) for file in files})
    digest = hashlib.sha256(json.dumps([kind, role, scale, folders]).encode()).hexdigest()[:16]
    return f"{kind}-{role}-x{scale}-{digest}" if scale else f"{kind}-{role}-{digest}"
