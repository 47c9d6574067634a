"""Decompress an HTTP response while it arrives, up to a limit.

A kilobyte of gzip may become a megabyte, and twice compressed data a gigabyte. So only one content encoding is
accepted, and the decompressor is never asked for more bytes than the limit leaves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

ACCEPTED = "gzip, deflate"

_KNOWN = {"gzip", "x-gzip", "deflate"}
_GZIP_MAGIC = b"\x1f\x8b"


class ContentEncodingError(Exception):
    """The response has an unsupported content encoding, is damaged, or is too large."""


def unpack(content_encoding: str, blocks: Iterable[bytes], limit: int) -> bytes:
    """Return the decompressed body.

    Raises:
        ContentEncodingError: the body has several or unknown encodings, is damaged, or is larger than `limit` bytes.
    """
    encodings = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in {"", "identity"}]
    if len(encodings) > 1:
        raise ContentEncodingError(f"it has {len(encodings)} content encodings; only one is supported")
    if encodings and encodings[0] not in _KNOWN:
        raise ContentEncodingError(f"content encoding {encodings[0][:40]!r} is unknown; supported are {ACCEPTED}")
    body = bytearray()
    received = 0
    decompressor = _Decompressor(encodings[0], limit) if encodings else None
    for block in blocks:
        received += len(block)
        body += decompressor.feed(block) if decompressor else block
        if max(len(body), received) > limit:
            raise ContentEncodingError(f"it has more than {limit // 2**20} MiB")
    if decompressor:
        decompressor.check_complete()
    return bytes(body)


class _Decompressor:
    """Decompresses gzip with one or several members, or deflate with or without a zlib header."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._is_gzip, self._remaining = encoding != "deflate", limit
        self._stream: Any = None
        self._buffer = b""
        self._members = 0

    def feed(self, block: bytes) -> bytes:
        """Return the bytes of the block, decompressed: at most one byte more than the limit allows."""
        block, self._buffer = self._buffer + block, b""
        parts = []
        while block and self._remaining >= 0 and not self._is_padding(block):
            if self._stream is None:
                if len(block) < 2:  # the first two bytes tell the format
                    self._buffer = block
                    break
                self._stream = self._open_stream(block[:2])
                self._members += 1
            parts.append(part := self._decompress(block))
            self._remaining -= len(part)
            block = self._stream.unused_data if self._stream.eof else b""
            if self._stream.eof:
                self._stream = None
        return b"".join(parts)

    def check_complete(self) -> None:
        """Raise `ContentEncodingError` unless the compressed data is complete."""
        if self._stream is not None or self._buffer:
            raise ContentEncodingError("it is cut off")

    def _is_padding(self, block: bytes) -> bool:
        """Return whether the block follows the end of the data: only gzip may have further members."""
        if self._stream is not None or not self._members:
            return False
        return not (self._is_gzip and _GZIP_MAGIC.startswith(block[:2]))

    def _open_stream(self, head: bytes) -> Any:
        if self._is_gzip:
            return zlib.decompressobj(31)
        has_header = head[0] & 15 == zlib.DEFLATED and int.from_bytes(head, "big") % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)  # some servers omit it

    def _decompress(self, block: bytes) -> bytes:
        try:
            part: bytes = self._stream.decompress(block, self._remaining + 1)
        except zlib.error as error:
            raise ContentEncodingError(str(error)) from error
        return part
