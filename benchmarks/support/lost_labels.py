"""Count lost labels: missing, doubled or mixed ones.

They are counted over all tasks.

- `missing`: articles that a task has not labelled, and articles that are still queued.
- `doubled`: predictions that were committed more than once for the same model and text.
- `mixed`: predictions whose probabilities are not bit for bit those of the model that they name, or whose labels do not
  follow from them.
"""

from __future__ import annotations

import numpy as np
from sqlalchemy import Engine, text

NOTE_EVERY_PREDICTION = """
CREATE TABLE labellings (article_id bigint, model_id bigint, revision int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN INSERT INTO labellings VALUES (NEW.article_id, NEW.model_id, NEW.revision); RETURN NEW; END';
CREATE TRIGGER note AFTER INSERT OR UPDATE ON predictions FOR EACH ROW EXECUTE FUNCTION note()
"""
_MISSING = """
SELECT (SELECT count(*) FROM article_labels WHERE origin IS NULL) + (SELECT count(*) FROM labelling_queue)
"""
_DOUBLED = """
SELECT count(*) FROM (SELECT FROM labellings GROUP BY article_id, model_id, revision HAVING count(*) > 1) AS again
"""
_OF_MODEL = """
SELECT text, probabilities, category_indices FROM predictions JOIN articles ON id = article_id WHERE model_id = :model
"""


def note_every_prediction(database: Engine) -> None:
    """Make the database record each committed prediction in the table `labellings`."""
    with database.begin() as connection:
        connection.execute(text(NOTE_EVERY_PREDICTION))


def labelled(database: Engine) -> int:
    """Return the number of committed predictions that were recorded."""
    return _value(database, "SELECT count(*) FROM labellings")


def count(database: Engine) -> dict[str, int]:
    """Check every prediction; return the number of missing, doubled and mixed labels."""
    return {"missing": _value(database, _MISSING), "doubled": _value(database, _DOUBLED), "mixed": _mixed(database)}


def _value(database: Engine, statement: str) -> int:
    with database.connect() as connection:
        return int(connection.execute(text(statement)).scalar_one())


def _mixed(database: Engine) -> int:
    """Return the number of predictions that differ from their model's."""
    from classifier import registry
    from classifier.inference.fine_tuned_classifier import FineTunedClassifier
    from classifier.model.decisions import decide
    from classifier.store import model_rows

    wrong = 0
    with database.connect() as connection:
        ids = connection.scalars(text("SELECT DISTINCT model_id FROM predictions")).all()
    for model_id in ids:
        with database.connect() as connection:
            model = model_rows.by_id(connection, model_id)
            rows = connection.execute(text(_OF_MODEL), {"model": model_id}).all()
        assert model is not None
        files = registry.open_artefact(model)
        labeller = FineTunedClassifier(files.load()).labeller()
        expected = labeller.probabilities([row.text for row in rows])
        stored = np.array([row.probabilities for row in rows], dtype=np.float32)
        labels = np.array([np.isin(np.arange(1, stored.shape[1] + 1), row.category_indices) for row in rows])
        wrong += int(((stored != expected) | (labels != decide(model, expected).labels)).any(axis=1).sum())
    return wrong
