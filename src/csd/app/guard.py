"""Who may talk to the page and how much it may keep: in front of Gradio, which asks neither.

Any web site can resolve a name of its own to 127.0.0.1 and let a visitor's browser talk to the page
(DNS rebinding); its requests carry that name as Host. Addresses cannot be rebound.
"""

import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def own_names(host: str) -> set[str]:
    """The names that a page listening at `host` answers to, beside addresses."""
    return {"localhost", host.lower(), socket.gethostname().lower()}


def is_own(header: str, names: Collection[str]) -> bool:
    """Whether a Host header names this machine: an address, or one of the names, any port."""
    host = header.strip().lower()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def used_bytes(folder: Path) -> int:
    """Bytes of the files below a folder; those that vanish meanwhile do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total


class Guard:
    """ASGI middleware: refuses foreign Host headers, and uploads that the folder has no room for.

    Args:
        app: what is guarded.
        names: see `own_names`.
        folder: where uploads and results go.
        most: bytes that all of them together may take.
    """

    def __init__(self, app: Callable, names: Collection[str], folder: Path, most: int):
        self.app, self.names, self.folder, self.most = app, names, folder, most
        self._coming = 0  # bytes of the uploads that are under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not is_own(headers.get(b"host", ""), self.names):
            return await _refuse(scope, send, 403, "this page does not answer to that name")
        upload = scope.get("method") == "POST" and scope["path"].rstrip("/").endswith("/upload")
        if not upload:
            return await self.app(scope, receive, send)
        length = headers.get(b"content-length", "")
        if not length.isdecimal() or len(length) > 15:
            return await _refuse(scope, send, 411, "an upload must say its length")
        if used_bytes(self.folder) + self._coming + int(length) > self.most:
            return await _refuse(scope, send, 413, "the page's disk space is used up; try later")
        self._coming += int(length)
        try:
            return await self.app(scope, receive, send)
        finally:
            self._coming -= int(length)


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
