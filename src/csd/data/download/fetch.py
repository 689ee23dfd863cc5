"""One file over HTTP: resumed where it broke off, its size and digest verified."""

import contextlib
import fcntl
import http.client
import json
import logging
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from csd.data.download.http import ascii_address, open_url
from csd.errors import InputError, WorkError, printable
from csd.files import digest_of, new_file, open_regular, read_text, write_new, writing

_log = logging.getLogger("csd.data")

_BLOCK = 1 << 18
_SLOWEST = 100  # bytes a second, over `timeout` seconds
_TRIES = 5  # in a row without a byte of progress
_BROKEN = (
    http.client.HTTPException,
    urllib.error.URLError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def fetch(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    digest: str | None = None,
    most: int = 4 << 30,
    wait: float = 1.0,
    timeout: float = 60.0,
) -> None:
    """Download `url` to `path`; what is there already is not fetched again.

    The file grows as `<path>.part`, also over several calls, and gets its name when it is whole.
    `size`: bytes; `most`: how many at the most, where the size is not known. `digest`:
    "sha256:<hex>" or "md5:<hex>"; a prefix of the hex digits will do.
    `wait`: seconds before the first repetition, doubled each time.

    Raises InputError for an address that is none or a `path` that is no file, WorkError when the
    server refuses, keeps breaking off, sends another size than it or we know, or the digest differs
    (the file is then removed).
    """
    url = ascii_address(url)
    if _is_there(url, path, size, digest):
        return
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(path):
            if not _is_there(url, path, size, digest):  # another process may have brought it
                sizes = _Sizes(size, most if size is None else size)
                try:
                    _bring(url, path, sizes, digest, wait, timeout)
                except urllib.error.URLError as error:
                    raise WorkError(f"{url} cannot be fetched: {error}") from error


def note(text: str) -> None:
    """Log a line without control characters: addresses and names come from elsewhere."""
    _log.info("%s", printable(text))


def _is_there(url: str, path: Path, size: int | None, digest: str | None) -> bool:
    if not path.exists():
        return False
    open_regular(path).close()  # a pipe would never end
    with contextlib.suppress(WorkError):
        _verify(url, path, size, digest)
        note(f"{path}: already there")
        return True
    return False


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Only one process downloads into a folder; others wait for it."""
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"{path}: another process downloads into this folder; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: continue without
        yield
    finally:
        os.close(handle)


def _bring(url, path: Path, sizes: "_Sizes", digest: str | None, wait, timeout) -> None:
    part, tag = (path.with_name(path.name + suffix) for suffix in (".part", ".part.json"))
    if part.is_symlink() or (part.exists() and not part.is_file()):
        part.unlink()
    _download(url, part, tag, sizes, wait, timeout)
    try:
        _verify(url, part, sizes.wanted, digest)
    except WorkError:
        part.unlink()
        raise
    part.replace(path)
    tag.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Sizes:
    """Bytes that a file has, where that is known, and that it may have."""

    wanted: int | None
    most: int


def _download(url, part: Path, tag: Path, sizes: _Sizes, wait: float, timeout: float) -> None:
    failures, best, reason = 0, _size(part), ""
    while True:
        try:
            total = _continue(url, part, tag, sizes, timeout)
            if total is None or _size(part) == total:
                return
            reason = f"it broke off after {_size(part)} of {total} bytes"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing behind what we have: whole, or from another file
                if sizes.wanted is not None and _size(part) == sizes.wanted:
                    return
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise WorkError(
                    f"{url}: the server answers {error.code} {_line(error.reason)}; give another "
                    "address with --url"
                ) from error
            reason = reason or f"the server answers {error.code} {_line(error.reason)}"
        except (ValueError, http.client.InvalidURL) as error:  # UnicodeError is a ValueError
            raise WorkError(
                f"{url}: it redirects to an address that is none ({error}); give another address "
                "with --url"
            ) from error
        except _BROKEN as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        # Further than ever, not than last time: a server may start anew again and again.
        failures = 0 if _size(part) > best else failures + 1
        best = max(best, _size(part))
        if failures >= _TRIES:
            kept = "; what has come is kept, start again to resume" if part.exists() else ""
            raise WorkError(f"{url} cannot be fetched: {reason}{kept}")
        if failures:
            note(f"{url}: {reason}; trying again")
            time.sleep(wait * 2 ** (failures - 1))


def _continue(url, part: Path, tag: Path, sizes: _Sizes, timeout: float) -> int | None:
    """One request for what is missing; returns the whole file's length if the server knows it."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "csd"})
    if have:
        version = _read_tag(tag, url)
        if version is None:  # nothing shows whether the rest would fit
            have = 0
        else:
            request.add_header("Range", f"bytes={have}-")
            request.add_header("If-Range", version)
    with open_url(request, timeout) as answer:
        start, total = _extent(answer)
        if start != have:
            have = 0
            if start:
                raise ConnectionError(f"the server sends bytes from {start}, not from {have}")
        if total is not None and (total > sizes.most or total != (sizes.wanted or total)):
            expected = sizes.wanted or f"at most {sizes.most}"
            raise WorkError(f"{url}: the server has {total} bytes, expected {expected}")
        write_new(tag, json.dumps({"url": url, "version": _version(answer)}))
        known = sizes.wanted if sizes.wanted is not None else total
        limit = sizes.most if known is None else known
        with part.open("ab") if have else new_file(part) as file:
            tenth = have * 10 // max(limit, 1)
            pace = _Pace(url, timeout)
            while block := answer.read1(_BLOCK):
                have += len(block)
                pace.add(len(block))
                if have > limit:
                    part.unlink()
                    raise WorkError(
                        f"{url}: the server sends more than "
                        f"{'it may' if known is None else 'it has'}, {limit} bytes; it was removed"
                    )
                file.write(block)
                if known and have * 10 // known > tenth:
                    tenth = have * 10 // known
                    note(f"{part.stem}: {tenth * 10} % of {known / 1e6:.1f} MB")
    return total


def _line(reason: object) -> str:
    """A reason of urllib or of a server in one short line."""
    return " ".join(str(reason).split())[:200]


class _Pace:
    """WorkError where a server sends next to nothing: a byte now and then keeps a socket alive."""

    def __init__(self, url: str, seconds: float):
        self.url, self.seconds = url, seconds
        self.since, self.bytes = time.monotonic(), 0

    def add(self, count: int) -> None:
        """Count what has come; checked once in `seconds`."""
        self.bytes += count
        spent = time.monotonic() - self.since
        if spent < self.seconds:
            return
        if self.bytes < _SLOWEST * spent:
            raise WorkError(
                f"{self.url}: the server sends {self.bytes / spent:.0f} bytes a second, at least "
                f"{_SLOWEST} are expected; what has come is kept, start again to resume"
            )
        self.since, self.bytes = time.monotonic(), 0


def _extent(answer) -> tuple[int, int | None]:
    """(first byte, length of the whole file or None) of an answer."""
    if answer.status == 206:
        match = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)",
            answer.headers.get("Content-Range", ""),
        )
        if match is None:
            raise ConnectionError("the server does not say which part it sends")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None


def _version(answer) -> str | None:
    """What distinguishes this version of the file from another one: a strong ETag, or its date."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _read_tag(tag: Path, url: str) -> str | None:
    try:
        content = json.loads(read_text(tag))
        version = content["version"] if content["url"] == url else None
        return version if isinstance(version, str) and version.isprintable() else None
    except (InputError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _verify(url: str, path: Path, size: int | None, digest: str | None) -> None:
    found = _size(path)
    if size is not None and found != size:
        raise WorkError(f"{url}: {found} bytes have come, expected {size}")
    if digest is None:
        return
    kind, _, wanted = digest.partition(":")
    with path.open("rb") as file:
        have = digest_of(file, kind)
    if not have.startswith(wanted):
        raise WorkError(
            f"{url}: the file has {kind} {have[:16]}..., expected {wanted[:16]}...; it was removed"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
