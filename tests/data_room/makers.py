"""Image files of every layout, byte by byte: what no library writes is written here."""

import io
import lzma
import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin

TIFF_COMPRESSIONS = {
    "none": 1, "LZW": 5, "Deflate": 8, "old Deflate": 32946, "PackBits": 32773, "LZMA": 34925,
    "Zstandard": 50000, "Group 3": 3, "Group 4": 4,
}  # fmt: skip
_PILLOW = {5: "tiff_lzw", 32773: "packbits", 50000: "zstd", 3: "group3", 4: "group4"}
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def to_bits(values, bits, order="<"):
    """Integers (rows, n) as bytes, each row padded to whole bytes; 16 bits in byte order."""
    if bits == 16:
        return np.ascontiguousarray(values, f"{order}u2").tobytes()
    digits = (values.astype(np.int64)[:, :, None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(digits.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def _squeeze(data, compression, row_bits):
    """One segment, compressed; fax codes need to know the length of a row."""
    if compression == 1:
        return data
    if compression in (8, 32946):
        return zlib.compress(data)
    if compression == 34925:
        return lzma.compress(data)
    rows = np.frombuffer(data, np.uint8).reshape(1, -1)
    image = Image.fromarray(rows)
    if compression in (3, 4):
        bits = np.unpackbits(rows.reshape(-1, (row_bits + 7) // 8), axis=1)[:, :row_bits]
        image = Image.fromarray(bits.astype(bool))
    file = io.BytesIO()
    image.save(file, "TIFF", compression=_PILLOW[compression])
    with TiffImagePlugin.TiffImageFile(io.BytesIO(file.getvalue())) as back:
        (start,), (count,) = back.tag_v2[273], back.tag_v2[279]
    return file.getvalue()[start : start + count]


def _segments(stored, bits, order, compression, predictor, tile, rows, separate):
    height, width, _ = stored.shape
    down, across = tile or (rows, width)
    planes = np.moveaxis(stored, 2, 0)[..., None] if separate else [stored]
    for plane in planes:
        for top in range(0, height, down):
            for left in range(0, width, across):
                part = plane[top : top + down, left : left + across].astype(np.int64)
                if tile:
                    missing = (down - part.shape[0], across - part.shape[1])
                    part = np.pad(part, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
                if predictor == 2:
                    part[:, 1:] = (part[:, 1:] - part[:, :-1]) % (1 << bits)
                data = to_bits(part.reshape(len(part), -1), bits, order)
                yield _squeeze(data, compression, part.shape[1] * part.shape[2] * bits)


def tiff(stored, bits, *, photometric, extra=(), order="<", compression="none", predictor=1,
         tile=None, rows=5, separate=False, big=False, reverse=False, orientation=None,
         palette=None, tags=()):  # fmt: skip
    """A TIFF file of the integers `stored` (H, W, samples).

    extra: ExtraSamples; tile: (height, width) or None for strips of `rows`; reverse: FillOrder 2;
    tags: further (code, type, values).
    """
    height, width, samples = stored.shape
    code = TIFF_COMPRESSIONS[compression]
    parts = list(_segments(stored, bits, order, code, predictor, tile, rows, separate))
    if reverse:
        parts = [part.translate(_REVERSED) for part in parts]
    offset, lengths = 16, [len(part) for part in parts]
    starts = [offset + sum(lengths[:n]) for n in range(len(parts))]
    long = 16 if big else 4
    entries = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [code]),
        (262, 3, [photometric]), (277, 3, [samples]), (284, 3, [2 if separate else 1]),
        *tags,
    ]  # fmt: skip
    if tile:
        entries += [(322, 4, [tile[1]]), (323, 4, [tile[0]]), (324, long, starts)]
        entries += [(325, long, lengths)]
    else:
        entries += [(273, long, starts), (278, 4, [rows]), (279, long, lengths)]
    if extra:
        entries.append((338, 3, list(extra)))
    if predictor == 2:
        entries.append((317, 3, [2]))
    if reverse:
        entries.append((266, 3, [2]))
    if orientation is not None:
        entries.append((274, 3, [orientation]))
    if palette is not None:
        entries.append((320, 3, [int(value) for value in palette.T.ravel()]))
    return _directory(b"".join(parts), sorted(entries), order, big)


def _directory(body, entries, order, big):
    kinds = {2: "s", 3: "H", 4: "I", 7: "s", 16: "Q"}
    mark = b"II" if order == "<" else b"MM"
    word, room = ("Q", 8) if big else ("I", 4)
    at = 16 + len(body) + len(body) % 2
    table = struct.pack(order + ("Q" if big else "H"), len(entries))
    after = at + len(table) + len(entries) * (20 if big else 12) + room
    heap = b""
    for code, kind, values in entries:
        letter = kinds[kind]
        if letter == "s":
            data, count = bytes(values), len(values)
        else:
            data, count = struct.pack(f"{order}{len(values)}{letter}", *values), len(values)
        table += struct.pack(f"{order}HH{word}", code, kind, count)
        if len(data) <= room:
            table += data.ljust(room, b"\0")
        else:
            table += struct.pack(order + word, after + len(heap))
            heap += data + b"\0" * (len(data) % 2)
    table += bytes(room)
    if big:
        head = mark + struct.pack(order + "HHHQ", 43, 8, 0, at)
    else:
        head = mark + struct.pack(order + "HI", 42, at) + bytes(8)
    return head + body + b"\0" * (len(body) % 2) + table + heap


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filter_rows(rows, step, rng):
    """Packed rows, each with one of PNG's five filters, by chance."""
    out, above = b"", np.zeros(rows.shape[1], np.int64)
    for row in rows.astype(np.int64):
        left, corner = np.zeros_like(row), np.zeros_like(row)
        left[step:], corner[step:] = row[:-step], above[:-step]
        estimate = left + above - corner
        far = [np.abs(estimate - other) for other in (left, above, corner)]
        paeth = np.where(
            (far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner)
        )
        kind = int(rng.integers(5))
        guess = (0, left, above, (left + above) // 2, paeth)[kind]
        out += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    return out


def png(stored, bits, colour, *, interlaced=False, before=(), after=(), seed=0):
    """A PNG file of the integers `stored` (H, W, samples); before, after: chunks around IDAT."""
    height, width, samples = stored.shape
    rng = np.random.default_rng(seed)
    passes = [(0, 0, 1, 1)]
    if interlaced:  # first row and column, and their steps
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                  (0, 1, 2, 2), (1, 0, 2, 1)]  # fmt: skip
    data = b""
    for top, left, down, across in passes:
        part = stored[top::down, left::across]
        if part.size:
            packed = to_bits(part.reshape(len(part), -1), bits, ">")
            rows = np.frombuffer(packed, np.uint8).reshape(len(part), -1)
            data += _filter_rows(rows, max(1, samples * bits // 8), rng)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    parts = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(data)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pnm(stored, kind, top):
    """A PNM file P1 to P6 of the integers `stored` (H, W, 1 or 3)."""
    height, width = stored.shape[:2]
    head = f"P{kind}\n# made here\n{width} {height}\n" + (f"{top}\n" if kind not in (1, 4) else "")
    if kind <= 3:
        body = "\n".join(" ".join(map(str, row)) for row in stored.reshape(height, -1)).encode()
    elif kind == 4:
        body = to_bits(stored.reshape(height, -1), 1)
    else:
        body = stored.astype(">u2" if top > 255 else np.uint8).tobytes()
    return head.encode() + body
