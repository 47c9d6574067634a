"""Estimate from page headers how large a Parquet file's pages are when decoded, before anything is decoded.

A page of a few kilobytes may hold one value that a million rows refer to: in a dictionary, or in DELTA_BYTE_ARRAY,
which stores a prefix shared with the previous value only once. The sizes in the footer may be false. pyarrow does not
expose page headers, so they are read here: each is a struct in Thrift's compact protocol before the bytes of its page
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from pyarrow.parquet import FileMetaData

from classifier.exceptions import SourceError
from classifier.ingest.text_files import SourceFile

MAX_PAGE = 512 * 2**20
"""Bytes of an uncompressed page, which is decoded at once. Writers aim at a megabyte, but check the size only every
thousand values: pyarrow writes 400 texts of a megabyte as one page, and needs about twice its size to read it."""

_MAX_HEADER = 2**20
_DICTIONARY_PAGE, _DELTA_BYTE_ARRAY = 2, 7
_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE, _DATA_PAGE, _DATA_PAGE_V2 = 2, 3, 5, 8
_MAX_DEPTH = 8


def estimate_row_bytes(path: SourceFile, file: IO[Any], metadata: FileMetaData, columns: list[str]) -> float:
    """Return an upper estimate of the bytes of one row's values in the columns.

    Raises:
        SourceError: a page is larger than `MAX_PAGE`, or its header is damaged.
    """
    largest = 0.0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        chunks = [group.column(number) for number in range(group.num_columns)]
        # a list's values have a path such as topics.list.element
        names = [(chunk, chunk.path_in_schema) for chunk in chunks]
        selected = [chunk for chunk, name in names if name in columns or name.partition(".")[0] in columns]
        selected.sort(key=_find_start)  # forwards, because a compressed file cannot seek back
        largest = max(largest, sum(_estimate_bytes_a_row(path, file, chunk, group.num_rows) for chunk in selected))
    return largest


def _estimate_bytes_a_row(path: SourceFile, file: IO[Any], chunk: Any, rows: int) -> float:
    """Return the largest mean size of a column chunk's values in a row, which may be a list."""
    return _estimate_value_bytes(path, file, chunk) * max(int(chunk.num_values) / max(rows, 1), 1)


def _estimate_value_bytes(path: SourceFile, file: IO[Any], chunk: Any) -> float:
    """Return the largest mean value size of a column chunk's pages; if values are shared, the size of the page."""
    largest = 0.0
    for page in _read_page_headers(path, file, chunk):
        size = int(page.get(_UNCOMPRESSED_SIZE, 0))
        if size > MAX_PAGE:
            limit = MAX_PAGE // 2**20
            raise SourceError(
                f"{path}: a page has {size // 2**20:,} MiB, more than the maximum of {limit}; write smaller row groups"
            )
        data = page.get(_DATA_PAGE) or page.get(_DATA_PAGE_V2) or {}
        encoding = data.get(4 if _DATA_PAGE_V2 in page else 2)
        is_shared = page.get(1) == _DICTIONARY_PAGE or encoding == _DELTA_BYTE_ARRAY
        largest = max(largest, size if is_shared else size / max(int(data.get(1, 1)), 1))
    return largest


def _find_start(chunk: Any) -> int:
    first = chunk.dictionary_page_offset if chunk.has_dictionary_page else None
    return int(min(first or chunk.data_page_offset, chunk.data_page_offset))


def _read_page_headers(path: SourceFile, file: IO[Any], chunk: Any) -> Iterator[dict[int, Any]]:
    position = _find_start(chunk)
    end = position + chunk.total_compressed_size
    while position < end:
        file.seek(position)
        header = _ThriftReader(file.read(min(_MAX_HEADER, end - position)))
        try:
            page = header.read_struct()
        except (IndexError, ValueError) as error:
            raise SourceError(f"{path}: cannot be read as Parquet (a page's header is damaged)") from error
        yield page
        position += header.position + max(int(page.get(_COMPRESSED_SIZE, 0)), 0)


class _ThriftReader:
    """Reads a struct of Thrift's compact protocol. `position` is the number of bytes that have been read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def read_struct(self, depth: int = 0) -> dict[int, Any]:
        """Return a struct's values by their field numbers."""
        values: dict[int, Any] = {}
        field = 0
        while kind := self._read_byte():
            field = field + (kind >> 4) if kind >> 4 else self._read_integer()
            values[field] = self._read_value(kind & 15, depth)
        return values

    def _read_value(self, kind: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self._read_byte()
            case 4 | 5 | 6:
                return self._read_integer()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._read_varint())
            case 12:
                return self.read_struct(depth + 1)
        raise ValueError(f"type {kind}, which no page header has")

    def _read_byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _read_varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._read_byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number has too many bytes")

    def _read_integer(self) -> int:
        value = self._read_varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, size: int) -> None:
        self.position += size
        if self.position > len(self._data):
            raise IndexError("cut off")
