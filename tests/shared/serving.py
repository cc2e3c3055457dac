"""A server of files on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `pages`: path -> (status, content, announced length or None).

    The content of a redirection is where it leads.
    """

    pages: dict[str, tuple[int, bytes, int | None]]
    requests: list[str]
    pause = 0.0  # seconds for which what was cut short goes on in silence
    silence: threading.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(
        self, path: str, content: bytes, *, code: int = 200, announced: int | None = -1
    ) -> None:
        self.pages[path] = (code, content, len(content) if announced == -1 else announced)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        code, content, announced = self.server.pages.get(self.path, (404, b"", 0))
        self.send_response(code)
        if announced is not None:
            self.send_header("Content-Length", str(announced))
        if 300 <= code < 400:
            self.send_header("Location", content.decode())
        if self.path.endswith("/"):
            self.send_header("Content-Type", "text/html")  # which pip insists on
        self.end_headers()
        self.wfile.write(content)
        self.server.silence.wait(len(content) < (announced or 0) and self.server.pause)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """Yield a server that runs."""
    running = Server(("127.0.0.1", 0), Handler)
    running.pages, running.requests, running.silence = {}, [], threading.Event()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.silence.set()
    running.shutdown()
    running.server_close()
    thread.join()
