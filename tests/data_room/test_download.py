"""Data sets from a local server: archives, damaged, hostile or endless, and images verified."""

import bz2
import gzip
import hashlib
import io
import lzma
import re
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from csd.data import imresize_bicubic, modcrop, read_image
from csd.data.download import datasets
from csd.data.download.archives import BadArchive, unpack
from csd.data.download.datasets import ITEMS, Archive, ImageFolder, Item, discard, download
from csd.errors import InputError, WorkError, run_main


def png(seed, shape=(230, 240, 3)):
    rows, columns, channels = (np.arange(n) for n in shape)
    image = (rows[:, None, None] * 3 + columns[:, None] * channels + 7 * seed).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def tar_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


SET5 = {f"benchmark/Set5/HR/{name}.png": png(i) for i, name in enumerate("abcde")}


def get_set5(server, folder, **options):
    return download("set5", folder, wait=0, **options)


@pytest.mark.parametrize("archive_of", [tar_of, zip_of])
def test_set5_is_unpacked_to_our_layout_and_lr_is_made(server, tmp_path, archive_of):
    lr = {"benchmark/Set5/LR_bicubic/X4/ax4.png": png(9, (6, 7, 3))}
    other = {"benchmark/Set14/HR/z.png": png(7), "benchmark/Set5/HR/._a.png": b"mac"}
    server.files["/mirror.archive"] = archive_of({**SET5, **lr, **other})
    archives = get_set5(server, tmp_path, url=server.url("/mirror.archive"))
    discard(archives)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    wanted = [f"Set5/HR/{n}.png" for n in "abcde"]
    wanted += [f"Set5/LR_bicubic/X{s}/{n}x{s}.png" for s in (2, 3, 4) for n in "abcde"]
    assert found == sorted(wanted)
    assert (tmp_path / "Set5/LR_bicubic/X4/ax4.png").read_bytes() == png(9, (6, 7, 3))  # theirs
    made = read_image(tmp_path / "Set5/LR_bicubic/X3/bx3.png")
    hr = modcrop(read_image(tmp_path / "Set5/HR/b.png"), 3)
    np.testing.assert_array_equal(made, imresize_bicubic(hr, 1 / 3))
    count = len(server.requests)
    get_set5(server, tmp_path, url=server.url("/mirror.archive"))
    assert len(server.requests) == count  # complete: nothing is fetched


@pytest.mark.parametrize(
    "evil", ["../evil.png", "benchmark/Set5/HR/../../../evil.png", "/tmp/evil.png", "..\\evil.png"]
)
@pytest.mark.parametrize("archive_of", [tar_of, zip_of])
def test_names_that_point_outside_are_refused(server, tmp_path, archive_of, evil):
    server.files["/x.archive"] = archive_of({**SET5, evil: png(8)})
    folder = tmp_path / "deep" / "data"
    with pytest.raises(WorkError, match=r"refused: its member .*evil\.png' points outside"):
        get_set5(server, folder, url=server.url("/x.archive"))
    written = [p for p in tmp_path.rglob("*") if p.is_file() and ".download" not in p.parts]
    assert written == []
    assert not Path("/tmp/evil.png").exists()


