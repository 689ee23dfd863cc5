"""HTTP requests that end: an answer whose header drips, or an address that is none, is an error."""

import contextlib
import http.client
import socket
import threading
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from csd.errors import InputError, shown


def ascii_address(url: str) -> str:
    """The address in ASCII, as HTTP needs it: a host in IDNA, the rest percent-encoded.

    Raises InputError for an address that is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("it must begin with http:// or https:// and a host")
        if not host.isascii():
            host = host.encode("idna").decode()
        host = f"[{host}]" if ":" in host else host
        user = f"{parts.username}:{parts.password or ''}@" if parts.username else ""
        place = f"{user}{host}" + ("" if port is None else f":{port}")
        safe = "/%:=&?~+!$,;'@()*[]"
        return urlunsplit(
            (parts.scheme, place, quote(parts.path, safe), quote(parts.query, safe), "")
        )
    except ValueError as error:  # UnicodeError is one
        raise InputError(f"{shown(url, 200)} is no address: {error}") from None


def open_url(request: urllib.request.Request, timeout: float) -> Any:
    """`urllib.request.urlopen` whose header must come within `timeout` seconds in all."""
    return urllib.request.build_opener(_Http, _Https).open(request, timeout=timeout)


class _Prompt(http.client.HTTPConnection):
    """A timeout of a socket is for one byte; this is for the whole header."""

    def getresponse(self):
        limit = self.timeout if isinstance(self.timeout, int | float) else 60.0
        self.late = False
        timer = threading.Timer(limit, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        finally:
            timer.cancel()
        if self.late:  # what was cut off looks like the end of a header
            response.close()
            raise TimeoutError(f"the header did not come within {limit:g} seconds")
        return response

    def _give_up(self) -> None:
        self.late = True
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _PromptTLS(_Prompt, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req):
        return self.do_open(_Prompt, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req):
        return self.do_open(_PromptTLS, req)
