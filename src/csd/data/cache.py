"""The image cache: decoded images, one memory-mapped .npy file each.

A file is `<place>-<state>-<digest>.npy`, uint8 (3, H, W). `place` stands for the source and what is
made of it, `state` for the source's size and time of change, `digest` is the CRC-32 of the file. It
is written under another name and renamed, so it is whole or absent. A changed source has a file of
another name; the old one stays for the runs that use it, and is removed once nobody has opened it
for a month.

The size of a file is checked each time it is mapped, its digest when a process first looks at it
(2.4 ms for 2040 x 1356), which spreads the reading of gigabytes over the first pass. An image that
has changed on the disk is named, and made anew from its source.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import logging
import mmap
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from csd.errors import InputError, WorkError
from csd.files import lock_file, new_file, open_file

_KEPT = 30 * 24 * 3600.0  # seconds since it was last opened; that is its time of change

VERSION = 3  # raise it when the format, the way LR is made or what a decoder gives changes

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{8})\.npy")
# What versions 1 and 2 wrote: all images of a folder in one file.
_OLD = re.compile(r"(hr|lr)-(train|val)(-x[234])?-[0-9a-f]{16}(-[0-9a-f]{12}\.u8|\.json|\.lock)")


@dataclass(frozen=True)
class Source:
    """A file, and what is made of it: nothing but decoding, or also `bicubic x4`."""

    path: Path
    making: str = ""

    def names(self) -> tuple[str, str]:
        """`place` and `state` of its file in the cache."""
        status = self.path.stat()
        place = [str(self.path.resolve()), self.making]
        return _hash(place), _hash([VERSION, status.st_size, status.st_mtime_ns])


def _hash(words: list) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


class ImageCache:
    """Images in the order of their sources; `sizes[i]` is the (H, W) of image i.

    Made by `open_cache`. `load`: index -> uint8 (H, W, 3), for an image that is damaged.
    """

    def __init__(
        self,
        files: Sequence["_File"],
        sources: Sequence[Source],
        load: Callable[[int], np.ndarray],
    ):
        self._files, self._sources, self._load = list(files), sources, load
        self._verified = [False] * len(files)
        self.sizes = [file.size for file in files]

    def __len__(self) -> int:
        return len(self._files)

    def planes(self, index: int) -> np.ndarray:
        """A verified image, read-only, mapped as long as it is referred to: uint8 (3, H, W).

        Raises WorkError where a damaged one cannot be made anew; errors of `load` pass through.
        """
        file = self._files[index]
        try:
            mapped = file.map()
            if not self._verified[index]:
                self._verified[index] = zlib.crc32(mapped.data) == file.digest
        except (OSError, ValueError, InputError):  # gone, shorter than it was, or no file
            self._verified[index] = False
        if not self._verified[index]:
            mapped = self._put_back(index)
        return mapped[file.offset :].reshape(3, *file.size)

    def image(self, index: int) -> np.ndarray:
        """The same, uint8 (H, W, 3)."""
        return self.planes(index).transpose(1, 2, 0)

    def _put_back(self, index: int) -> np.ndarray:
        file = self._files[index]
        what = f"the image cache {file.path} is damaged at {self._sources[index].path}"
        logging.getLogger(__name__).warning("%s, which is read anew", what)
        planes = _planes(self._load(index))
        temporary = _temporary(file.path)
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(file.path.parent / "lock"):
                if _write(temporary, planes) != file.digest:
                    raise OSError("the image is another one now")
                temporary.replace(file.path)
            mapped = file.map()
            if zlib.crc32(mapped.data) != file.digest:
                raise OSError("its disk does not keep what is written")
        except (OSError, ValueError) as error:
            temporary.unlink(missing_ok=True)
            raise WorkError(
                f"{what} and cannot be put right: {getattr(error, 'strerror', None) or error}; "
                "remove that file"
            ) from None
        self._verified[index] = True
        return mapped


@dataclass(frozen=True)
class _File:
    path: Path
    size: tuple[int, int]  # H, W
    offset: int  # of the pixels
    digest: int

    @classmethod
    def open(cls, path: Path) -> "_File | None":
        """A file of the cache; None where its header or its length is wrong."""
        try:
            with open_file(path) as file:
                np.lib.format.read_magic(file)
                shape, _, kind = np.lib.format.read_array_header_1_0(file)
                offset, length = file.tell(), os.fstat(file.fileno()).st_size
        except (OSError, ValueError, InputError):
            return None
        good = kind == np.uint8 and len(shape) == 3 and shape[0] == 3
        if not good or length != offset + shape[0] * shape[1] * shape[2]:
            return None
        return cls(path, shape[1:], offset, int(path.stem[-8:], 16))

    def map(self) -> np.ndarray:
        """All its bytes; ValueError where it has become shorter: to touch these ends a process."""
        length = self.offset + 3 * self.size[0] * self.size[1]
        with open_file(self.path) as file:
            return np.frombuffer(
                mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ), np.uint8
            )


def _planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.tmp")


def open_cache(
    folder: Path,
    sources: Sequence[Source],
    load: Callable[[int], np.ndarray],
    label: str,
    progress: bool = True,
) -> ImageCache:
    """The images of `sources`; those that are not in `folder`, or changed, are made first.

    Args:
        load: index -> uint8 (H, W, 3); called in threads.
        label: what the progress bar says.

    Several processes may call this at once: one makes the images, the others wait for it.

    Raises:
        WorkError: the folder cannot be written. Errors of `load` pass through.
    """
    names = [source.names() for source in sources]
    files = _find(folder, names)
    if None in files:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder / "lock"):
                _remove_old(folder, names)
                files = _find(folder, names)  # another process may have made them meanwhile
                _make(folder, names, files, load, label, progress)
        except OSError as error:
            raise WorkError(
                f"the image cache {folder} cannot be written: {error.strerror or error};"
                " give another cache_dir"
            ) from error
    return ImageCache([file for file in files if file], sources, load)


def _find(folder: Path, names: Sequence[tuple[str, str]]) -> list[_File | None]:
    """The file of each source, None where there is none that is whole."""
    there = {}
    if folder.is_dir():
        for entry in os.scandir(folder):
            if match := _NAME.fullmatch(entry.name):
                there[match[1], match[2]] = Path(entry.path)
    files = [_File.open(there[name]) if name in there else None for name in names]
    with contextlib.suppress(OSError):  # a cache that only others may write to
        for file in files:
            if file:
                os.utime(file.path)
    return files


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system drops it should we be killed."""
    with lock_file(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_old(folder: Path, names: Sequence[tuple[str, str]]) -> None:
    """Remove what killed processes and old versions left, and states that nobody opens any more."""
    states = dict(names)
    for entry in os.scandir(folder):
        match = _NAME.fullmatch(entry.name)
        stale = (
            match
            and states.get(match[1], match[2]) != match[2]
            and time.time() - entry.stat().st_mtime > _KEPT
        )
        unfinished = re.fullmatch(r"\.[0-9a-f-]{33,42}\.[0-9]+\.tmp", entry.name)
        if stale or unfinished or _OLD.fullmatch(entry.name):
            Path(entry.path).unlink(missing_ok=True)


def _make(folder, names, files: list[_File | None], load, label, progress) -> None:
    """Put the missing files into the folder and into `files`."""

    def write(index: int) -> _File | None:
        stem = "-".join(names[index])
        temporary = _temporary(folder / f"{stem}.npy")
        try:
            digest = _write(temporary, _planes(load(index)))
            path = folder / f"{stem}-{digest:08x}.npy"
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return _File.open(path)

    missing = {name: i for i, (name, file) in enumerate(zip(names, files, strict=True)) if not file}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        made = pool.map(write, missing.values())
        # disable=None: no bar where standard error is no terminal
        bar = tqdm(made, label, len(missing), disable=None if progress else True)
        found = dict(zip(missing, bar, strict=True))
    for index, name in enumerate(names):
        files[index] = files[index] or found[name]
    if None in files:
        raise OSError("it did not keep what was written; check its disk")


def _write(path: Path, planes: np.ndarray) -> int:
    """Write a new .npy file; its digest."""
    with io.BytesIO() as buffer:
        np.save(buffer, planes)
        with new_file(path) as output:
            output.write(buffer.getbuffer())
        return zlib.crc32(buffer.getbuffer())
