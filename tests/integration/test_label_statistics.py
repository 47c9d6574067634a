"""The counts of labels agree with the view `article_labels`."""

from __future__ import annotations

from classifier.pipeline.labelling import label_counts
from classifier.pipeline.review import annotation, review_queue
from classifier.store import label_statistics
from tests.support.multi_label import add_champion, add_task
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
    assert {name: (each.articles, each.annotated) for name, each in counts.items()} == {
        "person": (1, 1), "source": (1, 1), None: (1, 0)
    }  # fmt: skip
    shown = query(workspace.database, "SELECT label, count(*) FROM article_labels GROUP BY label")
    assert dict(shown) == {label: each.articles for label, each in counts.items()}


def test_in_a_multi_label_task_an_article_counts_for_each_of_its_labels_and_once_in_total(workspace):
    topics = add_task(workspace)
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text {n}", "train") for n in range(5)])
    add_champion(topics, ids[:4], [(0.9, 0.8, 0.1), (0.1, 0.2, 0.1), (0.6, 0.1, 0.1), (0.1, 0.1, 0.7)])
    review_queue.fill_queue(topics, number=4, audit=0)
    annotation.save_answer(topics, ids[2], 1, ["gold", "ship"], annotator="ann")
    annotation.save_answer(topics, ids[3], 1, [], annotator="ann")
    counts = label_counts.count_labels(topics)
    assert {row.name: (row.articles, row.annotated) for row in counts.categories} == {
        "gold": (2, 1),
        "grain": (1, 0),
        "ship": (1, 1),
    }
    assert (counts.labelled, counts.without_category, counts.unlabelled) == (4, 2, 1)
