"""Many decoded images in one memory-mapped file, built once and refreshed when sources change.

A pack is `<key>-<token>.u8`, the pixels, and `<key>.json`, which names that file and, for every
image, its source (path, size, modification time), size, offset and checksum, and holds a checksum
of all that. The index is written last and by renaming, so a pack is whole or absent; the pixels
have a new name after every change, so a process that maps the old ones keeps them.

Every byte is compared with its checksum before it is used: an image as a whole, when a process
first looks at it (2.4 ms for one of 2040 x 1356), which spreads the reading of a pack of gigabytes
over the first pass. One that has changed on the disk is named, loaded from its source and put back.

An image lies in vertical strips 256 pixels wide, uint8 (strips, H, 3, 256): the rows of a crop are
then near each other. A crop of 192 x 192 from a 2040 x 1356 photograph touches 63 pages of memory
instead of 290 in one plane after the other, and takes half the time once pages must be mapped anew.
"""

import contextlib
import fcntl
import json
import logging
import math
import mmap
import os
import re
import secrets
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from csd.errors import WorkError
from csd.files import lock_file, new_file, write_new

VERSION = 2  # raise it when the format, the way LR is made or what a decoder gives changes
STRIP = 256


class Pack:
    """The images of an open pack; `sizes[i]` is the (H, W) of image i.

    `load`: index -> uint8 (H, W, 3), for an image that is damaged.
    """

    def __init__(self, path: Path, entries: list[dict], load: Callable[[int], np.ndarray]):
        self.path = path
        self.entries = entries
        self._load = load
        self._verified = [False] * len(entries)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.sizes = [tuple(e["size"]) for e in entries]
        flat = np.frombuffer(self._map, np.uint8)
        self._strips = []  # per image a read-only view, uint8 (strips, H, 3, STRIP)
        for entry, (height, width) in zip(entries, self.sizes, strict=True):
            shape = (math.ceil(width / STRIP), height, 3, STRIP)
            start = entry["offset"]
            self._strips.append(flat[start : start + math.prod(shape)].reshape(shape))

    def __len__(self) -> int:
        return len(self.entries)

    def is_whole(self, index: int) -> bool:
        """Whether an image is still what was written."""
        if not self._verified[index]:
            found = zlib.crc32(self._strips[index].data)
            self._verified[index] = found == self.entries[index]["crc"]
        return self._verified[index]

    def strips(self, index: int) -> np.ndarray:
        """A verified image, a read-only view, uint8 (strips, H, 3, STRIP).

        Raises WorkError where a damaged one cannot be put back; errors of `load` pass through.
        """
        if not self.is_whole(index):
            self._put_back(index)
        return self._strips[index]

    def _put_back(self, index: int) -> None:
        """Load a damaged image anew, into its place in the file that all processes map."""
        what = f"the image cache {self.path} is damaged at {self.entries[index]['source'][0]}"
        logging.getLogger(__name__).warning("%s, which is read anew", what)
        image = self._load(index)
        strips = _in_strips(image)
        try:
            if image.shape[:2] != self.sizes[index]:
                raise OSError("the image has another size now")
            with self.path.open("r+b") as file:
                file.seek(self.entries[index]["offset"])
                file.write(strips.data)
        except OSError as error:
            raise WorkError(
                f"{what} and cannot be put right: {error.strerror or error}; remove that file"
            ) from None
        if not np.array_equal(self._strips[index], strips):
            raise WorkError(f"{what} and does not keep what is written; check its disk")
        self._verified[index] = True

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A copy of a part of an image: uint8 (3, height, width); the part must lie inside."""
        strips = self.strips(index)
        out = np.empty((3, height, width), np.uint8)
        done = 0
        while done < width:
            strip, column = divmod(left + done, STRIP)
            count = min(STRIP - column, width - done)
            part = strips[strip, top : top + height, :, column : column + count]
            out[:, :, done : done + count] = part.transpose(1, 0, 2)
            done += count
        return out

    def image(self, index: int) -> np.ndarray:
        """A copy of a whole image: uint8 (H, W, 3)."""
        return self.crop(index, 0, 0, *self.sizes[index]).transpose(1, 2, 0)

    def release(self) -> None:
        """Give the touched pages back: they stay in the system's cache, no longer in our memory."""
        self._map.madvise(mmap.MADV_DONTNEED)