def test_links_in_archives_are_refused(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        link = tarfile.TarInfo("Set5/HR/a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    server.files["/x.tar"] = buffer.getvalue()
    with pytest.raises(WorkError, match=r"member 'Set5/HR/a\.png' is a link"):
        get_set5(server, tmp_path, url=server.url("/x.tar"))
    assert not (tmp_path / "Set5").exists()


def test_damaged_and_incomplete_archives_are_named(server, tmp_path):
    server.files["/x.zip"] = b"this is no archive at all" * 40
    with pytest.raises(WorkError, match=r"x\.zip is damaged"):
        get_set5(server, tmp_path, url=server.url("/x.zip"))
    assert not (tmp_path / ".download" / "x.zip").exists()
    whole = bytearray(zip_of(SET5))
    whole[whole.index(b"IDAT") + 20] ^= 1
    server.files["/y.zip"] = bytes(whole)
    with pytest.raises(WorkError, match=r"y\.zip is damaged.*CRC"):
        get_set5(server, tmp_path, url=server.url("/y.zip"))
    server.files["/z.zip"] = zip_of(dict(list(SET5.items())[:4]))
    with pytest.raises(WorkError, match=r"Set5/HR has \d images, expected 5"):
        get_set5(server, tmp_path / "other", url=server.url("/z.zip"))


def sparse_tar(name, size):
    """A tar file in the old GNU form: 512 bytes of data stand for `size`."""
    info = tarfile.TarInfo(name)
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (size - 512, 512)
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(1024)


def bombs():
    """Name -> a small archive that unpacks to 256 MB and more."""
    zeros, size = bytes(1 << 20), 256 << 20
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("Set5/HR/a.png", "w", force_zip64=True) as member,
    ):
        for _ in range(size >> 20):
            member.write(zeros)
    for kind, open_kind in (("gz", gzip.open), ("bz2", bz2.open), ("xz", lzma.open)):
        info = tarfile.TarInfo("Set5/HR/a.png")
        info.size = size
        buffer = io.BytesIO()
        with open_kind(buffer, "wb", **({"preset": 0} if kind == "xz" else {})) as file:
            file.write(info.tobuf())
            for _ in range(size >> 20):
                file.write(zeros)
            file.write(bytes(1024))
        yield f"tar.{kind}", buffer.getvalue()
    # An extended header as large: it would be read into memory at once.
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, size
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb") as file:
        file.write(info.tobuf())
        for _ in range(size >> 20):
            file.write(zeros)
    yield "pax", buffer.getvalue()
    yield "zip", packed.getvalue()
    yield "sparse", sparse_tar("Set5/HR/a.png", 3 << 30)


def test_what_unpacks_to_a_hundred_times_its_size_is_refused(tmp_path):
    for kind, data in bombs():
        archive = tmp_path / f"x.{kind}"
        archive.write_bytes(data)
        assert len(data) < 2 << 20
        tracemalloc.start()
        with pytest.raises(BadArchive, match=r"refused: it unpacks to more than 10 times its size"):
            unpack(archive, tmp_path / "data", ITEMS["set5"].members)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20, kind
        tracemalloc.stop()
        assert not archive.exists()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_sparse_member_of_an_honest_size_is_unpacked(tmp_path):
    archive = tmp_path / "x.tar"
    archive.write_bytes(sparse_tar("Set5/HR/a.png", 5000))
    assert unpack(archive, tmp_path, ITEMS["set5"].members) == 1
    assert (tmp_path / "Set5/HR/a.png").read_bytes() == bytes(4488) + b"x" * 512


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_packed_archives(tmp_path, kind):
    compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind]
    data = compress(tar_of(SET5))
    archive = tmp_path / f"x.tar.{kind}"
    archive.write_bytes(data)
    assert unpack(archive, tmp_path, ITEMS["set5"].members) == 5
    for number, name in enumerate("abcde"):
        assert (tmp_path / f"Set5/HR/{name}.png").read_bytes() == png(number)
    rng = np.random.default_rng(0)
    for place in rng.integers(6, len(data), 40).tolist():  # one byte: right pixels, or named
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        archive.write_bytes(damaged)
        try:
            unpack(archive, tmp_path / str(place), ITEMS["set5"].members)
        except BadArchive as error:
            assert re.search(rf"x\.tar\.{kind} (is damaged|is refused|cannot be)", str(error))
            assert "it was removed" in str(error) and not archive.exists()


def test_a_bad_archive_is_removed_and_fetched_again(server, tmp_path, caplog):
    """One that an earlier call has kept, too: it would be blamed for ever."""
    url, kept = server.url("/x.tar"), tmp_path / ".download" / "x.tar"
    kept.parent.mkdir()
    kept.write_bytes(b"of another time" * 100)
    server.files["/x.tar"] = tar_of(SET5)
    caplog.set_level("INFO", "csd")
    download("set5", tmp_path, url=url, wait=0)
    again = r"x\.tar is damaged.*removed; fetching it again"
    assert any(re.search(again, line) for line in caplog.messages)
    assert (tmp_path / "Set5/HR/c.png").read_bytes() == png(2)

    few, folder = dict(list(SET5.items())[:4]), tmp_path / "few"
    server.files["/x.tar"] = tar_of(few)
    with pytest.raises(WorkError, match=r"4 images, expected 5.*start again to fetch"):
        get_set5(server, folder, url=url)
    server.files["/x.tar"] = tar_of(SET5)
    get_set5(server, folder, url=url)
    assert (folder / "Set5/HR/e.png").read_bytes() == png(4)


