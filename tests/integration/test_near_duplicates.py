"""Splits never leak: near-duplicates share a split permanently, and bridges between splits are not trained on."""

from __future__ import annotations

import csv
import gzip
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import event

from classifier.exceptions import TooManyRejectedError
from classifier.ingest import minhash_bands, readers, splits
from classifier.ingest.fingerprints import fingerprint
from classifier.ingest.readers import Columns
from classifier.ingest.splits import Proportions
from classifier.pipeline.ingest import splits_report, units
from classifier.store import annotated_articles, near_duplicate_clusters
from tests.support.paths import DATA, needs_articles
from tests.support.synthetic import COLUMNS, dump, ingest_file, query, run, value

WORDS = [f"{a}{b}{c}" for a in "bdfglm" for b in "aeiou" for c in "nrst"]
WITH_SPLIT = Columns("text", "category", "id", "split")


def words(seed, count=120):
    return random.Random(seed).choices(WORDS, k=count)


def row(name, content, **more):
    return {"id": name, "text": content if isinstance(content, str) else " ".join(content), "category": "c", **more}


def changed(content, seed, count=1):
    generator, other = random.Random(seed), content.split()
    for index in generator.sample(range(len(other)), min(count, len(other))):
        other[index] = f"changed{generator.randrange(10**6)}"
    return " ".join(other)


def split_of(workspace):
    return dict(query(workspace.database, "SELECT external_id, split FROM articles"))


def read(workspace, split):
    with workspace.database.connect() as connection:
        return [article.text for article in annotated_articles.load_split(connection, split)]


def seed_of(split):
    """Return a seed whose article gets the split."""
    return next(seed for seed in range(1000) if chosen_split(" ".join(words(seed))) == split)


def shares_a_band(first, second):
    bands, _ = minhash_bands.compute_bands([first, second])
    return (bands[0] == bands[1]).any()


def test_near_duplicates_share_a_split_within_a_file_and_across_files(workspace, tmp_path):
    originals = [" ".join(words(seed)) for seed in range(150)]
    rows = [row(f"a{number}", text) for number, text in enumerate(originals)]
    rows += [row(f"b{number}", changed(text, number)) for number, text in enumerate(originals)]
    ingest_file(workspace, tmp_path / "one.csv", rows, source="s")
    ingest_file(
        workspace,
        tmp_path / "two.csv",
        [row(f"c{n}", changed(text, -n)) for n, text in enumerate(originals)],
        source="s",
    )
    split_by_id = split_of(workspace)
    assert {split_by_id["a0"], *split_by_id.values()} == {"train", "validation", "test"}
    for number in range(150):
        assert split_by_id[f"a{number}"] == split_by_id[f"b{number}"] == split_by_id[f"c{number}"]


def window(seed, start):
    """Return 100 words of a longer text. Windows 20 words apart are mostly near-duplicates, 40 words apart rarely."""
    return " ".join(words(seed, 200)[start : start + 100])


def chosen_split(content):
    return splits.assign_split(fingerprint(content), key="article-classifier", proportions=Proportions())


def bridged_train_and_test():
    """Return an article of train, a near-duplicate of both articles, and an article of test."""
    for seed in range(5000):
        train, bridge, test = (window(seed, start) for start in (0, 20, 40))
        near = shares_a_band(train, bridge) and shares_a_band(bridge, test) and not shares_a_band(train, test)
        if near and (chosen_split(train), chosen_split(test)) == ("train", "test"):
            return train, bridge, test
    raise AssertionError


def test_a_bridge_between_train_and_test_moves_nothing_and_is_not_trained_on(workspace, tmp_path):
    train, bridge, test = bridged_train_and_test()
    ingest_file(workspace, tmp_path / "a.csv", [row("train", train), row("test", test)], source="s")
    ingest_file(workspace, tmp_path / "b.csv", [row("bridge", bridge)], source="s")
    split_by_id = split_of(workspace)
    assert (split_by_id["train"], split_by_id["test"]) == ("train", "test")
    assert read(workspace, "train") == [train]
    assert read(workspace, "test") == [test]
    assert read(workspace, "validation") == []
    assert value(workspace.database, "SELECT count(*) FROM cluster_bridges") == 1
    assert splits_report.report_splits(workspace).left_out == {"train": 1, "validation": 0, "test": 0}


def test_a_bridge_that_its_source_assigns_to_train_stays_there_and_is_not_trained_on(workspace, tmp_path):
    train, bridge, test = bridged_train_and_test()
    ingest_file(workspace, tmp_path / "a.csv", [row("train", train), row("test", test)], source="s")
    ingest_file(workspace, tmp_path / "b.csv", [row("bridge", bridge, split="train")], WITH_SPLIT, source="s")
    assert split_of(workspace) == {"train": "train", "test": "test", "bridge": "train"}
    assert read(workspace, "train") == [train]


