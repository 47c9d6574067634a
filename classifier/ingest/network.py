"""Connect to untrusted servers: only to checked IP addresses, and within one deadline.

The host is resolved here, each address is checked, and the connection goes to exactly that address. So a name that
resolves to another address a moment later changes nothing. httpcore uses the name for the Host header and for TLS. Each
wait (for the resolver, the connection, TLS, a part of the headers or the body) is limited by the deadline, so a server
cannot hold a fetch by sending a byte now and then.
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
    """A host has no public address, only `address`."""

    def __init__(self, host: str, address: str) -> None:
        where = host if host == address else f"{host} ({address})"
        super().__init__(f"{where}, which is not a public address")
        self.host, self.address = host, address


class Deadline:
    """The time by which everything must be done."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def seconds_left(self) -> float:
        """Return the remaining seconds.

        Raises:
            httpcore.ReadTimeout: the deadline has passed.
        """
        if (seconds := self._end - time.monotonic()) <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return seconds


class CheckedBackend(httpcore.NetworkBackend):
    """Opens connections to public addresses; with `allow_private`, to any address."""

    def __init__(self, deadline: Deadline, *, allow_private: bool) -> None:
        self._deadline, self._allow_private = deadline, allow_private
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline decides
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first allowed address of the host that answers."""
        addresses = self._allowed(host, _resolve(host, port, self._deadline.seconds_left()))
        for index, address in enumerate(addresses):
            timeout_s = self._deadline.seconds_left() / (len(addresses) - index)
            try:
                stream = self._plain.connect_tcp(address, port, timeout_s, local_address, socket_options)
                return _TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if index == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def _allowed(self, host: str, addresses: list[str]) -> list[str]:
        allowed = [address for address in addresses if self._allow_private or public_addresses.is_public(address)]
        if addresses and not allowed:
            raise NotPublicError(host, addresses[0])
        return allowed


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.seconds_left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.seconds_left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.seconds_left())
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def check_numeric(host: str) -> None:
    """Raise `NotPublicError` if a host is localhost, or an IP address in any notation that is not public."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        raise NotPublicError(host, "127.0.0.1")
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # a name, not an address
        return
    for address in dict.fromkeys(str(answer[4][0]) for answer in answers):
        if not public_addresses.is_public(address):
            raise NotPublicError(host, address)


def _resolve(host: str, port: int, timeout_s: float) -> list[str]:
    """Return the addresses of a host. The system's resolver has no timeout, so a thread calls it."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([*dict.fromkeys(str(info[4][0]) for info in infos)])
        except (OSError, UnicodeError) as error:
            answers.put(httpcore.ConnectError(f"{host}: {error}"))

    threading.Thread(target=resolve, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer
