"""A local web server that stands in for the one with the archives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `content` under every path, and closes one connection after each number of bytes in `breaks`.

    Attributes:
        ranges_requested: the Range header of every request.
        supports_ranges: whether the server answers requests for a range.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.supports_ranges = content, True
        self.breaks: list[int] = []
        self.ranges_requested: list[str | None] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """Run a server during a block."""
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # the library requires this name
        wanted = self.headers.get("Range")
        self.server.ranges_requested.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.supports_ranges else 0
        content = self.server.content[start:]
        if wanted and self.server.supports_ranges and not content:
            self.send_error(416)
            return
        self.send_response(206 if wanted and self.server.supports_ranges else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.breaks.pop(0)] if self.server.breaks else content)

    def log_message(self, *arguments: object) -> None: ...
