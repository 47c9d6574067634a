"""Connections for fetching what strangers serve: to checked addresses only, and all within one deadline.

The name is resolved here, each address is checked, and the connection goes to the very address that was checked: a
name that resolves to another one a moment later changes nothing. httpcore keeps the name for the Host header and for
TLS. Each wait (for the resolver, the connection, TLS, a part of the headers or of the body) is as long as what is left
of the deadline, so a server cannot hold a fetch by sending a byte now and then.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from classifier.ingest import public_addresses


class NotPublicError(Exception):
    """A host has no public address; `host` and `address` say which and what it has instead."""

    def __init__(self, host: str, address: str) -> None:
        where = host if host == address else f"{host} ({address})"
        super().__init__(f"{where}, which is not a public address")
        self.host, self.address = host, address


class Deadline:
    """The moment by which everything has to be over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            httpcore.ReadTimeout: none are.
        """
        if (left := self._end - time.monotonic()) <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left


class CheckedBackend(httpcore.NetworkBackend):
    """Opens connections to public addresses, or to any with `allow_private`."""

    def __init__(self, deadline: Deadline, *, allow_private: bool) -> None:
        self._deadline, self._allow_private = deadline, allow_private
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that may be used and answers."""
        addresses = self._usable(host, _resolved(host, port, self._deadline.left()))
        for index, address in enumerate(addresses):
            patience = self._deadline.left() / (len(addresses) - index)
            try:
                stream = self._plain.connect_tcp(address, port, patience, local_address, socket_options)
                return _TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if index == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def _usable(self, host: str, addresses: list[str]) -> list[str]:
        usable = [one for one in addresses if self._allow_private or public_addresses.is_public(one)]
        if addresses and not usable:
            raise NotPublicError(host, addresses[0])
        return usable


class _TimedStream(httpcore.NetworkStream):
    """A connection that waits no longer than until the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def check_numeric(host: str) -> None:
    """Raise `NotPublicError` if a host is localhost, or an address in any form that is not public."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        raise NotPublicError(host, "127.0.0.1")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # a name
        return
    for address in dict.fromkeys(str(answer[4][0]) for answer in found):
        if not public_addresses.is_public(address):
            raise NotPublicError(host, address)


def _resolved(host: str, port: int, patience: float) -> list[str]:
    """Return the addresses of a host. The system's resolver knows no time-out, so it is asked in a thread."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([*dict.fromkeys(str(answer[4][0]) for answer in found)])
        except (OSError, UnicodeError) as error:
            answers.put(httpcore.ConnectError(f"{host}: {error}"))

    threading.Thread(target=resolve, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=patience)
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"{host} is not resolved in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer
