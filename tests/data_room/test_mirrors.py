"""Where a server is gone, or has something else, the next one is asked, and named."""

import http.server
import io
import re
import socket
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from data_room.local_server import serving
from PIL import Image

from csd.data import imresize_bicubic, modcrop, read_image, write_png
from csd.data.download.datasets import ITEMS, Archive, discard, download
from csd.errors import WorkError

NAMES = ("baby", "bird", "butterfly", "head", "woman")


@pytest.fixture
def server():
    """A server of `files` (path -> bytes); `url(path)`; `asked` is what was asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            data = self.server.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked = {}, []
    server.url = lambda path: f"http://127.0.0.1:{server.server_address[1]}{path}"
    with serving(server):
        yield server


@pytest.fixture
def images(tmp_path):
    """Five images of Set5's sizes: name -> PNG bytes."""
    found = {}
    for number, name in enumerate(NAMES):
        rows, columns = np.arange(228 + number), np.arange(344)
        pixels = (rows[:, None, None] + 2 * columns[:, None] + 40 * np.arange(3) + number) % 256
        write_png(tmp_path / "made.png", pixels.astype(np.uint8))
        found[name] = (tmp_path / "made.png").read_bytes()
    return found


def archive(images, folder="Set5_HR"):
    """As the copies are packed: `Set5_HR/baby.png` in a .tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in images.items():
            info = tarfile.TarInfo(f"{folder}/{name}.png")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def dead_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/benchmark.tar"


def items(first, *mirrors):
    """Set5 with other servers."""
    changed = replace(
        ITEMS["set5"], archives=(Archive(first),), mirrors=tuple((Archive(m),) for m in mirrors)
    )
    return {"set5": changed}


@pytest.fixture
def get(caplog):
    """Function: download Set5 into a folder, and what was logged."""
    caplog.set_level("INFO", "csd")

    def call(folder, table, **options):
        discard(download("set5", folder, wait=0, items=table, **options))
        return caplog.messages

    return call


def test_a_server_that_is_gone_is_replaced(get, server, tmp_path, images):
    server.files["/Set5_HR.tar.gz"] = archive(images)
    dead, alive = dead_address(), server.url("/Set5_HR.tar.gz")
    said = get(tmp_path / "data", items(dead, alive))
    assert said[0] == f"{dead} does not answer; trying {alive}"
    assert f"Set5/HR: from {alive}" in said
    found = sorted(path.name for path in (tmp_path / "data/Set5/HR").iterdir())
    assert found == [f"{name}.png" for name in NAMES]
    for name in NAMES:
        hr = tmp_path / "data/Set5/HR" / f"{name}.png"
        assert hr.read_bytes() == images[name]
        for scale in (2, 3, 4):  # these copies are HR alone
            lr = read_image(tmp_path / f"data/Set5/LR_bicubic/X{scale}/{name}x{scale}.png")
            wanted = imresize_bicubic(modcrop(read_image(hr), scale), 1 / scale)
            np.testing.assert_array_equal(lr, wanted)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["Set5"]


def test_the_first_server_that_delivers_serves(get, server, tmp_path, images):
    server.files["/Set5_HR.tar.gz"] = archive(images)
    first, second = server.url("/Set5_HR.tar.gz"), server.url("/other.tar.gz")
    assert f"Set5/HR: from {first}" in get(tmp_path / "data", items(first, second))
    assert server.asked == ["/Set5_HR.tar.gz"]


def wrong_archives(images):
    """Sentence -> an archive that is not what it should be."""
    four = {name: images[name] for name in NAMES[:4]}
    small = io.BytesIO()
    Image.new("RGB", (100, 80)).save(small, "PNG")
    return {
        "has 4 images, expected 5": archive(four),
        "has 6 images, expected 5": archive({**images, "more": images["bird"]}),
        r"head\.png of .* measures 100x80, expected sides of 228 to 512 pixels": archive(
            {**images, "head": small.getvalue()}
        ),
        r"head\.png of .* cannot be read as an image": archive({**images, "head": b"no image"}),
        "is damaged": archive(images)[:-1000],
        "points outside": archive({**images, "../../x": images["bird"]}),
        "404 Not Found": None,
    }


@pytest.mark.parametrize("number", range(7))
def test_what_is_not_the_data_set_is_replaced(get, server, tmp_path, images, number):
    sentence, data = list(wrong_archives(images).items())[number]
    if data is not None:
        server.files["/wrong.tar.gz"] = data
    server.files["/Set5_HR.tar.gz"] = archive(images)
    wrong, right = server.url("/wrong.tar.gz"), server.url("/Set5_HR.tar.gz")
    said = get(tmp_path / "data", items(wrong, wrong, right))
    assert sum(bool(re.search(f"{sentence}.*; trying ", line)) for line in said) == 2
    assert f"Set5/HR: from {right}" in said
    for name in NAMES:
        assert (tmp_path / f"data/Set5/HR/{name}.png").read_bytes() == images[name]
    assert len(list((tmp_path / "data/Set5/HR").iterdir())) == 5


def test_where_none_delivers_all_are_named_and_nothing_is_left(get, server, tmp_path, images):
    server.files["/few.tar.gz"] = archive({"baby": images["baby"]})
    dead, few = dead_address(), server.url("/few.tar.gz")
    with pytest.raises(WorkError) as failure:
        get(tmp_path / "data", items(dead, few))
    assert str(failure.value).startswith(f"{dead} does not answer; Set5/HR has 1 images, expected")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_mirror_of_your_own_is_the_only_one_asked(get, server, tmp_path, images):
    server.files["/Set5_HR.tar.gz"] = archive(images)
    server.files["/mine.tar.gz"] = archive(images)
    said = get(
        tmp_path / "data",
        items(server.url("/gone.tar"), server.url("/Set5_HR.tar.gz")),
        url=server.url("/mine.tar.gz"),
    )
    assert f"Set5/HR: from {server.url('/mine.tar.gz')}" in said
    assert server.asked == ["/mine.tar.gz"]
    server.asked.clear()
    with pytest.raises(WorkError, match="404"):
        get(tmp_path / "other", items(server.url("/Set5_HR.tar.gz")), url=server.url("/none.tar"))
    assert set(server.asked) == {"/none.tar"}


def test_every_benchmark_set_has_a_copy_beside_the_authors_server():
    """The addresses themselves are not asked here."""
    copies = {"set5": "Set5", "set14": "Set14", "b100": "BSD100", "urban100": "Urban100"}
    for name, copy in copies.items():
        ((mirror,),) = ITEMS[name].mirrors
        assert mirror.url == (
            f"https://huggingface.co/datasets/eugenesiow/{copy}/resolve/main/data/{copy}_HR.tar.gz"
        )
        pattern, target = ITEMS[name].members[-1]
        folder = ITEMS[name].images[0].hr
        assert re.fullmatch(pattern, f"{copy}_HR/a.png").expand(target) == f"{folder}/a.png"
