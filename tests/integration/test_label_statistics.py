"""The counts of labels agree with the view `article_labels`."""

from __future__ import annotations

from classifier.store import label_statistics
from tests.support.synthetic import add_articles, annotate, query


def test_a_persons_annotation_counts_before_a_newer_one_of_the_source(workspace):
    with workspace.database.begin() as connection:
        by_both, by_source, _ = add_articles(
            connection, [("both", "one", "train"), ("source", "two", "train"), ("none", "three", "train")]
        )
        annotate(connection, by_both, "person", annotator="ann")
        for article_id in (by_both, by_source):
            annotate(connection, article_id, "source", annotator="source:s")
        counts = label_statistics.count_by_category(connection)
    assert counts == {"person": (1, 1), "source": (1, 1), None: (1, 0)}
    shown = query(workspace.database, "SELECT label, count(*) FROM article_labels GROUP BY label")
    assert dict(shown) == {label: articles for label, (articles, _) in counts.items()}
