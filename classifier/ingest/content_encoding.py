"""Unpack an HTTP answer while it comes in, never to more than was agreed.

A kilobyte of gzip becomes a megabyte, and what is packed twice becomes a gigabyte: so one content encoding is taken,
and the decompressor is asked for no more bytes than may still come.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

ACCEPTED = "gzip, deflate"

_KNOWN = {"gzip", "x-gzip", "deflate"}
_GZIP_MAGIC = b"\x1f\x8b"


class ContentEncodingError(Exception):
    """An answer is packed in a way that is not read, is damaged, or is too large."""


def unpack(content_encoding: str, blocks: Iterable[bytes], limit: int) -> bytes:
    """Return the body that the blocks hold.

    Raises:
        ContentEncodingError: it is packed more than once or in an unknown way, damaged, or larger than `limit` bytes.
    """
    encodings = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in {"", "identity"}]
    if len(encodings) > 1:
        raise ContentEncodingError(f"it is packed {len(encodings)} times; one content encoding is taken")
    if encodings and encodings[0] not in _KNOWN:
        raise ContentEncodingError(f"it is packed as {encodings[0][:40]!r}; {ACCEPTED} are taken")
    body = bytearray()
    packed = 0
    unpack = _Unpacker(encodings[0], limit) if encodings else None
    for block in blocks:
        packed += len(block)
        body += unpack.feed(block) if unpack else block
        if max(len(body), packed) > limit:
            raise ContentEncodingError(f"it has more than {limit // 2**20} MiB")
    if unpack:
        unpack.check_complete()
    return bytes(body)


class _Unpacker:
    """Unpacks gzip, also of several members, or deflate with or without zlib's header."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._gzip, self._left = encoding != "deflate", limit
        self._inflate: Any = None
        self._waiting = b""
        self._members = 0

    def feed(self, block: bytes) -> bytes:
        """Return what the block adds: at most one byte more than the limit allows."""
        block, self._waiting = self._waiting + block, b""
        parts = []
        while block and self._left >= 0 and not self._is_padding(block):
            if self._inflate is None:
                if len(block) < 2:  # the first two bytes say how to go on
                    self._waiting = block
                    break
                self._inflate = self._begun(block[:2])
                self._members += 1
            parts.append(part := self._inflated(block))
            self._left -= len(part)
            block = self._inflate.unused_data if self._inflate.eof else b""
            if self._inflate.eof:
                self._inflate = None
        return b"".join(parts)

    def check_complete(self) -> None:
        """Raise unless the data ended where they say that they end."""
        if self._inflate is not None or self._waiting:
            raise ContentEncodingError("it is cut off")

    def _is_padding(self, block: bytes) -> bool:
        """Return whether this follows the end: only gzip has further members."""
        if self._inflate is not None or not self._members:
            return False
        return not (self._gzip and _GZIP_MAGIC.startswith(block[:2]))

    def _begun(self, head: bytes) -> Any:
        if self._gzip:
            return zlib.decompressobj(31)
        has_header = head[0] & 15 == zlib.DEFLATED and int.from_bytes(head, "big") % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)  # some servers leave it out

    def _inflated(self, block: bytes) -> bytes:
        try:
            part: bytes = self._inflate.decompress(block, self._left + 1)
        except zlib.error as error:
            raise ContentEncodingError(str(error)) from error
        return part
