"""Bytes that TIFF's compressions packed, unpacked by the libtiff that Pillow brings along."""

import io
import struct

from PIL import TiffImagePlugin

_SHORT, _LONG = 3, 4


def expand_with_libtiff(compression: int, data: bytes, size: int) -> bytes:
    """`size` bytes of one compressed segment, as they were before.

    The segment becomes the only strip of a grey image of one row, so that nothing but the
    compression is undone. compression: TIFF's number: 5 LZW, 32773 PackBits, 50000 Zstandard.

    Raises:
        OSError: the segment is damaged or cut short.
    """
    padded = data + b"\0" * (len(data) % 2)
    tags = [
        (256, _LONG, size),
        (257, _LONG, 1),
        (258, _SHORT, 8),
        (259, _SHORT, compression),
        (262, _SHORT, 1),
        (273, _LONG, 8),
        (277, _SHORT, 1),
        (278, _LONG, 1),
        (279, _LONG, len(data)),
    ]
    head = b"II*\0" + struct.pack("<I", 8 + len(padded))
    entries = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in tags)
    file = io.BytesIO(head + padded + struct.pack("<H", len(tags)) + entries + bytes(4))
    with TiffImagePlugin.TiffImageFile(file) as image:
        image.load()
        return image.tobytes()