def test_a_sources_split_is_kept_and_a_near_duplicate_of_a_test_article_is_not_trained_on(workspace, tmp_path):
    base = " ".join(words(1))
    rows = [
        row("train", changed(base, 1), split="train"),
        row("test", base, split="test"),
        row("other", words(2), split="train"),
    ]
    ingest_file(workspace, tmp_path / "a.csv", rows, WITH_SPLIT, source="s")
    assert split_of(workspace) == {"train": "train", "test": "test", "other": "train"}
    assert read(workspace, "train") == [" ".join(words(2))]
    assert read(workspace, "test") == [base]


def test_a_text_that_changes_into_a_test_text_stays_in_train_but_is_not_trained_on(workspace, tmp_path):
    train, test = (words(seed_of(split)) for split in ("train", "test"))
    ingest_file(workspace, tmp_path / "a.csv", [row("a", train), row("b", test)], source="s")
    ingest_file(workspace, tmp_path / "b.csv", [row("a", changed(" ".join(test), 3))], source="s")
    assert split_of(workspace) == {"a": "train", "b": "test"}
    assert read(workspace, "train") == []
    assert read(workspace, "test") == [" ".join(test)]


def test_near_duplicates_of_a_test_articles_new_text_join_the_test_split(workspace, tmp_path):
    test, other = words(seed_of("test")), words(seed_of("train"))
    ingest_file(workspace, tmp_path / "a.csv", [row("a", test)], source="s")
    ingest_file(workspace, tmp_path / "b.csv", [row("a", other)], source="s")
    ingest_file(workspace, tmp_path / "c.csv", [row("b", changed(" ".join(other), 1))], source="s")
    assert split_of(workspace) == {"a": "test", "b": "test"}


def test_short_texts_are_compared_by_their_fingerprints(workspace, tmp_path):
    rows = [row(f"s{number}", f"word{number} x") for number in range(60)]
    rows += [row(f"t{number}", f" WORD{number}  X ") for number in range(60)]
    ingest_file(workspace, tmp_path / "a.csv", rows, source="s")
    split_by_id = split_of(workspace)
    assert len({split_by_id[f"s{number}"] for number in range(60)}) == 3
    assert all(split_by_id[f"s{number}"] == split_by_id[f"t{number}"] for number in range(60))
    assert value(workspace.database, "SELECT count(*) FROM cluster_bands") == 0


def test_fingerprints_that_end_in_zeros_are_found_again(workspace, tmp_path):
    text = next(
        candidate for candidate in (f"some text of number {n}" for n in range(2000)) if fingerprint(candidate)[-1] == 0
    )
    for source in ("s", "t"):
        ingest_file(workspace, tmp_path / "a.csv", [row("a", text)], source=source)
    assert value(workspace.database, "SELECT count(*) FROM splits") == 1


def test_ingesting_a_file_again_changes_no_cluster(workspace, tmp_path):
    rows = [row(f"a{number}", changed(" ".join(words(number % 40)), number)) for number in range(200)]
    ingest_file(workspace, tmp_path / "a.csv", rows, source="s")
    before = dump(workspace.database, "splits", "clusters", "cluster_bands", "cluster_bridges", "articles")
    ingest_file(workspace, tmp_path / "a.csv", source="s")
    assert dump(workspace.database, "splits", "clusters", "cluster_bands", "cluster_bridges", "articles") == before


def clusters_of(workspace):
    return {
        name: query(workspace.database, f"SELECT * FROM {name} ORDER BY 1, 2")
        for name in ("cluster_bands", "cluster_bridges", "text_clusters")
    } | {"splits": query(workspace.database, "SELECT fingerprint, split, cluster_id FROM splits ORDER BY 1")}


