"""The options with which undeclared files were read, so that a run without options reads them in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine

from classifier.ingest import object_store
from classifier.ingest.text_files import SourceFile
from classifier.pipeline.ingest.ingest_options import IngestOptions
from classifier.store import ingest_runs, source_states


@dataclass(frozen=True, slots=True)
class FormerOptions:
    """The options of former runs by their SHA-256, and those of the last run of a source."""

    database: Engine
    by_sha256: Mapping[bytes, IngestOptions]
    last: IngestOptions | None

    def of_file(self, file: SourceFile) -> tuple[str, IngestOptions] | None:
        """Return the source under which a file was last read with its options, or None if it was never read."""
        with self.database.connect() as connection:
            states = source_states.of_unit(connection, object_store.file_url(file))
        readings = ((state.source, self.by_sha256.get(bytes(state.config_sha256))) for state in states)
        return next(((source, options) for source, options in readings if options is not None), None)


def load(database: Engine, source: str) -> FormerOptions:
    """Return the options of all former runs of undeclared files; `last` are those of the source's last run."""
    with database.connect() as connection:
        stored = [IngestOptions.from_json(options) for options in ingest_runs.options_of_files(connection)]
        last = ingest_runs.last_options(connection, ingest_runs.run_name(source))
    by_sha256 = {options.config_sha256: options for options in stored}
    return FormerOptions(database, by_sha256, IngestOptions.from_json(last) if last else None)
