"""Measure how soon readers see the previous champion's labels after a rollback, with a million predictions a model.

python -m benchmarks.speed.rollback --out benchmarks/results/rollback.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from benchmarks.support import common

CATEGORIES = "(ARRAY['business', 'sport', 'tech'])"
ARTICLES = """
INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split)
SELECT 'synthetic', n::text, 'text', sha256(n::text::bytea), sha256(n::text::bytea), 'train'
FROM generate_series(1, :rows) AS n
"""
PREDICTIONS = """
INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, probabilities)
SELECT id, :model, 1, ARRAY[CAST(1 + (id + :model) % 3 AS smallint)], 0.9, '{0.9, 0.05, 0.05}' FROM articles
"""
READ = "SELECT label, model FROM article_labels WHERE article_id = :article"


def main() -> None:
    """Fill a database, roll back repeatedly, and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="articles, and predictions of each model")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of rollbacks")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeats = 1_000, 1
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), options), options)


def measure(folder: Path, options: argparse.Namespace) -> list[float]:
    """Return the seconds of each rollback, from the call until a reader sees the other label."""
    from classifier import embedded_postgres
    from classifier.pipeline.promotion import decisions
    from classifier.settings import Settings
    from classifier.store import schema
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    url = embedded_postgres.start(folder / "postgres", "articles")["articles"]
    database = connect(url, statement_timeout_s=3600)
    workspace = Workspace(database, Settings(home=folder, _env_file=None))
    with database.connect() as connection:
        schema.upgrade(connection)
    fill(workspace, options.rows)
    reader, seconds = create_engine(url), []
    before = read(reader, options.rows)
    for name in ("m1", "m2") * options.repeats:
        started = time.perf_counter()
        decisions.roll_back(workspace, name, reason="measured")
        after = read(reader, options.rows)
        seconds.append(time.perf_counter() - started)
        assert after[1] == name
        assert after[0] != before[0]
        before = after
    reader.dispose()
    database.dispose()
    embedded_postgres.leave(folder / "postgres")
    return seconds


def fill(workspace: Any, rows: int) -> None:
    """Create two models that were promoted one after the other and have labelled every article."""
    from classifier import registry
    from tests.support.tiny_models import make_artefact

    with workspace.database.begin() as connection:
        connection.execute(text(ARTICLES), {"rows": rows})
        for name in ("m1", "m2"):
            files = make_artefact(workspace.models / name)
            model = registry.register(connection, name, files, {})
            registry.decide(connection, model, "promoted", "synthetic", decided_by="benchmark", statistics={})
            connection.execute(text(PREDICTIONS), {"model": model.id})
    with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def read(reader: Engine, article: int) -> tuple[str, str]:
    """Return the label and model that a reader sees for an article."""
    with reader.connect() as connection:
        label, model = connection.execute(text(READ), {"article": article}).one()
    return label, model


def report(seconds: list[float], options: argparse.Namespace) -> None:
    """Print the median and report."""
    run = {
        "dataset": f"synthetic, {options.rows} articles and {2 * options.rows} predictions",
        "seconds": round(statistics.median(seconds), 3),
        "spread": [round(min(seconds), 3), round(max(seconds), 3)],
        "repeats": len(seconds),
    }
    print(f"a rollback is seen after {run['seconds']} s, at most {max(seconds):.3f} s")
    common.report([run], options.out)


if __name__ == "__main__":
    main()
