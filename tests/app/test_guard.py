"""What stands before the web page: Host headers, the quota, folders that killed servers left."""

import asyncio
import os
import time

import pytest

from csd.app.guard import Guard, is_own, own_names, used_bytes
from csd.errors import WorkError
from csd.files import hold_folder, remove_stale_folders


@pytest.mark.parametrize(
    ("header", "own"),
    [
        ("127.0.0.1:7860", True),
        ("127.0.0.1", True),
        ("localhost:80", True),
        ("LOCALHOST", True),
        ("[::1]:7860", True),
        ("192.168.0.7:7860", True),
        ("page.example:7860", True),
        ("evil.example:7860", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[evil.example]", False),
        ("a:b:c.evil", False),
    ],
)
def test_hosts(header, own):
    assert is_own(header, own_names("page.example")) is own


async def page(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def status(guard, path="/", method="GET", kind="http", **headers):
    sent = []

    async def send(message):
        sent.append(message)

    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": kind, "method": method, "path": path, "headers": pairs}
    asyncio.run(guard(scope, None, send))
    return sent[0].get("status", sent[0].get("code"))


def test_a_foreign_name_gets_no_page(tmp_path):
    guard = Guard(page, own_names("127.0.0.1"), tmp_path, 1000)
    assert status(guard, host="127.0.0.1:1") == 200
    assert status(guard, host="rebound.example") == 403
    assert status(guard) == 403
    assert status(guard, kind="websocket", host="rebound.example") == 1008


def test_uploads_have_a_quota_in_all(tmp_path):
    guard = Guard(page, own_names("127.0.0.1"), tmp_path, 1000)
    upload = {"path": "/gradio_api/upload", "method": "POST", "host": "localhost"}
    assert status(guard, content_length="1000", **upload) == 200
    assert status(guard, content_length="1001", **upload) == 413
    assert status(guard, **upload) == status(guard, content_length="-1", **upload) == 411
    assert status(guard, content_length="9" * 30, **upload) == 411
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(600))
    (tmp_path / "a" / "link").symlink_to("/dev/zero")
    assert used_bytes(tmp_path) == 600 + len("/dev/zero")
    assert status(guard, content_length="500", **upload) == 413
    assert status(guard, content_length="300", **upload) == 200
    guard._coming = 200  # of another upload, not yet on the disk
    assert status(guard, content_length="300", **upload) == 413


def test_a_session_without_room_is_a_sentence(tmp_path):
    from types import SimpleNamespace

    from csd.app.session import Session

    up = SimpleNamespace(widths=(1.0,), width=1.0, at=None)
    session = Session(up, tmp_path, max_bytes=10, max_pixels=10, max_total=5)
    (tmp_path / "old").write_bytes(bytes(6))
    with pytest.raises(WorkError, match="disk space is used up"):
        session.upscale(tmp_path / "old", 1.0)


def test_folders_of_killed_servers_are_removed(tmp_path):
    old = time.time() - 3600
    for name in ("session-dead", "session-alive", "session-new", "other"):
        (tmp_path / name / "upload").mkdir(parents=True)
        (tmp_path / name / "upload" / "photo.png").write_bytes(b"x")
        if name != "session-new":
            os.utime(tmp_path / name, (old, old))
    (tmp_path / "session-link").symlink_to(tmp_path / "other")
    with hold_folder(tmp_path / "session-alive"):
        remove_stale_folders(tmp_path, "session-")
        left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["other", "session-alive", "session-link", "session-new"]
    assert (tmp_path / "other" / "upload" / "photo.png").exists()
    remove_stale_folders(tmp_path, "session-")
    assert not (tmp_path / "session-alive").exists()


def test_a_proxy_is_not_asked_for_our_own_page(monkeypatch):
    from csd.app.page import _bypass_proxies

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    monkeypatch.delenv("no_proxy", raising=False)
    _bypass_proxies("192.168.0.7")
    for name in ("NO_PROXY", "no_proxy"):
        assert {"localhost", "127.0.0.1", "192.168.0.7"} <= set(os.environ[name].split(","))
    assert os.environ["NO_PROXY"].startswith("intern.example,")
    monkeypatch.setenv("no_proxy", "")  # put back at the end of the test
