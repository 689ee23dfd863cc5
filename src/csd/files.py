"""Files that the program makes: new ones, never through a link into a file of somebody else."""

import os
import stat
from pathlib import Path
from typing import BinaryIO


def new_file(path: Path) -> BinaryIO:
    """Open a new file for writing and reading; whatever had the name loses it.

    Where that was a symbolic link or another name of a file, the file behind it stays as it is.
    Raises OSError, as `open` does.
    """
    path.unlink(missing_ok=True)
    return path.open("x+b")


def write_new(path: Path, text: str) -> None:
    """Write text, UTF-8, into a `new_file`."""
    with new_file(path) as file:
        file.write(text.encode("utf-8"))


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
