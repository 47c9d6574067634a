"""A web server of the test's own: it answers what it is told to, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """`answer` is called with the handler of each request; `asked` are the requests' headers."""

    answer: Callable[[Any], None]
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(answer):
    site = Site(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append(dict(self.headers))
            site.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/feed"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page(body, *, code=200, **headers):
    """Answer with a body."""

    def answer(handler):
        handler.send_response(code)
        for name, value in {"Content-Type": "application/rss+xml", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def cached(body, **headers):
    """Answer 304 to whoever has the etag or the time of the body already."""
    whole = page(body, **headers)

    def answer(handler):
        same_tag = "ETag" in headers and handler.headers.get("If-None-Match") == headers["ETag"]
        same_time = "Last_Modified" in headers and handler.headers.get("If-Modified-Since") == headers["Last_Modified"]
        if same_tag or same_time:
            handler.send_response(304)
            handler.end_headers()
        else:
            whole(handler)

    return answer
