"""Servers and archives that mean harm: one sentence, and an end."""

import fcntl
import http.server
import io
import lzma
import os
import tarfile
import threading
import time
import zipfile

import pytest

from csd.data.download import fetch as fetch_module
from csd.data.download.archives import BadArchive, unpack
from csd.data.download.fetch import fetch
from csd.data.download.http import ascii_address
from csd.errors import InputError, WorkError


@pytest.fixture
def serve():
    """Function: answer every request with what `answer(handler)` writes; the address."""
    servers = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answering(body=b"data", status=200, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 40, "-5", "²", "1e3", "four"])
def test_an_absurd_length_is_no_length(serve, tmp_path, length):
    url = serve(answering(Content_Length=length)) + "/a"
    fetch(url, tmp_path / "a", wait=0.0)
    assert (tmp_path / "a").read_bytes() == b"data"


def test_a_length_above_the_limit(serve, tmp_path):
    url = serve(answering(Content_Length="9" * 18)) + "/a"
    with pytest.raises(WorkError, match=r"the server has 9{18} bytes, expected at most"):
        fetch(url, tmp_path / "a", wait=0.0)


@pytest.mark.parametrize(
    "place",
    ["http://[::1", "http://a b\x7f/", "http://" + "a" * 70 + ".example/", "http://h:99999999/",
     "file:///etc/passwd", "http://", "http://\xe9\xe9"],
)  # fmt: skip
def test_redirects_to_what_is_no_address(serve, tmp_path, place):
    url = serve(answering(status=302, Location=place)) + "/a"
    with pytest.raises(WorkError) as refused:
        fetch(url, tmp_path / "a", wait=0.0, timeout=5)
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "a").exists()


def test_addresses_that_are_not_ascii(serve, tmp_path):
    asked = []

    def answer(handler):
        asked.append(handler.path)
        answering()(handler)

    fetch(serve(answer) + "/bilder/größe.png?x=é b", tmp_path / "a")
    assert asked == ["/bilder/gr%C3%B6%C3%9Fe.png?x=%C3%A9%20b"]
    assert ascii_address("https://bücher.example:8/ü") == "https://xn--bcher-kva.example:8/%C3%BC"
    assert ascii_address("http://[::1]:80/a%20b") == "http://[::1]:80/a%20b"
    for url in ("ftp://a/b", "http:///b", "http://[::1", "a", "", "http://h:x/", "http://h:99999/"):
        with pytest.raises(InputError, match="is no address"):
            ascii_address(url)


def drip(handler, head):
    handler.wfile.write(head)
    try:
        for _ in range(400):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nX: "])
def test_a_server_that_drips_is_left(serve, tmp_path, monkeypatch, head):
    monkeypatch.setattr(fetch_module, "_TRIES", 1)
    url = serve(lambda handler: drip(handler, head)) + "/a"
    started = time.monotonic()
    with pytest.raises(WorkError, match=r"bytes a second|cannot be fetched"):
        fetch(url, tmp_path / "a", wait=0.0, timeout=0.5)
    assert time.monotonic() - started < 10


def test_two_downloads_at_once(serve, tmp_path, caplog):
    caplog.set_level("INFO", "csd")
    url = serve(answering(body=bytes(1000))) + "/a"
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    thread = threading.Thread(target=fetch, args=(url, tmp_path / "a"))
    thread.start()
    time.sleep(0.3)
    assert not (tmp_path / "a").exists() and "waiting for it" in caplog.messages[0]
    (tmp_path / "a").write_bytes(b"brought by the other")
    os.close(holder)
    thread.join(10)
    assert caplog.messages[1].endswith("already there")
    assert (tmp_path / "a").read_bytes() == b"brought by the other"


def test_what_a_server_says_is_printed_without_control_characters(serve, tmp_path, caplog):
    caplog.set_level("INFO", "csd")

    def answer(handler):
        handler.wfile.write(b"HTTP/1.0 503 a\x1b[31mred\r\n\r\n")

    with pytest.raises(WorkError):
        fetch(serve(answer) + "/a", tmp_path / "a", wait=0.0)
    lines = caplog.messages
    assert lines and all(line.isprintable() for line in lines)
    assert any(r"a\x1b[31mred" in line for line in lines)


MEMBERS = [(r"(?:.*/)?([^/]+)\.png", r"HR/\1.png")]


def tar_of(*entries, mode="w"):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode, format=tarfile.PAX_FORMAT) as file:
        for name, content, pax in entries:
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), pax
            file.addfile(info, io.BytesIO(content))
    return data.getvalue()


def damaged():
    whole = tar_of(("a.png", os.urandom(10_000), {}))
    packed = bytearray(lzma.compress(whole))
    packed[len(packed) // 2] ^= 0xFF
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.png", bytes(range(256)) * 40)
    lzma_zip = bytearray(zipped.getvalue())
    lzma_zip[60:90] = bytes(30)
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"}
    return {
        "xz": bytes(packed),
        "xz cut": lzma.compress(whole)[:6000],
        "zip lzma": bytes(lzma_zip),
        "sparse 1.0": tar_of(("a.png", b"nonsense\n", sparse)),
        "sparse count": tar_of(("a.png", b"9" * 600, {**sparse, "GNU.sparse.realsize": "5"})),
        "sparse 0.1": tar_of(("a.png", b"x", {"GNU.sparse.map": "1,x", "GNU.sparse.size": "5"})),
        "sparse 0.0": tar_of(("a.png", b"x", {"GNU.sparse.size": "-7", "GNU.sparse.offset": "q"})),
        "pax size": tar_of(("a.png", b"x", {"size": "ten"})),
        "old sparse": whole[:156] + b"S" + whole[157:386] + b"\xff" * 100 + whole[486:],
    }


@pytest.mark.parametrize("kind", [*damaged()])
def test_damaged_archives_are_named_and_removed(tmp_path, kind):
    archive = tmp_path / "x.archive"
    archive.write_bytes(damaged()[kind])
    try:
        count = unpack(archive, tmp_path / "out", MEMBERS)
    except BadArchive as error:
        assert "x.archive" in str(error) and str(error).endswith("it was removed")
        assert not archive.exists()
    else:  # Python's tarfile takes some of these headers for those of a usual file
        assert kind in ("sparse 0.0", "pax size", "old sparse") and count in (0, 1)
    assert {path.name for path in tmp_path.iterdir()} <= {"x.archive", "out"}


def test_names_of_members_that_are_no_text(tmp_path):
    archive = tmp_path / "x.tar"
    name = os.fsdecode(b"a\xff\x1b[2J.png")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as file:
        info = tarfile.TarInfo(name)
        info.size = 3
        file.addfile(info, io.BytesIO(b"abc"))
    archive.write_bytes(data.getvalue())
    assert unpack(archive, tmp_path / "out", MEMBERS) == 1
    assert (tmp_path / "out" / "HR" / name).read_bytes() == b"abc"
