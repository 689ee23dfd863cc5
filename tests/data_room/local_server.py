"""A server on this machine that breaks off, lies about sizes and forgets, as a test asks."""

import contextlib
import http.server
import re
import threading

DATA = bytes(range(256)) * 400


@contextlib.contextmanager
def serving(server):
    """The server answers, in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes); `break_after` cuts an answer, `lie` changes the length."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {}, []
        self.break_after = self.lie = None
        self.ranges, self.etag, self.status = True, '"v1"', None

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append(wanted)
        data = server.files.get(self.path)
        if server.status or data is None:
            self.send_error(server.status or 404)
            return
        start = 0
        fresh = self.headers.get("If-Range") in (None, server.etag)
        if wanted and server.ranges and fresh:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        length = len(data) - start
        if server.lie != "none":
            self.send_header("Content-Length", str(server.lie or length))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        body = data[start:]
        self.wfile.write(body if server.break_after is None else body[: server.break_after])

    def log_message(self, *_):
        pass
