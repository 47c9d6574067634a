"""A split that never leaks: near-duplicates share one, for ever, and what bridges two is not trained on."""

from __future__ import annotations

import csv
import gzip
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from alembic import command
from sqlalchemy import event

from classifier.exceptions import TooManyRejectedError
from classifier.ingest import minhash_bands, readers, splits
from classifier.ingest.fingerprints import fingerprint
from classifier.ingest.readers import Columns
from classifier.ingest.splits import Proportions
from classifier.pipeline.ingest import splits_report, units
from classifier.store import near_duplicate_clusters, reads, schema
from tests.support.paths import DATA, needs_articles
from tests.support.synthetic import COLUMNS, dump, query, run, take_in, value

WORDS = [f"{a}{b}{c}" for a in "bdfglm" for b in "aeiou" for c in "nrst"]
WITH_SPLIT = Columns("text", "category", "id", "split")


def words(seed, count=120):
    return random.Random(seed).choices(WORDS, k=count)


def row(name, content, **more):
    return {"id": name, "text": content if isinstance(content, str) else " ".join(content), "category": "c", **more}


def changed(content, seed, count=1):
    generator, other = random.Random(seed), content.split()
    for place in generator.sample(range(len(other)), min(count, len(other))):
        other[place] = f"changed{generator.randrange(10**6)}"
    return " ".join(other)


def split_of(workspace):
    return dict(query(workspace.database, "SELECT external_id, split FROM articles"))


def read(workspace, split):
    with workspace.database.connect() as connection:
        return [article.text for article in reads.annotated_articles(connection, split)]


def seed_dealt(split):
    """Return a seed whose article is dealt to the split."""
    return next(seed for seed in range(1000) if dealt(" ".join(words(seed))) == split)


def shares_a_band(first, second):
    bands, _ = minhash_bands.bands([first, second])
    return (bands[0] == bands[1]).any()


def test_near_duplicates_share_a_split_within_a_file_and_across_files(workspace, tmp_path):
    originals = [" ".join(words(seed)) for seed in range(150)]
    rows = [row(f"a{number}", one) for number, one in enumerate(originals)]
    rows += [row(f"b{number}", changed(one, number)) for number, one in enumerate(originals)]
    take_in(workspace, tmp_path / "one.csv", rows, source="s")
    take_in(
        workspace, tmp_path / "two.csv", [row(f"c{n}", changed(one, -n)) for n, one in enumerate(originals)], source="s"
    )
    found = split_of(workspace)
    assert {found["a0"], *found.values()} == {"train", "validation", "test"}
    for number in range(150):
        assert found[f"a{number}"] == found[f"b{number}"] == found[f"c{number}"]


def window(seed, start):
    """Return 100 words of a longer text; windows 20 words apart are mostly near-duplicates, 40 apart rarely."""
    return " ".join(words(seed, 200)[start : start + 100])


def dealt(content):
    return splits.assign_split(fingerprint(content), key="article-classifier", proportions=Proportions())


def bridged_train_and_test():
    """Return an article dealt to train, one that both are near-duplicates of, and one dealt to test."""
    for seed in range(5000):
        train, bridge, test = (window(seed, start) for start in (0, 20, 40))
        near = shares_a_band(train, bridge) and shares_a_band(bridge, test) and not shares_a_band(train, test)
        if near and (dealt(train), dealt(test)) == ("train", "test"):
            return train, bridge, test
    raise AssertionError


def test_a_bridge_of_train_and_test_moves_nothing_and_is_trained_on_by_nobody(workspace, tmp_path):
    train, bridge, test = bridged_train_and_test()
    take_in(workspace, tmp_path / "a.csv", [row("train", train), row("test", test)], source="s")
    take_in(workspace, tmp_path / "b.csv", [row("bridge", bridge)], source="s")
    found = split_of(workspace)
    assert (found["train"], found["test"]) == ("train", "test")
    assert read(workspace, "train") == [train]
    assert read(workspace, "test") == [test]
    assert read(workspace, "validation") == []
    assert value(workspace.database, "SELECT count(*) FROM bridges") == 1
    assert splits_report.report_splits(workspace).left_out == {"train": 1, "validation": 0, "test": 0}


def test_a_bridge_that_its_source_puts_into_train_stays_there_and_is_not_trained_on(workspace, tmp_path):
    train, bridge, test = bridged_train_and_test()
    take_in(workspace, tmp_path / "a.csv", [row("train", train), row("test", test)], source="s")
    take_in(workspace, tmp_path / "b.csv", [row("bridge", bridge, split="train")], WITH_SPLIT, source="s")
    assert split_of(workspace) == {"train": "train", "test": "test", "bridge": "train"}
    assert read(workspace, "train") == [train]


