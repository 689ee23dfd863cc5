"""Archives from the network: what is wanted is unpacked, nothing outside, and no more than fits.

A ZIP of 2 MB can hold 2 GB of zeros, and a tar file a few bytes that stand for terabytes. Images do
not shrink when they are packed: what unpacks to many times its size is refused.
"""

import bz2
import gzip
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from csd.errors import WorkError
from csd.files import new_file

RATIO, SPARE = 10, 64 << 20  # an archive unpacks to at most RATIO x its size and SPARE bytes
_MOST_MEMBERS = 100_000
_BLOCK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError,
    struct.error, ValueError, IndexError, OverflowError,
)  # fmt: skip
_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


class BadArchive(WorkError):
    """An archive that is damaged or refused; it has been removed, to be fetched anew."""


def unpack(archive: Path, folder: Path, members: Sequence[tuple[str, str]]) -> int:
    """Write the members that are wanted; every name is checked before the first is written.

    `members`: (pattern of a member's path, path below `folder`). Returns how many files were
    written. Raises BadArchive, with the archive removed, or WorkError where `folder` cannot be
    written.
    """
    try:
        return _unpack(archive, folder, members)
    except BadArchive as error:
        problem = f"{archive.name} is refused: {error}"
    except _DAMAGED as error:
        problem = f"{archive.name} is damaged ({error})"
    except (RuntimeError, NotImplementedError) as error:  # an encrypted or exotic ZIP file
        problem = f"{archive.name} cannot be unpacked: {error}"
    except OSError as error:
        if error.errno is not None:
            raise WorkError(f"cannot unpack {archive.name}: {error.strerror}") from error
        problem = f"{archive.name} is damaged ({error})"  # as bz2 and gzip say it
    except MemoryError:  # an XZ header may ask for gigabytes
        problem = f"{archive.name} is refused: unpacking it takes more memory than there is"
    except Exception as error:  # tarfile and zipfile meet damaged headers with errors of any type
        problem = f"{archive.name} is damaged ({error or type(error).__name__})"
    archive.unlink(missing_ok=True)
    raise BadArchive(f"{problem}; it was removed")


def _unpack(archive: Path, folder: Path, members: Sequence[tuple[str, str]]) -> int:
    most = RATIO * archive.stat().st_size + SPARE
    with _Zip(archive) if zipfile.is_zipfile(archive) else _Tar(archive, most) as entries:
        wanted = []
        for number, name in enumerate(entries.names()):
            if number == _MOST_MEMBERS:
                raise BadArchive(f"it has more than {_MOST_MEMBERS} members")
            _check_name(name)
            place = _target(name, members)
            if place is not None:
                wanted.append((name, folder / place))
        left = most
        for name, target in wanted:
            with entries.read(name) as source:
                left -= _write(source, target, left)
    return len(wanted)


def _check_name(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or {"..", ""} & {*path.parts, name} or ":" in name.split("/")[0]:
        raise BadArchive(f"its member {name!r} points outside the folder it is unpacked to")


def _target(name: str, members: Sequence[tuple[str, str]]) -> str | None:
    for pattern, target in members:
        match = re.fullmatch(pattern, name)
        if match and not PurePosixPath(name).name.startswith("."):
            return match.expand(target)
    return None


def _write(source: BinaryIO, target: Path, most: int) -> int:
    """Copy at most so many bytes; how many there were."""
    temporary = target.with_name(f".{target.name}.tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    try:
        with new_file(temporary) as file:
            while block := source.read(_BLOCK):
                size += len(block)
                if size > most:
                    raise _too_large()
                file.write(block)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _too_large() -> BadArchive:
    return BadArchive(f"it unpacks to more than {RATIO} times its size")


class _Zip:
    """Regular files of a ZIP archive by name."""

    def __init__(self, path: Path):
        self.file: Any = zipfile.ZipFile(path)

    def names(self) -> Iterator[str]:
        return (info.filename for info in self.file.infolist() if not info.is_dir())

    def read(self, name: str) -> BinaryIO:
        return self.file.open(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


class _Tar(_Zip):
    """Regular files of a tar archive, compressed or not, by name; links are left out."""

    def __init__(self, path: Path, most: int):
        with path.open("rb") as file:
            head = file.read(6)
        opener: Any = next((o for magic, o in _PACKED if head.startswith(magic)), Path.open)
        self.stream = opener(path, "rb")
        try:
            bounded: Any = _Bounded(self.stream, most)
            self.file = tarfile.open(fileobj=bounded, mode="r:")  # noqa: SIM115
        except BaseException:
            self.stream.close()
            raise
        self.entries: dict[str, tarfile.TarInfo] = {}

    def names(self) -> Iterator[str]:
        for info in self.file:
            if not info.isdir():
                self.entries[info.name] = info
                yield info.name

    def read(self, name: str) -> BinaryIO:
        if not self.entries[name].isfile():
            raise BadArchive(f"its member {name!r} is a link or a device, expected a file")
        return self.file.extractfile(self.entries[name])

    def __exit__(self, *_):
        self.file.close()
        self.stream.close()


class _Bounded:
    """A file that refuses to be read behind `most` bytes, nor so many at once."""

    def __init__(self, file: BinaryIO, most: int):
        self.file, self.most = file, most
        self.tell = file.tell

    def _check(self, position: int) -> None:
        if position > self.most:
            raise _too_large()

    def read(self, size: int = -1) -> bytes:
        self._check(self.file.tell() + max(0, size))
        return self.file.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        self._check(position)
        return self.file.seek(position, whence)
