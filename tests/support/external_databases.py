"""A user's database, with a table to label, and a labeller without a model."""

from __future__ import annotations

import numpy as np
from sqlalchemy import column, create_engine, insert, table

from classifier.external_table.definition import ExternalTable
from classifier.inference.labeller import Labeller
from classifier.pipeline.labelling import external_table
from tests.support.synthetic import articles, query, run, value

NEWS = ExternalTable("id", "body", table="news")


class ExternalDatabase:
    """The database of a user's table."""

    def __init__(self, url):
        self.url = url
        self.engine = create_engine(url)

    def run(self, statement, **values):
        run(self.engine, statement, **values)

    def run_alone(self, statement):
        """Run a statement that no transaction may contain."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)

    def query(self, statement, **values):
        return query(self.engine, statement, **values)

    def value(self, statement, **values):
        return value(self.engine, statement, **values)

    def news(self, count, first=1, kind="int PRIMARY KEY", keys=None):
        """Add `count` rows to the table news; create the table if it does not exist."""
        self.run(f"CREATE TABLE IF NOT EXISTS news (id {kind}, body text)")
        rows = [
            {"id": key, "body": row["text"]}
            for key, row in zip(keys or range(first, first + count), articles(count, prefix=f"n{first}-"), strict=True)
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(table("news", column("id"), column("body"))), rows)

    def labels(self):
        return self.query("SELECT id, model, category FROM news_labels ORDER BY id")

    def counts(self):
        """Return the number of rows, the number of rows with a label, and the labels' models."""
        return (
            self.value("SELECT count(*) FROM news"),
            self.value("SELECT count(*) FROM news JOIN news_labels ON news.id = news_labels.id"),
            {model for (model,) in self.query("SELECT DISTINCT model FROM news_labels")},
        )


def label_external(workspace, external, source=NEWS, **options):
    """Label a table of an external database, and return the report."""
    return external_table.label_external_table(workspace, external.url, source, **options)


def replace_labeller(monkeypatch, raises=lambda _: None):
    """Replace the model's labeller by one that raises for some texts; return the list of texts that it receives."""
    received = []

    class FakeLabeller:
        engine_name = "fake f32"

        def prepare(self, texts):
            return texts

        def run(self, texts):
            received.append(list(texts))
            for text in texts:
                if (error := raises(text)) is not None:
                    raise error
            return np.tile(np.array([0.25, 0.5, 0.25], dtype=np.float32), (len(texts), 1))

    monkeypatch.setattr(Labeller, "of", lambda *_, **__: FakeLabeller())
    return received
