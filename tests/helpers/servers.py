"""A server on this computer that sends files with the faults of real ones."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file of the server, and what goes wrong with it.

    Attributes:
        content: Its bytes.
        etag: Name of its version; None to send none.
        modified: Date of its last change; None to send none.
        ranges: False to ignore that a part is asked for.
        kind: Content type.
        sized: False to send no length; the end of the connection ends the file.
        cuts: Number of bytes after which the first, second, … answer ends. None: it is whole.
        statuses: Statuses that are answered first.
        wrong_part: True to send a part that begins one byte later than the one that was asked for.
        leads_to: Address of a redirect.
        hold: If set, an answer that is cut waits for this before it ends.
    """

    content: bytes = b""
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    kind: str = "application/octet-stream"
    sized: bool = True
    cuts: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    wrong_part: bool = False
    leads_to: str | None = None
    hold: threading.Event | None = None


class FileServer(ThreadingHTTPServer):
    """Serves `files`, by paths that begin with a slash. `requests` has path, Range and If-Range of what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address) -> None:
        """Say nothing when a client has gone away."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        self.server.requests.append((self.path, asked, condition))
        file = self.server.files.get(self.path)
        if file is None or file.statuses:
            self.send_error(file.statuses.pop(0) if file else 404)
            return
        if file.leads_to is not None:
            self.send_response(302)
            self.send_header("Location", file.leads_to)
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and file.ranges else 0
        if condition is not None and condition not in (file.etag, file.modified):
            start = 0
        if start >= len(file.content) > 0:
            self.send_error(416)
            return
        self._send(file, start)

    def _send(self, file: Served, start: int) -> None:
        sent = start + (file.wrong_part and start > 0)
        body = file.content[sent:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {sent}-{len(file.content) - 1}/{len(file.content)}")
        headers = {"Content-Type": file.kind, "ETag": file.etag, "Last-Modified": file.modified}
        if file.sized:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        cut = file.cuts.pop(0) if file.cuts else None
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if cut is not None and file.hold is not None:
            file.hold.wait(20)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def file_server() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for file in server.files.values():
            if file.hold is not None:
                file.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
