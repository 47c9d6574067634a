"""Servers for tests on loopback: HTTP with chosen responses, StatsD, and one that never answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import HANG_S


@dataclass
class Site:
    """A web server: `answer` handles each request; `asked` records their headers, `posted` the bodies."""

    answer: Callable[[Any], None]
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)


@contextmanager
def serving(answer, host="127.0.0.1"):
    """Serve on a free port until the end of the block."""
    site = Site(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append(dict(self.headers))
            site.answer(self)

        def do_POST(self):
            site.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://{host}:{server.server_port}/feed"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page(body, *, code=200, **headers):
    """Return a handler that sends a body."""

    def answer(handler):
        handler.send_response(code)
        for name, value in {"Content-Type": "application/rss+xml", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def cached(body, **headers):
    """Return a handler that sends a body, or 304 to a client that names its etag or its time."""
    send_body = page(body, **headers)

    def answer(handler):
        same_tag = "ETag" in headers and handler.headers.get("If-None-Match") == headers["ETag"]
        same_time = "Last_Modified" in headers and handler.headers.get("If-Modified-Since") == headers["Last_Modified"]
        if same_tag or same_time:
            handler.send_response(304)
            handler.end_headers()
        else:
            send_body(handler)

    return answer


@dataclass
class Heard:
    """The metrics that a StatsD server received: all values by name, with tags in InfluxDB's form."""

    port: int
    values: dict[str, list[float]] = field(default_factory=dict)

    def take(self, packet: bytes) -> None:
        for line in packet.decode().splitlines():
            name, _, value = line.rpartition(":")
            self.values.setdefault(name, []).append(float(value.split("|")[0]))

    def wait_for(self, name: str, *, within_s: float = HANG_S) -> None:
        deadline = time.monotonic() + within_s
        while name not in self.values:
            assert time.monotonic() < deadline, f"{name} was not received, only {sorted(self.values)}"
            time.sleep(0.01)


@contextmanager
def statsd():
    """Receive StatsD packets on a free port until the end of the block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.2)
        heard, ended = Heard(listening.getsockname()[1]), threading.Event()

        def listen():
            while not ended.is_set():
                try:
                    heard.take(listening.recv(65_536))
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            ended.set()
            thread.join()


@dataclass
class Frozen:
    """A server that does not answer: `asked` is set when a client waits for an answer."""

    port: int
    asked: threading.Event = field(default_factory=threading.Event)


@contextmanager
def frozen(upstream: str | None = None, *, after_bytes: int = 0):
    """Accept connections and never answer; with `upstream`, a Unix socket, forward `after_bytes` of its answers."""
    opened: list[socket.socket] = []

    def pump(source, target, limit):
        """Forward bytes up to a limit, and nothing beyond it."""
        forwarded = 0
        try:
            while data := source.recv(65_536):
                forwarded += len(data)
                if limit is not None and forwarded > limit:
                    server.asked.set()
                    return
                target.sendall(data)
        except OSError:
            return

    def accept():
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            opened.append(client)
            if upstream is None:
                server.asked.set()
                continue
            behind = socket.socket(socket.AF_UNIX)
            behind.connect(upstream)
            opened.append(behind)
            threading.Thread(target=pump, args=(client, behind, None), daemon=True).start()
            threading.Thread(target=pump, args=(behind, client, after_bytes), daemon=True).start()

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = Frozen(listening.getsockname()[1])
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for connection in opened:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            thread.join()