def _in_strips(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> (strips, H, 3, STRIP), zeros on the right."""
    height, width = image.shape[:2]
    count = math.ceil(width / STRIP)
    out = np.zeros((count, height, 3, STRIP), np.uint8)
    for strip in range(count):
        part = image[:, strip * STRIP : (strip + 1) * STRIP]
        out[strip, :, :, : part.shape[1]] = part.transpose(0, 2, 1)
    return out


def open_pack(
    folder: Path,
    key: str,
    sources: Sequence[list],
    load: Callable[[int], np.ndarray],
    label: str,
    progress: bool = True,
) -> Pack:
    """Open the pack `key` in `folder`; build or refresh it first where needed.

    Args:
        sources: per image a JSON-able signature; an image is loaded anew when its own changed.
        load: index -> uint8 (H, W, 3); called in threads, only for new or changed images.
        label: what the progress bar says.

    Several processes may call this at once: one builds, the others wait and read its result.

    Raises:
        WorkError: the cache folder cannot be written. Errors of `load` pass through.
    """
    pack = _read(folder, key, load)
    if pack is not None and _sources(pack) == list(sources):
        return pack
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key}.lock"):
            pack = _read(folder, key, load)  # another process may have built it while we waited
            if pack is None or _sources(pack) != list(sources):
                _build(folder, key, sources, load, label, progress, pack)
                pack = _read(folder, key, load)
    except OSError as error:
        raise WorkError(
            f"the image cache {folder} cannot be written: {error.strerror or error};"
            " give another cache_dir"
        ) from error
    if pack is None:
        raise WorkError(f"the image cache {folder} did not keep what was written; check its disk")
    return pack


def _sources(pack: Pack) -> list:
    return [entry["source"] for entry in pack.entries]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system drops it should we be killed."""
    with lock_file(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(folder: Path, key: str, load: Callable[[int], np.ndarray]) -> Pack | None:
    """The pack as it lies there; None where it is absent, of another version, or damaged."""
    try:
        index = json.loads((folder / f"{key}.json").read_text())
        if index["version"] != VERSION:
            return None
        path = folder / Path(index["file"]).name
        if path.stat().st_size != index["size"] or _crc_of(index["images"]) != index["crc"]:
            return None
        return Pack(path, index["images"], load)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _crc_of(entries: list[dict]) -> int:
    return zlib.crc32(json.dumps(entries, sort_keys=True).encode())


def _build(folder, key, sources, load, label, progress, old: Pack | None) -> None:
    """Write a new pixel file, then the index; images of `old` that did not change are copied."""
    for stale in folder.glob(f"{key}-*.u8"):  # left by a process that was killed
        ours = re.fullmatch(r"-[0-9a-f]{12}\.u8", stale.name.removeprefix(key))
        if ours and (old is None or stale != old.path):
            stale.unlink(missing_ok=True)
    known = {json.dumps(s): i for i, s in enumerate(_sources(old))} if old else {}

    def stripped(index: int) -> tuple[tuple[int, int], np.ndarray]:
        kept = known.get(json.dumps(sources[index]))
        if old is not None and kept is not None and old.is_whole(kept):
            return old.sizes[kept], old.strips(kept)
        image = load(index)
        return image.shape[:2], _in_strips(image)

    path = folder / f"{key}-{secrets.token_hex(6)}.u8"
    entries, offset = [], 0
    try:
        with new_file(path) as file:
            images = _in_threads(stripped, len(sources))
            # disable=None: no bar where standard error is no terminal
            bar = tqdm(images, label, len(sources), disable=None if progress else True)
            for source, (size, strips) in zip(sources, bar, strict=True):
                file.write(strips.data)
                entries.append(
                    {
                        "source": source,
                        "size": list(size),
                        "offset": offset,
                        "crc": zlib.crc32(strips),
                    }
                )
                offset += strips.nbytes
            file.flush()
            os.fsync(file.fileno())
        index = {
            "version": VERSION,
            "file": path.name,
            "size": offset,
            "images": entries,
            "crc": _crc_of(entries),
        }
        temporary = folder / f".{key}.{os.getpid()}.tmp"
        write_new(temporary, json.dumps(index))
        temporary.replace(folder / f"{key}.json")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if old is not None:
        old.path.unlink(missing_ok=True)


def _in_threads(work: Callable, count: int) -> Iterator:
    """`work(0)`, `work(1)`, ... computed by all cores, only a few ahead of the reader."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque = deque()
        try:
            for index in range(count):
                pending.append(pool.submit(work, index))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
