"""Files that users name: opened once, here; and files that the program makes, never through a link.

A pipe or a device where a file is expected is refused and never waited for; whatever else the
system refuses (no permission, a name too long, a loop of links) is one sentence.
"""

import fcntl
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from csd.errors import InputError, WorkError, explain_os_error, shown

# Text that a program reads whole is small; more is another file, or an attack on the memory.
MAX_TEXT = 64 << 20

# Temporary names that this process has written to; after the renaming nothing has such a name.
_unfinished: set[Path] = set()


def open_regular(path: str | Path, what: str = "a file") -> BinaryIO:
    """Open a regular file for reading bytes. `what` it should be is part of the sentence.

    Raises InputError: it does not exist, is a folder, pipe, socket or device, may not be read.
    """
    try:
        return open_file(path)
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, expected {what}") from None
    except OSError as error:
        raise explain_os_error(error, path) from error
    except ValueError as error:  # a null byte in the name
        raise InputError(f"{shown(str(path))} is no name of a file: {error}") from error


def open_file(path: str | Path) -> BinaryIO:
    """As `open_regular`, with the OSError as it is; InputError for a pipe, socket or device."""
    at_once = os.O_NONBLOCK | os.O_CLOEXEC
    # Path.open takes no opener.
    file = open(path, "rb", opener=lambda p, flags: os.open(p, flags | at_once))  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise InputError(f"{path} is a pipe, socket or device, not a file; copy it to a file first")


def exists(path: str | Path) -> bool:
    """Whether something has the name, a broken link too.

    Where it cannot be looked up (no permission, a name too long) it exists: opening it then gives
    the reason.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def read_bytes(path: str | Path, what: str = "a file") -> bytes:
    """All bytes of a regular file; InputError as `open_regular`."""
    with open_regular(path, what) as file:
        try:
            return file.read()
        except OSError as error:
            raise explain_os_error(error, path) from error


def read_text(path: str | Path, what: str = "a text file") -> str:
    """The text of a regular file, UTF-8; InputError as `open_regular`, also above MAX_TEXT."""
    with open_regular(path, what) as file:
        try:
            content = file.read(MAX_TEXT + 1)
        except OSError as error:
            raise explain_os_error(error, path) from error
    if len(content) > MAX_TEXT:
        raise InputError(f"{path} is larger than {MAX_TEXT >> 20} MiB, expected {what}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text, expected {what}") from None


def digest_of(file: BinaryIO, kind: str = "sha256") -> str:
    """Digest, hexadecimal, of what is left of an open file."""
    digest = hashlib.new(kind)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def read_json(path: str | Path, check: Callable[[Any], None], what: str, remedy: str) -> Any:
    """The content of a JSON file, held to a check of `csd.schema`.

    Raises InputError, which ends with the remedy, where it is no JSON or not what `check` takes.
    """
    return parse_json(read_text(path, what), check, f"{path} is not {what}", remedy)


def parse_json(text: str, check: Callable[[Any], None], complaint: str, remedy: str) -> Any:
    """As `read_json`, of text; the sentence is `complaint: reason; remedy`."""
    try:
        content = json.loads(text)
        check(content)
    except (ValueError, RecursionError) as error:  # of JSON's own, of the check, too deep
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{complaint}: {reason}; {remedy}") from None
    return content


def make_folder(path: str | Path, option: str = "") -> Path:
    """Make a folder, and those above it, where there is none; returns it.

    Raises InputError, naming the `option` that chose it, where that is impossible.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = type(explain_os_error(error))
        reason = error.strerror or error
        raise kind(f"{option} {path} cannot be made: {reason}".lstrip()) from error
    return path


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
    # Names on disk may be any bytes: what is no text in one is escaped, in JSON as JSON has it.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it; WorkError where that fails."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, f".{path.name}.tmp") as file:
            file.write(content)


@contextmanager
def whole_file(path: Path, temporary: str) -> Iterator[BinaryIO]:
    """A new file that gets the name `path` at the end of the block, or leaves nothing behind.

    `temporary`: its name until then. WorkError where that fails.
    """
    unfinished = path.with_name(temporary)
    try:
        with writing(path):
            with new_file(unfinished) as file:
                yield file
            unfinished.replace(path)
    finally:
        with suppress(OSError):  # what stopped the writing may stop this too
            unfinished.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """What the system refuses in here is one sentence, a WorkError."""
    try:
        yield
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def temporary_folder(parent: Path, prefix: str = ".") -> Iterator[Path]:
    """A folder that is removed at the end, also when the process is interrupted."""
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix, ignore_cleanup_errors=True) as name:
        _unfinished.add(Path(name))
        yield Path(name)
    _unfinished.discard(Path(name))


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """A lock on a folder, until the end of the process at the latest: it is in use."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def remove_stale_folders(parent: Path, prefix: str, age: float = 60.0) -> None:
    """Remove folders that killed processes left: of this prefix, held by nobody, not quite new."""
    for folder in parent.glob(f"{glob.escape(prefix)}*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # no folder, or somebody else's
            continue
        try:
            # Between its making and its lock a folder is held by nobody, for an instant.
            if time.time() - os.fstat(handle).st_mtime > age:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(handle)


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