def related(count):
    """Return rows with many near-duplicates and some bridges."""
    rows = []
    for number in range(count):
        again, seed = divmod(number, count // 4)
        rows.append(row(f"a{number}", changed(window(seed, (0, 40, 20, 20)[again]), number, again)))
    return rows


def test_the_sizes_of_chunks_and_files_do_not_change_the_splits(workspace, tmp_path, monkeypatch):
    rows, expected, original = related(180), None, readers.read_file
    for size in (5000, 7):
        monkeypatch.setattr(units.readers, "read_file", partial(original, chunk_rows=size))
        ingest_file(workspace, tmp_path / "a.csv", rows, source="s")
        expected = expected or (split_of(workspace), clusters_of(workspace))
        assert (split_of(workspace), clusters_of(workspace)) == expected
        run(workspace.database, EMPTIED)
    for start in range(0, len(rows), 11):
        ingest_file(workspace, tmp_path / "a.csv", rows[start : start + 11], source="s")
    assert (split_of(workspace), clusters_of(workspace)) == expected
    assert expected[1]["cluster_bridges"]


EMPTIED = "TRUNCATE articles, splits, clusters, cluster_bands, cluster_bridges CASCADE"


def test_articles_without_near_duplicates_get_the_same_split_in_any_order(workspace, tmp_path):
    rows = [row(f"a{number}", words(number)) for number in range(120)]
    ingest_file(workspace, tmp_path / "a.csv", rows, source="s")
    first = split_of(workspace)
    run(workspace.database, EMPTIED)
    ingest_file(workspace, tmp_path / "a.csv", random.Random(0).sample(rows, len(rows)), source="s")
    assert split_of(workspace) == first


def test_tenfold_growth_moves_no_article_to_another_split(workspace, tmp_path):
    rows = related(600)
    generator = random.Random(5)
    before = {}
    for step in range(10):
        more = rows[step * 60 : step * 60 + 60]
        old = [
            {**article, "text": changed(article["text"], step)}
            for article in generator.sample(rows[: step * 60], step * 3)
        ]
        ingest_file(workspace, tmp_path / f"{step}.csv", more + old, source="s", proportions=Proportions(0.5, 0.2, 0.3))
        now = split_of(workspace)
        assert {name: now[name] for name in before} == before
        assert splits_report.report_splits(workspace).near_duplicates_across == 0
        before = now
    assert len(before) == 600
    assert value(workspace.database, "SELECT count(*) FROM cluster_bridges") > 0


def test_a_file_that_is_refused_leaves_no_cluster(workspace, tmp_path):
    rows = [row(f"a{number}", words(number)) for number in range(10)] + [row(f"b{n}", "") for n in range(10)]
    with pytest.raises(TooManyRejectedError):
        ingest_file(workspace, tmp_path / "a.csv", rows, source="s")
    for table in ("splits", "clusters", "cluster_bands"):
        assert value(workspace.database, f"SELECT count(*) FROM {table}") == 0


def test_files_ingested_at_once_see_each_others_near_duplicates(workspace, tmp_path):
    originals = [" ".join(words(seed)) for seed in range(80)]
    for name in "abcd":
        rows = [row(f"{name}{number}", changed(text, f"{name}{number}")) for number, text in enumerate(originals)]
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda name: units.ingest_files(workspace, str(tmp_path / f"{name}.csv"), units.IngestOptions(COLUMNS)),
                "abcd",
            )
        )
    split_by_id = split_of(workspace)
    assert all(len({split_by_id[f"{name}{number}"] for name in "abcd"}) == 1 for number in range(80))


def test_texts_without_a_cluster_are_clustered_by_the_next_ingest(workspace, tmp_path):
    originals = [" ".join(words(seed)) for seed in range(60)]
    ingest_file(
        workspace,
        tmp_path / "a.csv",
        [row(f"a{n}", article_text) for n, article_text in enumerate(originals)],
        source="s",
    )
    run(workspace.database, "TRUNCATE clusters, cluster_bands, cluster_bridges")
    run(workspace.database, "UPDATE splits SET cluster_id = NULL")
    assert value(workspace.database, "SELECT count(*) FROM splits WHERE cluster_id IS NULL") == 60
    before = split_of(workspace)
    ingest_file(
        workspace, tmp_path / "b.csv", [row(f"b{n}", changed(text, n)) for n, text in enumerate(originals)], source="s"
    )
    split_by_id = split_of(workspace)
    assert {name: split_by_id[name] for name in before} == before
    assert all(split_by_id[f"a{number}"] == split_by_id[f"b{number}"] for number in range(60))
    assert value(workspace.database, "SELECT count(*) FROM splits WHERE cluster_id IS NULL") == 0


def test_the_report_counts_by_category_and_finds_a_leak_that_the_clusters_miss(workspace, tmp_path):
    base = " ".join(words(1))
    rows = [{**row(f"a{n}", words(n + 10), split="train"), "category": "x"} for n in range(8)]
    rows += [
        {**row("b", base, split="test"), "category": "y"},
        {**row("c", words(3), split="validation"), "category": ""},
    ]
    ingest_file(workspace, tmp_path / "a.csv", rows, WITH_SPLIT, source="s")
    report = splits_report.report_splits(workspace)
    assert [(sizes.category, sizes.articles) for sizes in report.categories] == [
        ("x", {"train": 8, "validation": 0, "test": 0}),
        ("y", {"train": 0, "validation": 0, "test": 1}),
        (None, {"train": 0, "validation": 1, "test": 0}),
    ]
    assert report.total.deviation == {"train": 0.0, "validation": 0.0, "test": 0.0}
    assert (report.left_out, report.near_duplicates_across) == ({"train": 0, "validation": 0, "test": 0}, 0)
    ingest_file(workspace, tmp_path / "b.csv", [row("d", changed(base, 1), split="train")], WITH_SPLIT, source="s")
    report = splits_report.report_splits(workspace)
    assert (report.left_out["train"], report.near_duplicates_across) == (1, 0)
    unnoticed = fingerprint(changed(base, 1))
    run(workspace.database, "UPDATE splits SET cluster_id = 0 WHERE fingerprint = :one", one=unnoticed)
    assert splits_report.report_splits(workspace).near_duplicates_across == 1


