"""Bound what a Parquet file's pages decode to, from their headers, before anything is decoded.

A page of a few kilobytes may hold one value that a million rows refer to (a dictionary, or DELTA_BYTE_ARRAY, which
stores what a value shares with the one before only once), and the sizes in the footer need not be true. pyarrow shows
no page headers, so they are read here: each is a struct in Thrift's compact protocol, before its page's bytes
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from pyarrow.parquet import FileMetaData

from classifier.exceptions import SourceError
from classifier.ingest.text_files import SourceFile

MAX_PAGE = 512 * 2**20
"""Bytes of an unpacked page, which is decoded whole. Writers make pages of a megabyte, but look only after every
thousand values: pyarrow makes one page of 400 texts of a megabyte, and takes about twice its size to read it."""

_MAX_HEADER = 2**20
_DICTIONARY_PAGE, _DELTA_BYTE_ARRAY = 2, 7
_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE, _DATA_PAGE, _DATA_PAGE_V2 = 2, 3, 5, 8
_MAX_DEPTH = 8


def estimate_row_bytes(path: SourceFile, file: IO[Any], metadata: FileMetaData, columns: list[str]) -> float:
    """Return an upper estimate of what one row's values of the columns take, in bytes.

    Raises:
        SourceError: a page is larger than `MAX_PAGE`, or its header is damaged.
    """
    largest = 0.0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        chunks = [group.column(number) for number in range(group.num_columns)]
        wanted = [chunk for chunk in chunks if chunk.path_in_schema in columns]
        wanted.sort(key=_start)  # forwards: a packed file cannot go back
        largest = max(largest, sum(_value_bytes(path, file, chunk) for chunk in wanted))
    return largest


def _value_bytes(path: SourceFile, file: IO[Any], chunk: Any) -> float:
    """Return the largest mean size of a value over a column chunk's pages; where values are shared, the page's size."""
    largest = 0.0
    for page in _page_headers(path, file, chunk):
        size = int(page.get(_UNCOMPRESSED_SIZE, 0))
        if size > MAX_PAGE:
            limit = MAX_PAGE // 2**20
            raise SourceError(
                f"{path}: a page of {size // 2**20:,} MiB; at most {limit} are read: write row groups of fewer rows"
            )
        data = page.get(_DATA_PAGE) or page.get(_DATA_PAGE_V2) or {}
        encoding = data.get(4 if _DATA_PAGE_V2 in page else 2)
        is_shared = page.get(1) == _DICTIONARY_PAGE or encoding == _DELTA_BYTE_ARRAY
        largest = max(largest, size if is_shared else size / max(int(data.get(1, 1)), 1))
    return largest


def _start(chunk: Any) -> int:
    first = chunk.dictionary_page_offset if chunk.has_dictionary_page else None
    return int(min(first or chunk.data_page_offset, chunk.data_page_offset))


def _page_headers(path: SourceFile, file: IO[Any], chunk: Any) -> Iterator[dict[int, Any]]:
    position = _start(chunk)
    end = position + chunk.total_compressed_size
    while position < end:
        file.seek(position)
        header = _Header(file.read(min(_MAX_HEADER, end - position)))
        try:
            page = header.struct()
        except (IndexError, ValueError) as error:
            raise SourceError(f"{path}: not a Parquet file that can be read (a page's header is damaged)") from error
        yield page
        position += header.position + max(int(page.get(_COMPRESSED_SIZE, 0)), 0)


class _Header:
    """A page's header: `position` is how many of the bytes have been read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return a struct's values by the number of their field."""
        values: dict[int, Any] = {}
        field = 0
        while kind := self._byte():
            field = field + (kind >> 4) if kind >> 4 else self._integer()
            values[field] = self._value(kind & 15, depth)
        return values

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._integer()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._varint())
            case 12:
                return self.struct(depth + 1)
        raise ValueError(f"a value of type {kind}, which no page header has")

    def _byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number of too many bytes")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, size: int) -> None:
        self.position += size
        if self.position > len(self._data):
            raise IndexError("cut off")
