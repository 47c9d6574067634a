"""How undeclared files are read. The options are stored with a run, so that its files can be read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from classifier.articles import Task
from classifier.exceptions import TaskError
from classifier.ingest.category_values import CategoryRules
from classifier.ingest.columns import Columns
from classifier.ingest.file_format import FileFormat
from classifier.ingest.splits import Proportions
from classifier.pipeline.ingest import category_tasks
from classifier.pipeline.ingest.source_names import SourceNames
from classifier.pipeline.ingest.unit_rules import UnitRules
from classifier.workspace import Workspace

MAX_REJECTED = 0.05
"""The share of invalid rows above which a unit is refused."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How to read files that no source declares. They are stored with the run, so that the files can be read again.

    `source` names the source of all files. If it is None, each file is a source of its own: see
    `source_names.name_source`. `anyway` takes texts that are articles already, under another kind of id. `task_ids` are
    the ids of the tasks of the fields that hold categories, so that they are the same tasks after a change of names.
    """

    columns: Columns
    source: str | None = None
    proportions: Proportions = field(default_factory=Proportions)
    max_rejected: float = MAX_REJECTED
    file_format: FileFormat = field(default_factory=FileFormat)
    anyway: bool = False
    task_ids: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the options as the database stores them."""
        return {**asdict(self), "columns": self.columns.to_json(), "file_format": self.file_format.to_json()}

    @property
    def config_sha256(self) -> bytes:
        """The SHA-256 of the options that decide how a file becomes rows. If it changes, files are read again."""
        config = {"columns": self.columns.to_json(), "source": self.source, "format": self.file_format.to_json()}
        return sha256(json.dumps(config).encode()).digest()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> IngestOptions:
        """Return the options that `to_json` wrote."""
        columns, proportions = Columns(**values["columns"]), Proportions(**values["proportions"])
        # runs of older versions have an encoding only
        file_format = FileFormat.from_json(values.get("file_format") or {"encoding": values.get("encoding")})
        anyway = values.get("anyway", False)
        task_ids = values.get("task_ids", {})
        return cls(columns, values["source"], proportions, values["max_rejected"], file_format, anyway, task_ids)

    def unit_rules(self, tasks: Mapping[str, Task]) -> UnitRules:
        """Return how a file's rows are validated and judged; `tasks` are those of the fields that hold categories."""
        categories = CategoryRules(self.file_format.separator, self.file_format.none_value, tasks)
        dates = self.file_format.dates
        return UnitRules(self.max_rejected, self.proportions, dates=dates, categories=categories)

    def source_names(self) -> SourceNames:
        """Return the names of a run's files, which are checked if rows of two files could have the same id."""
        return SourceNames(self.source is None and self.columns.source is None and self.columns.id is not None)


def with_task_ids(workspace: Workspace, options: IngestOptions) -> IngestOptions:
    """Return the options with the ids of their tasks, as far as these exist; each run checks its tasks itself."""
    try:
        tasks = category_tasks.find_tasks(workspace.database, options.columns)
    except TaskError:
        return options
    return replace(options, task_ids={field: task.id for field, task in tasks.items()})
