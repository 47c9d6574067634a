"""A proxy that gives programs on this machine the embedded Postgres over TCP, as one role and with a password.

The embedded Postgres trusts every connection on its socket, whatever role it names. So the proxy asks for the password
itself, and then replaces the role and the database that the program named. It listens on 127.0.0.1 only.

It speaks the start of PostgreSQL's protocol 3 (section "Message Flow" of its documentation), then passes bytes on.
"""

from __future__ import annotations

import asyncio
import hmac
import signal
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_MAX_START_BYTES = 10_000
_FAILED_LOGIN_S = 1.0
"""Seconds before a wrong password is answered, so that passwords cannot be tried fast."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server's socket, and the role and database that every connection gets."""

    socket: Path
    role: str
    database: str


class _LoginError(Exception):
    """The program ended the connection, or sent no valid start or password."""


def run(upstream: Upstream, password: str, *, port: int, on_ready: Callable[[int], None]) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` receives the port; port 0 chooses a free one.

    Raises:
        OSError: the port cannot be used.
    """
    asyncio.run(_serve(upstream, password, port, on_ready))


async def _serve(upstream: Upstream, password: str, port: int, on_ready: Callable[[int], None]) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    connections: set[asyncio.Task[None]] = set()

    async def connect(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _handle(reader, writer, upstream, password)
        except (OSError, _LoginError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the program or the server has gone
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    on_ready(server.sockets[0].getsockname()[1])
    await stopped.wait()
    server.close()
    for task in tuple(connections):
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


async def _handle(reader: StreamReader, writer: StreamWriter, upstream: Upstream, password: str) -> None:
    code, start = await _read_start(reader, writer)
    if code != _CANCEL:
        await _check_password(reader, writer, password)
        start = _start_message(code, start, upstream)
    server_reader, server_writer = await asyncio.open_unix_connection(upstream.socket)
    try:
        server_writer.write(start)
        await server_writer.drain()
        copies = [
            asyncio.create_task(_copy(reader, server_writer)),
            asyncio.create_task(_copy(server_reader, writer)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
    finally:
        server_writer.close()


async def _read_start(reader: StreamReader, writer: StreamWriter) -> tuple[int, bytes]:
    """Return the code and the bytes of the message that starts a session or cancels a statement."""
    while True:
        size, code = struct.unpack("!ii", await reader.readexactly(8))
        if not 8 <= size <= _MAX_START_BYTES:
            raise _LoginError
        content = await reader.readexactly(size - 8)
        if code not in {_SSL, _GSS}:
            return code, struct.pack("!ii", size, code) + content
        writer.write(b"N")  # not encrypted: the bytes do not leave this machine
        await writer.drain()


async def _check_password(reader: StreamReader, writer: StreamWriter, password: str) -> None:
    writer.write(struct.pack("!cii", b"R", 8, 3))  # AuthenticationCleartextPassword
    await writer.drain()
    kind, size = struct.unpack("!ci", await reader.readexactly(5))
    if kind != b"p" or not 4 < size <= _MAX_START_BYTES:
        raise _LoginError
    answer = (await reader.readexactly(size - 4)).removesuffix(b"\0")
    if hmac.compare_digest(answer, password.encode()):
        return
    await asyncio.sleep(_FAILED_LOGIN_S)
    fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed; see: classifier db serve\0\0"
    writer.write(struct.pack("!ci", b"E", len(fields) + 4) + fields)
    with suppress(OSError):
        await writer.drain()
    raise _LoginError


def _start_message(code: int, start: bytes, upstream: Upstream) -> bytes:
    """Return a program's start message with the proxy's role and database."""
    words = start[8:].split(b"\0")
    options = dict(zip(words[0::2], words[1::2], strict=False))
    options.pop(b"", None)
    options.pop(b"replication", None)
    options |= {b"user": upstream.role.encode(), b"database": upstream.database.encode()}
    content = b"".join(name + b"\0" + value + b"\0" for name, value in options.items()) + b"\0"
    return struct.pack("!ii", len(content) + 8, code) + content


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    while block := await reader.read(2**16):
        writer.write(block)
        await writer.drain()
