"""A local HTTP server that fails on demand."""

from __future__ import annotations

import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Serves files from memory, with configurable failures.

    Attributes:
        files: content by path.
        redirects: other paths by path.
        drop_after: number of bytes by path, after which the next response is cut off.
        requests: `(path, value of the Range header)` of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.drop_after: dict[str, int] = {}
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: connections are dropped on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        byte_range = self.headers.get("Range")
        self.server.requests.append((path, byte_range))
        if path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", f"/{self.server.redirects[path]}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[path]
        if byte_range and self.headers.get("If-Range") != entity_tag(content):
            byte_range = None
        if byte_range and _start(byte_range) >= len(content):
            self.send_error(416)
            return
        self._send(path, content, byte_range)

    def _send(self, path: str, content: bytes, byte_range: str | None) -> None:
        start = _start(byte_range) if byte_range else 0
        self.send_response(206 if byte_range else 200)
        self.send_header("ETag", entity_tag(content))
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = self.server.drop_after.pop(path, len(content))
        self.wfile.write(content[start:end])
        if end < len(content):
            self.wfile.flush()
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing."""


def _start(byte_range: str) -> int:
    return int(byte_range.removeprefix("bytes=").rstrip("-"))


def entity_tag(content: bytes) -> str:
    """The entity tag of a content."""
    return f'"{zlib.crc32(content)}"'