def test_a_sources_own_split_is_kept_and_its_near_duplicate_of_a_test_article_not_trained_on(workspace, tmp_path):
    base = " ".join(words(1))
    rows = [
        row("train", changed(base, 1), split="train"),
        row("test", base, split="test"),
        row("other", words(2), split="train"),
    ]
    take_in(workspace, tmp_path / "a.csv", rows, WITH_SPLIT, source="s")
    assert split_of(workspace) == {"train": "train", "test": "test", "other": "train"}
    assert read(workspace, "train") == [" ".join(words(2))]
    assert read(workspace, "test") == [base]


def test_a_text_that_changes_into_one_that_is_tested_on_stays_in_train_but_is_not_trained_on(workspace, tmp_path):
    train, test = (words(seed_dealt(split)) for split in ("train", "test"))
    take_in(workspace, tmp_path / "a.csv", [row("a", train), row("b", test)], source="s")
    take_in(workspace, tmp_path / "b.csv", [row("a", changed(" ".join(test), 3))], source="s")
    assert split_of(workspace) == {"a": "train", "b": "test"}
    assert read(workspace, "train") == []
    assert read(workspace, "test") == [" ".join(test)]


def test_a_new_text_of_a_test_article_brings_its_near_duplicates_into_test(workspace, tmp_path):
    test, other = words(seed_dealt("test")), words(seed_dealt("train"))
    take_in(workspace, tmp_path / "a.csv", [row("a", test)], source="s")
    take_in(workspace, tmp_path / "b.csv", [row("a", other)], source="s")
    take_in(workspace, tmp_path / "c.csv", [row("b", changed(" ".join(other), 1))], source="s")
    assert split_of(workspace) == {"a": "test", "b": "test"}


def test_short_texts_are_told_apart_by_their_fingerprint(workspace, tmp_path):
    rows = [row(f"s{number}", f"word{number} x") for number in range(60)]
    rows += [row(f"t{number}", f" WORD{number}  X ") for number in range(60)]
    take_in(workspace, tmp_path / "a.csv", rows, source="s")
    found = split_of(workspace)
    assert len({found[f"s{number}"] for number in range(60)}) == 3
    assert all(found[f"s{number}"] == found[f"t{number}"] for number in range(60))
    assert value(workspace.database, "SELECT count(*) FROM cluster_bands") == 0


def test_fingerprints_that_end_in_zeros_are_known_again(workspace, tmp_path):
    text = next(one for one in (f"some text of number {n}" for n in range(2000)) if fingerprint(one)[-1] == 0)
    for source in ("s", "t"):
        take_in(workspace, tmp_path / "a.csv", [row("a", text)], source=source)
    assert value(workspace.database, "SELECT count(*) FROM splits") == 1


def test_the_same_file_twice_changes_nothing_of_the_clusters(workspace, tmp_path):
    rows = [row(f"a{number}", changed(" ".join(words(number % 40)), number)) for number in range(200)]
    take_in(workspace, tmp_path / "a.csv", rows, source="s")
    before = dump(workspace.database, "splits", "clusters", "cluster_bands", "bridges", "articles")
    take_in(workspace, tmp_path / "a.csv", source="s")
    assert dump(workspace.database, "splits", "clusters", "cluster_bands", "bridges", "articles") == before


def clusters_of(workspace):
    return {
        name: query(workspace.database, f"SELECT * FROM {name} ORDER BY 1, 2")
        for name in ("cluster_bands", "bridges", "text_clusters")
    } | {"splits": query(workspace.database, "SELECT fingerprint, split, cluster_id FROM splits ORDER BY 1")}


