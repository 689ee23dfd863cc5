"""Files that the program makes: new ones, never through a link into a file of somebody else."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from csd.errors import WorkError

# Temporary names that this process has written to; after the renaming nothing has such a name.
_unfinished: set[Path] = set()


def new_file(path: Path) -> BinaryIO:
    """Open a new file for writing and reading; whatever had the name loses it.

    Where that was a symbolic link or another name of a file, the file behind it stays as it is.
    Raises OSError, as `open` does.
    """
    path.unlink(missing_ok=True)
    if path.suffix == ".tmp":
        _unfinished.add(path)
    return path.open("x+b")


def write_new(path: Path, text: str) -> None:
    """Write text, UTF-8, into a `new_file`."""
    with new_file(path) as file:
        file.write(text.encode("utf-8"))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file under a temporary name, then rename it; WorkError where that fails."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it; WorkError where that fails."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(temporary) as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def temporary_folder(parent: Path, prefix: str = ".") -> Iterator[Path]:
    """A folder that is removed at the end, also when the process is interrupted."""
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix, ignore_cleanup_errors=True) as name:
        _unfinished.add(Path(name))
        yield Path(name)
    _unfinished.discard(Path(name))


def remove_unfinished() -> None:
    """Remove what this process has made and not finished; for one that ends in the middle."""
    for path in list(_unfinished):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def lock_file(path: Path) -> BinaryIO:
    """Open a file to hold a lock on, made where there is none; its content stays.

    Raises OSError, also where the name is a symbolic link or no regular file.
    """
    if path.is_symlink():
        raise OSError(f"{path.name} is a symbolic link, expected a file")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, 0o666), "rb+", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path.name} is not a regular file")
    return file
