"""The memory of an ingest depends on the chunk, not the file: more texts of a megabyte need no more memory."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from classifier.ingest import columns, readers
from classifier.ingest.columns import Columns
from classifier.pipeline.ingest import units
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace
from tests.support.memory import measured

PEAK_MIB = 400
"""MiB above the memory of the process before (about 150 MiB), with chunks of a quarter of the usual size."""

GROWTH_MIB = 60
"""MiB by which two runs may differ, depending on the order of the threads."""


def ingest_file(url, path, home):
    """Ingest a file as the command does, and return the number of new articles."""
    columns.CHUNK_BYTES = readers.parquet_files.CHUNK_BYTES = 4 * 2**20  # so that a few texts fill every stage
    workspace = Workspace(connections.connect(url), Settings(home=home, _env_file=None))
    report = units.ingest_files(workspace, path, units.IngestOptions(Columns("text", "category", "id")))
    workspace.database.dispose()
    return report.new


def written(path, count):
    """Write texts of a megabyte that are all different."""
    random = np.random.default_rng(count)
    words = np.array([f"word{number}é" for number in range(30_000)])
    texts = (" ".join(random.choice(words, 83_000)) for _ in range(count))
    rows = ({"id": str(number), "text": text, "category": "a"} for number, text in enumerate(texts))
    match path.suffix:
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ("id", "text", "category"))
                writer.writeheader()
                writer.writerows(rows)
        case ".jsonl":
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        case _:
            parquet.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=10)
    return path


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_any_number_of_texts_of_a_megabyte_needs_bounded_memory(database_url, tmp_path, kind):
    url = database_url.render_as_string(hide_password=False)
    peaks = []
    for count in (30, 90):
        used = measured(ingest_file, url, str(written(tmp_path / f"{count}.{kind}", count)), str(tmp_path / "home"))
        assert used.result == count
        peaks.append(used.mib)
    assert max(peaks) < PEAK_MIB, peaks
    assert peaks[1] < peaks[0] + GROWTH_MIB, peaks