def related(count):
    """Return rows of which many are near-duplicates and some bridge two others."""
    rows = []
    for number in range(count):
        again, seed = divmod(number, count // 4)
        rows.append(row(f"a{number}", changed(window(seed, (0, 40, 20, 20)[again]), number, again)))
    return rows


def test_chunks_and_files_of_any_size_give_the_same_splits(workspace, tmp_path, monkeypatch):
    rows, whole, original = related(180), None, readers.read_file
    for size in (5000, 7):
        monkeypatch.setattr(units.readers, "read_file", partial(original, chunk_rows=size))
        take_in(workspace, tmp_path / "a.csv", rows, source="s")
        whole = whole or (split_of(workspace), clusters_of(workspace))
        assert (split_of(workspace), clusters_of(workspace)) == whole
        run(workspace.database, EMPTIED)
    for start in range(0, len(rows), 11):
        take_in(workspace, tmp_path / "a.csv", rows[start : start + 11], source="s")
    assert (split_of(workspace), clusters_of(workspace)) == whole
    assert whole[1]["bridges"]


EMPTIED = "TRUNCATE articles, splits, clusters, cluster_bands, bridges CASCADE"


def test_articles_without_near_duplicates_get_the_same_split_in_any_order(workspace, tmp_path):
    rows = [row(f"a{number}", words(number)) for number in range(120)]
    take_in(workspace, tmp_path / "a.csv", rows, source="s")
    first = split_of(workspace)
    run(workspace.database, EMPTIED)
    take_in(workspace, tmp_path / "a.csv", random.Random(0).sample(rows, len(rows)), source="s")
    assert split_of(workspace) == first


def test_a_data_set_that_grows_tenfold_moves_no_article(workspace, tmp_path):
    rows = related(600)
    generator = random.Random(5)
    before = {}
    for step in range(10):
        more = rows[step * 60 : step * 60 + 60]
        old = [{**one, "text": changed(one["text"], step)} for one in generator.sample(rows[: step * 60], step * 3)]
        take_in(workspace, tmp_path / f"{step}.csv", more + old, source="s", proportions=Proportions(0.5, 0.2, 0.3))
        now = split_of(workspace)
        assert {name: now[name] for name in before} == before
        assert splits_report.report_splits(workspace).near_duplicates_across == 0
        before = now
    assert len(before) == 600
    assert value(workspace.database, "SELECT count(*) FROM bridges") > 0


def test_a_file_that_is_refused_leaves_no_cluster(workspace, tmp_path):
    rows = [row(f"a{number}", words(number)) for number in range(10)] + [row(f"b{n}", "") for n in range(10)]
    with pytest.raises(TooManyRejectedError):
        take_in(workspace, tmp_path / "a.csv", rows, source="s")
    for table in ("splits", "clusters", "cluster_bands"):
        assert value(workspace.database, f"SELECT count(*) FROM {table}") == 0


def test_files_that_are_taken_in_at_once_see_each_others_near_duplicates(workspace, tmp_path):
    originals = [" ".join(words(seed)) for seed in range(80)]
    for name in "abcd":
        rows = [row(f"{name}{number}", changed(one, f"{name}{number}")) for number, one in enumerate(originals)]
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: units.ingest_files(workspace, str(tmp_path / f"{name}.csv"), COLUMNS), "abcd"))
    found = split_of(workspace)
    assert all(len({found[f"{name}{number}"] for name in "abcd"}) == 1 for number in range(80))


def test_texts_from_before_there_were_clusters_are_placed_by_the_next_ingest(workspace, tmp_path):
    originals = [" ".join(words(seed)) for seed in range(60)]
    take_in(workspace, tmp_path / "a.csv", [row(f"a{n}", one) for n, one in enumerate(originals)], source="s")
    with workspace.database.connect() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        schema.upgrade(connection)
    assert value(workspace.database, "SELECT count(*) FROM splits WHERE cluster_id IS NULL") == 60
    before = split_of(workspace)
    take_in(
        workspace, tmp_path / "b.csv", [row(f"b{n}", changed(one, n)) for n, one in enumerate(originals)], source="s"
    )
    found = split_of(workspace)
    assert {name: found[name] for name in before} == before
    assert all(found[f"a{number}"] == found[f"b{number}"] for number in range(60))
    assert value(workspace.database, "SELECT count(*) FROM splits WHERE cluster_id IS NULL") == 0


def test_the_report_counts_by_category_and_finds_a_leak_that_the_database_does_not_know(workspace, tmp_path):
    base = " ".join(words(1))
    rows = [{**row(f"a{n}", words(n + 10), split="train"), "category": "x"} for n in range(8)]
    rows += [
        {**row("b", base, split="test"), "category": "y"},
        {**row("c", words(3), split="validation"), "category": ""},
    ]
    take_in(workspace, tmp_path / "a.csv", rows, WITH_SPLIT, source="s")
    found = splits_report.report_splits(workspace)
    assert [(one.category, one.articles) for one in found.categories] == [
        ("x", {"train": 8, "validation": 0, "test": 0}),
        ("y", {"train": 0, "validation": 0, "test": 1}),
        (None, {"train": 0, "validation": 1, "test": 0}),
    ]
    assert found.total.drift == {"train": 0.0, "validation": 0.0, "test": 0.0}
    assert (found.left_out, found.near_duplicates_across) == ({"train": 0, "validation": 0, "test": 0}, 0)
    take_in(workspace, tmp_path / "b.csv", [row("d", changed(base, 1), split="train")], WITH_SPLIT, source="s")
    found = splits_report.report_splits(workspace)
    assert (found.left_out["train"], found.near_duplicates_across) == (1, 0)
    unnoticed = fingerprint(changed(base, 1))
    run(workspace.database, "UPDATE splits SET cluster_id = 0 WHERE fingerprint = :one", one=unnoticed)
    assert splits_report.report_splits(workspace).near_duplicates_across == 1


