"""Fetching one file from a local server that breaks off and lies about sizes."""

import hashlib
import os

import pytest
from data_room.local_server import DATA

from csd.data.download import fetch as fetch_module
from csd.data.download.fetch import fetch
from csd.errors import InputError, WorkError


def get(server, target, **options):
    fetch(server.url("/file.bin"), target, wait=0, **options)


def test_whole_file_with_size_and_digest(server, tmp_path):
    digest = "sha256:" + hashlib.sha256(DATA).hexdigest()
    get(server, tmp_path / "f", size=len(DATA), digest=digest)
    assert (tmp_path / "f").read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    get(server, tmp_path / "f", size=len(DATA), digest=digest)
    assert len(server.requests) == 1  # what is there is not fetched again
    (tmp_path / "f").write_bytes(b"damaged")
    get(server, tmp_path / "f", size=len(DATA), digest=digest)
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_server_that_breaks_off_is_resumed(server, tmp_path):
    server.break_after = 30000
    get(server, tmp_path / "f", digest="md5:" + hashlib.md5(DATA).hexdigest())
    assert (tmp_path / "f").read_bytes() == DATA
    assert server.requests == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_a_second_call_resumes_the_first(server, tmp_path, monkeypatch):
    server.break_after = 30000

    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(fetch_module, "note", interrupt)
        fetch(server.url("/file.bin"), tmp_path / "f", wait=0)
    kept = (tmp_path / "f.part").stat().st_size
    assert 0 < kept < len(DATA) and not (tmp_path / "f").exists()
    server.break_after = None
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    assert server.requests[-1] == f"bytes={kept}-"


def test_a_file_that_changed_meanwhile_starts_anew(server, tmp_path):
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    (tmp_path / "f.part.json").write_text(
        f'{{"url": "{server.url("/file.bin")}", "version": "\\"v0\\""}}'
    )
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("change", [{"ranges": False}, {"etag": None}])
def test_servers_that_cannot_resume_start_anew(server, tmp_path, change):
    for name, value in change.items():
        setattr(server, name, value)
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_server_that_never_gets_further_is_given_up_and_what_came_is_kept(server, tmp_path):
    server.ranges, server.break_after = False, 5000
    with pytest.raises(WorkError, match=r"broke off after 5000 of 102400 bytes.*resume"):
        get(server, tmp_path / "f")
    assert (tmp_path / "f.part").stat().st_size == 5000 and not (tmp_path / "f").exists()
    assert len(server.requests) <= 8


def test_a_server_that_announces_another_size_is_refused(server, tmp_path):
    with pytest.raises(WorkError, match="the server has 102400 bytes, expected 102401"):
        get(server, tmp_path / "f", size=len(DATA) + 1)
    server.lie = len(DATA) + 5  # announces more than it sends
    with pytest.raises(WorkError, match="broke off after 102400 of 102405"):
        get(server, tmp_path / "f")
    assert not (tmp_path / "f").exists()
    server.lie = len(DATA) - 5  # announces less: cut short, which the digest shows
    (tmp_path / "f.part").unlink(missing_ok=True)
    with pytest.raises(WorkError, match=r"file has md5 .*expected"):
        get(server, tmp_path / "f", digest="md5:" + hashlib.md5(DATA).hexdigest())
    assert not (tmp_path / "f").exists() and not (tmp_path / "f.part").exists()


def test_a_wrong_digest_removes_the_file(server, tmp_path):
    with pytest.raises(WorkError, match=r"has sha256 .*expected dcbb9e9d"):
        get(server, tmp_path / "f", digest="sha256:dcbb9e9d")
    assert not list(tmp_path.glob("f*.part")) and not (tmp_path / "f").exists()


def test_refusals_are_sentences(server, tmp_path):
    with pytest.raises(WorkError, match=r"404 Not Found; give another address with --url"):
        fetch(server.url("/none"), tmp_path / "f", wait=0)
    server.status = 503
    with pytest.raises(WorkError, match="503"):
        get(server, tmp_path / "f")
    with pytest.raises(InputError, match="must begin with http"):
        fetch("file:///etc/passwd", tmp_path / "f")
    with pytest.raises(WorkError, match="cannot be fetched"):
        fetch("http://127.0.0.1:9/x", tmp_path / "f", wait=0, timeout=2)


@pytest.mark.parametrize("digest", [None, "sha256:dcbb9e9d"])
def test_what_is_there_and_no_file_is_named_and_not_waited_for(server, tmp_path, digest):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name, words in (("pipe", "is a pipe"), ("zero", "is a pipe"), ("folder", "is a folder")):
        with pytest.raises(InputError, match=words):
            get(server, tmp_path / name, digest=digest)
    assert not server.requests


def test_an_endless_body_ends(server, tmp_path):
    server.lie = "none"  # no Content-Length: the body ends with the connection
    with pytest.raises(WorkError, match=r"sends more than it may, 50000 bytes; it was removed"):
        get(server, tmp_path / "f", most=50_000)
    assert not list(tmp_path.glob("f.part")) and not (tmp_path / "f").exists()
    get(server, tmp_path / "f", most=len(DATA))
    assert (tmp_path / "f").read_bytes() == DATA
    server.lie = None
    with pytest.raises(WorkError, match="the server has 102400 bytes, expected at most 102399"):
        get(server, tmp_path / "g", most=len(DATA) - 1)


def test_a_part_that_is_a_link_leaves_the_file_behind_it(server, tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    for name in ("f.part", "f.part.json"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    get(server, tmp_path / "f")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / "f").read_bytes() == DATA and not (tmp_path / "f").is_symlink()