def test_an_image_that_cannot_be_read_is_named_with_the_remedy(server, tmp_path):
    server.files["/x.tar"] = tar_of({**SET5, "Set5/HR/c.png": b"no image"})
    with pytest.raises(WorkError, match=r"Set5/HR/c\.png of .*x\.tar cannot be read.*start again"):
        get_set5(server, tmp_path, url=server.url("/x.tar"))
    assert not any(tmp_path.iterdir())
    server.files["/x.tar"] = tar_of(SET5)
    get_set5(server, tmp_path, url=server.url("/x.tar"))
    assert (tmp_path / "Set5/HR/c.png").read_bytes() == png(2)
    (tmp_path / "Set5/HR/c.png").write_bytes(b"no image")
    (tmp_path / "Set5/LR_bicubic/X2/cx2.png").unlink()
    with pytest.raises(WorkError, match=r"Set5/HR/c\.png .*remove it and start again to fetch it"):
        get_set5(server, tmp_path, url=server.url("/x.tar"))


def test_mirrors(server, tmp_path, monkeypatch):
    photos = (ImageFolder("T_HR", 1, "T_LR"), ImageFolder("V_HR", 1, "V_LR"))
    archives = (Archive("https://example.org/a.zip", 12, "md5:0"), Archive("https://x.org/b.zip"))
    two = Item(archives, ((r"(?:.*/)?([TV]_HR/\d+\.png)", r"\1"),), photos)
    items = {"two": two}
    with pytest.raises(
        InputError, match=r"two is 2 archives.*ending in '/', that has a\.zip, b\.zip"
    ):
        download("two", tmp_path, url=server.url("/a.zip"), items=items, wait=0)
    server.files["/m/a.zip"] = zip_of({"T_HR/1.png": png(1)})
    with pytest.raises(WorkError, match="bytes, expected 12"):  # the usual name: the usual file
        download("two", tmp_path, url=server.url("/m/"), items=items, wait=0)
    data = server.files["/m/a.zip"]
    digest = "md5:" + hashlib.md5(data).hexdigest()
    usual = Archive(archives[0].url, len(data), digest)
    items["two"] = Item((usual, archives[1]), two.members, photos)
    server.files["/m/b.zip"] = zip_of({"sub/V_HR/2.png": png(2)})
    download("two", tmp_path, url=server.url("/m/"), items=items, scales=[2], wait=0)
    assert (tmp_path / "V_LR/X2/2x2.png").exists() and (tmp_path / "T_LR/X2/1x2.png").exists()
    with pytest.raises(InputError, match="'nine' is unknown; known are two"):
        download("nine", tmp_path, items=items)


@pytest.fixture(scope="module")
def tool():
    from csd.cli import download as module

    assert set(module.NAMES) == set(datasets.ITEMS)
    return lambda *argv: run_main(module.main, [str(a) for a in argv])


def test_tool(tool, server, tmp_path, capsys, caplog):
    caplog.set_level("INFO", "csd")
    server.files["/m.tar"] = tar_of(SET5)
    flags = ("--data_dir", tmp_path, "--url", server.url("/m.tar"), "--scales", "4")
    assert tool("set5", *flags) == 0
    assert f"set5: ready in {tmp_path}" in caplog.messages
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Set5"]  # the archive is gone
    assert [p.name for p in (tmp_path / "Set5/LR_bicubic").iterdir()] == ["X4"]
    server.files["/vgg.pth"] = b"weights"
    assert tool("vgg19", "--data_dir", tmp_path, "--url", server.url("/vgg.pth")) == 0
    assert (tmp_path / "vgg19-dcbb9e9d.pth").read_bytes() == b"weights"
    capsys.readouterr()
    assert tool("set6", "--data_dir", tmp_path) == 2
    assert capsys.readouterr().err.startswith("error: 'set6' is unknown; known are div2k")
    assert tool("set5", "--data_dir", tmp_path, "--scales", "5") == 2
    assert tool("set14", "--data_dir", tmp_path, "--url", server.url("/none.tar")) == 1
    assert "404" in capsys.readouterr().err