def bbc():
    with (DATA / "bbc-text.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@needs_articles
def test_bbcs_repeated_texts_never_cross_splits_not_even_with_a_changed_word(workspace, tmp_path):
    groups = defaultdict(list)
    for number, one in enumerate(bbc()):
        groups[one["text"]].append(number)
    repeated = [group for group in groups.values() if len(group) > 1]
    assert len(repeated) == 99
    rows = [row(str(number), one["text"], category=one["category"]) for number, one in enumerate(bbc())]
    take_in(workspace, tmp_path / "bbc.csv", rows, source="bbc")
    rows = [{**one, "id": f"changed{one['id']}", "text": changed(one["text"], one["id"])} for one in rows]
    take_in(workspace, tmp_path / "changed.csv", rows, source="bbc")
    found = split_of(workspace)
    for group in repeated:
        assert len({found[f"{prefix}{number}"] for number in group for prefix in ("", "changed")}) == 1
    bridges = {bytes(one) for (one,) in query(workspace.database, "SELECT fingerprint FROM bridges")}
    for one in rows:
        if fingerprint(one["text"]) not in bridges:
            assert found[one["id"]] == found[one["id"].removeprefix("changed")]
    report = splits_report.report_splits(workspace)
    assert report.near_duplicates_across == 0
    assert all(abs(drift) < 0.03 for drift in report.total.drift.values())


@needs_articles
def test_bbc_with_a_changed_word_in_each_repeat_from_the_start_does_not_cross(workspace, tmp_path):
    seen, rows = defaultdict(list), []
    for number, one in enumerate(bbc()):
        copies = seen[fingerprint(one["text"])]
        copies.append(str(number))
        content = changed(one["text"], number) if len(copies) > 1 else one["text"]
        rows.append(row(str(number), content, category=one["category"]))
    take_in(workspace, tmp_path / "bbc.csv", rows, source="bbc")
    found = split_of(workspace)
    assert all(len({found[one] for one in copies}) == 1 for copies in seen.values())


@needs_articles
def test_c50s_own_splits_are_kept_and_their_near_duplicates_left_out_of_training(workspace, tmp_path):
    rows = []
    for split in ("train", "test"):
        with gzip.open(DATA / f"c50_{split}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows += [
                {**row(f"{split}{number}", one["text"], split=split), "category": one["author"]}
                for number, one in enumerate(csv.DictReader(file))
            ]
    take_in(workspace, tmp_path / "c50.csv", rows, WITH_SPLIT, source="c50")
    report = splits_report.report_splits(workspace)
    assert report.total.articles == {"train": 2500, "validation": 0, "test": 2500}
    assert report.near_duplicates_across == 0
    assert 2 <= report.left_out["train"] < 250


def test_a_statement_is_given_a_bounded_number_of_ids(workspace, tmp_path, monkeypatch):
    take_in(workspace, tmp_path / "x.csv", [row(str(seed), words(seed)) for seed in range(7)])
    articles = query(workspace.database, "SELECT id, text_hash, fingerprint FROM articles ORDER BY id")
    ids, hashes, fingerprints = ([*column] for column in zip(*articles, strict=True))
    expected = {bytes(one) for one in fingerprints}
    monkeypatch.setattr(reads, "_IDS_AT_ONCE", 2)
    monkeypatch.setattr(near_duplicate_clusters, "_IDS_PER_STATEMENT", 2, raising=False)
    sizes = []
    with workspace.database.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: sizes.append(len(given[3]["ids"])))
        assert near_duplicate_clusters.fingerprints_of(connection, ids, [bytes(one) for one in hashes]) == expected
        assert near_duplicate_clusters.articles_near(connection, ids, expected) == set(ids)
        assert near_duplicate_clusters.articles_near(connection, ids, {bytes(fingerprints[6])}) == {ids[6]}
        assert near_duplicate_clusters.articles_near(connection, ids, {b"none"}) == set()
    assert max(sizes) == 2