def bbc():
    with (DATA / "bbc-text.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@needs_articles
def test_repeated_bbc_texts_never_cross_splits_even_with_a_changed_word(workspace, tmp_path):
    groups = defaultdict(list)
    for number, article in enumerate(bbc()):
        groups[article["text"]].append(number)
    repeated = [group for group in groups.values() if len(group) > 1]
    assert len(repeated) == 99
    rows = [row(str(number), article["text"], category=article["category"]) for number, article in enumerate(bbc())]
    ingest_file(workspace, tmp_path / "bbc.csv", rows, source="bbc")
    rows = [
        {**article, "id": f"changed{article['id']}", "text": changed(article["text"], article["id"])}
        for article in rows
    ]
    ingest_file(workspace, tmp_path / "changed.csv", rows, source="bbc")
    split_by_id = split_of(workspace)
    for group in repeated:
        assert len({split_by_id[f"{prefix}{number}"] for number in group for prefix in ("", "changed")}) == 1
    bridges = {bytes(digest) for (digest,) in query(workspace.database, "SELECT fingerprint FROM cluster_bridges")}
    for article in rows:
        if fingerprint(article["text"]) not in bridges:
            assert split_by_id[article["id"]] == split_by_id[article["id"].removeprefix("changed")]
    report = splits_report.report_splits(workspace)
    assert report.near_duplicates_across == 0
    assert all(abs(points) < 0.03 for points in report.total.deviation.values())


@needs_articles
def test_bbc_texts_with_a_changed_word_in_each_repeat_do_not_cross_splits(workspace, tmp_path):
    seen, rows = defaultdict(list), []
    for number, article in enumerate(bbc()):
        copies = seen[fingerprint(article["text"])]
        copies.append(str(number))
        content = changed(article["text"], number) if len(copies) > 1 else article["text"]
        rows.append(row(str(number), content, category=article["category"]))
    ingest_file(workspace, tmp_path / "bbc.csv", rows, source="bbc")
    split_by_id = split_of(workspace)
    assert all(len({split_by_id[article_id] for article_id in copies}) == 1 for copies in seen.values())


@needs_articles
def test_c50_keeps_its_own_splits_and_near_duplicates_are_left_out_of_training(workspace, tmp_path):
    rows = []
    for split in ("train", "test"):
        with gzip.open(DATA / f"c50_{split}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows += [
                {**row(f"{split}{number}", article["text"], split=split), "category": article["author"]}
                for number, article in enumerate(csv.DictReader(file))
            ]
    ingest_file(workspace, tmp_path / "c50.csv", rows, WITH_SPLIT, source="c50")
    report = splits_report.report_splits(workspace)
    assert report.total.articles == {"train": 2500, "validation": 0, "test": 2500}
    assert report.near_duplicates_across == 0
    assert 2 <= report.left_out["train"] < 250


def test_a_statement_gets_a_bounded_number_of_ids(workspace, tmp_path, monkeypatch):
    ingest_file(workspace, tmp_path / "x.csv", [row(str(seed), words(seed)) for seed in range(7)])
    articles = query(workspace.database, "SELECT id, text_hash, fingerprint FROM articles ORDER BY id")
    ids, hashes, fingerprints = ([*column] for column in zip(*articles, strict=True))
    expected = {bytes(digest) for digest in fingerprints}
    monkeypatch.setattr(near_duplicate_clusters, "_IDS_PER_STATEMENT", 2)
    sizes = []
    with workspace.database.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *arguments: sizes.append(len(arguments[3]["ids"])))
        assert (
            near_duplicate_clusters.unchanged_fingerprints(connection, ids, [bytes(digest) for digest in hashes])
            == expected
        )
        assert near_duplicate_clusters.articles_near(connection, ids, expected) == set(ids)
        assert near_duplicate_clusters.articles_near(connection, ids, {bytes(fingerprints[6])}) == {ids[6]}
        assert near_duplicate_clusters.articles_near(connection, ids, {b"none"}) == set()
    assert max(sizes) == 2
