"""EXIF data out of a TIFF file's directories, and into those of a new one.

A TIFF file holds what EXIF data holds, spread over its own directories, with offsets from the start
of the file. Here the directories are copied with new offsets, value by value.
"""

import contextlib
import io
import struct
from typing import Any, BinaryIO

from csd.data.metadata import EXIF_DIRECTORY, GPS_DIRECTORY, TYPE_SIZES, byte_order

_INTEROPERABILITY = 0xA005
_DESCRIPTION = 270
# What the first directory says about the image and not about its layout: title, description,
# maker, model, software, date, author, computer, copyright.
_KEPT = (269, _DESCRIPTION, 271, 272, 305, 306, 315, 316, 33432)
# Descriptions that state the layout of the file they are in: ImageJ, tifffile, OME.
_LAYOUTS = (b"ImageJ=", b'{"shape', b"<?xml", b"<OME")
# The directories that each directory may point to.
_INNER = {None: (EXIF_DIRECTORY, GPS_DIRECTORY), EXIF_DIRECTORY: (_INTEROPERABILITY,)}
_POINTERS = {4: "I", 13: "I", 16: "Q", 18: "Q"}  # type of a pointer -> how it is packed
_LONG, _LONG8 = 4, 16
_MAX_BYTES, _MAX_ENTRIES = 1 << 24, 4096

# Entries of (tag, type, count, value); a directory that is pointed to is a list of its own.
Directory = list[tuple[int, int, int, Any]]


def read_directory(
    file: BinaryIO, order: str, big: bool, offset: int, name: int | None = None
) -> Directory:
    """The directory at `offset` with those it points to; values that are cut short are left out.

    order: `<` or `>`; big: the file is a BigTIFF; name: the tag that points here, None for the
    first directory of the file.

    Raises:
        struct.error: there is no directory at `offset`.
    """
    head, row, slot = ("Q", "HHQ8s", 8) if big else ("H", "HHI4s", 4)
    file.seek(offset)
    (count,) = struct.unpack(order + head, file.read(struct.calcsize(head)))
    width = struct.calcsize(order + row)
    rows = file.read(min(count, _MAX_ENTRIES) * width)
    found: Directory = []
    for tag, kind, length, field in struct.iter_unpack(
        order + row, rows[: len(rows) // width * width]
    ):
        if tag in _INNER.get(name, ()) and kind in _POINTERS:
            with contextlib.suppress(struct.error):
                (place,) = struct.unpack_from(order + _POINTERS[kind], field)
                found.append((tag, _LONG, 1, read_directory(file, order, big, place, tag)))
            continue
        size = TYPE_SIZES.get(kind, 0) * length
        if not 0 < size < _MAX_BYTES:
            continue
        value = field[:size]
        if size > slot:
            file.seek(struct.unpack(order + ("Q" if big else "I"), field)[0])
            value = file.read(size)
        if len(value) == size:
            found.append((tag, kind, length, value))
    return found


def write_directory(directory: Directory, order: str, big: bool, place: int) -> bytes:
    """The bytes of a directory that will lie at `place`, with its values and inner directories."""
    head, row, slot = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    start = place + struct.calcsize(head) + len(directory) * (struct.calcsize(order + row) + slot)
    start += slot  # the link to the next directory
    rows, tail = bytearray(), bytearray()
    for tag, kind, count, value in sorted(directory, key=lambda entry: entry[0]):
        at = start + len(tail)
        field = struct.pack(order + ("Q" if big else "I"), at)
        if isinstance(value, list):
            kind = _LONG8 if big else _LONG
            tail += write_directory(value, order, big, at)
        elif len(value) > slot:
            tail += value
        else:
            field = value.ljust(slot, b"\0")
        tail += bytes(len(tail) % 2)  # values begin at even places
        rows += struct.pack(order + row, tag, kind, count) + field
    return struct.pack(order + head, len(directory)) + bytes(rows) + bytes(slot) + bytes(tail)


def _kept(file: BinaryIO, order: str, big: bool, offset: int) -> Directory:
    """What the first directory says beside the layout, and the directories that it points to."""

    def is_kept(tag: int, value: "bytes | Directory") -> bool:
        if isinstance(value, list):
            return bool(value)
        return tag in _KEPT and not (tag == _DESCRIPTION and value.startswith(_LAYOUTS))

    return [e for e in read_directory(file, order, big, offset) if is_kept(e[0], e[3])]


def exif_of_tiff(file: BinaryIO, order: str, big: bool, offset: int) -> bytes | None:
    """What the first directory, at `offset`, says beside the pixels, as EXIF data, or None."""
    entries = _kept(file, order, big, offset)
    if not entries:
        return None
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + write_directory(entries, order, False, 8)


def split_exif(block: bytes) -> tuple[Directory, Directory]:
    """Of EXIF data: entries for the first directory of a TIFF file, and the inner directories."""
    order = byte_order(block)
    (offset,) = struct.unpack(order + "I", block[4:8])
    entries = _kept(io.BytesIO(block), order, False, offset)
    plain = [entry for entry in entries if not isinstance(entry[3], list)]
    return plain, [entry for entry in entries if isinstance(entry[3], list)]


def _fields(file: BinaryIO, order: str, big: bool) -> dict[int, int]:
    """Tag -> place of its value field in the first directory of a TIFF file."""
    word, head, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    file.seek(8 if big else 4)
    (offset,) = struct.unpack(order + word, file.read(struct.calcsize(word)))
    file.seek(offset)
    (count,) = struct.unpack(order + head, file.read(struct.calcsize(head)))
    rows, start = file.read(count * entry), offset + struct.calcsize(head)
    tags = (struct.unpack_from(order + "H", rows, entry * row)[0] for row in range(count))
    return {tag: start + entry * row + (12 if big else 8) for row, tag in enumerate(tags)}


def append_directories(file: BinaryIO, directories: Directory, order: str, big: bool) -> None:
    """Write the directories to the end of a TIFF file, and their offsets to their tags' values.

    The tags are in the file's first directory.
    """
    fields = _fields(file, order, big)
    for tag, _, _, value in directories:
        end = file.seek(0, io.SEEK_END)
        end += end % 2
        file.seek(end)
        file.write(write_directory(value, order, big, end))
        file.seek(fields[tag])
        file.write(struct.pack(order + ("Q" if big else "I"), end))
    file.seek(0, io.SEEK_END)
