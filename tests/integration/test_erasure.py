"""An erased article is nowhere in clear and stays out of later ingests; the pipeline works without it."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from sqlalchemy import text

from classifier import registry
from classifier.exceptions import ErasureError, SettingsError
from classifier.ingest.fingerprints import fingerprint
from classifier.ingest.readers import Columns
from classifier.model import artefact
from classifier.model.artefact import NEXT_MANIFEST_FILE
from classifier.pipeline.erasure import article_copies, erase, model_files, replay
from classifier.pipeline.erasure.selection import Selection
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, evaluation, html_report
from classifier.pipeline.training import candidate
from classifier.store import erasures, model_rows
from classifier.training import data_snapshot
from classifier.training.recipes import Recipe
from classifier.workspace import Workspace
from tests.support import killing
from tests.support.clear_text import files_with, tables_with
from tests.support.synthetic import (
    LENIENT,
    articles,
    dump,
    ingest_file,
    query,
    run,
    unlabelled,
    value,
    write_csv,
)
from tests.support.tiny_models import make_artefact, make_encoder

RECIPE = Recipe(epochs=1, batch_size=8, learning_rate=0.01, max_length=16, dtype="float32")
ID = "private-4711-person"
TEXT = "xyzzy sentinel the team of Jane Doe scored a goal in the match that she lost to the bank of the river"
COLUMNS = Columns("text", "category", "id", "split")
ROW = {"id": ID, "text": TEXT, "category": "sport", "split": "train"}
HASH, FINGERPRINT = sha256(TEXT.encode()).digest(), fingerprint(TEXT)
CLEAR = (ID, "xyzzy", HASH.hex(), FINGERPRINT.hex())
ONE = Selection(external_ids=(ID,), source="news")


def rows(*more):
    return [*({**row, "split": ""} for row in articles(240)), *more]


def ingest(workspace, tmp_path, *more, name="x.csv"):
    return ingest_file(workspace, tmp_path / name, rows(*more), COLUMNS, source="news", max_rejected=1)


def train(workspace, tmp_path, seed):
    encoder = tmp_path / "encoder"
    if not encoder.exists():
        make_encoder(encoder)
    return candidate.train(workspace, replace(RECIPE, seed=seed), encoder_name=str(encoder)).model


def in_clear(workspace):
    """The tables and the files of the home that show the article."""
    binary = (ID.encode(), b"xyzzy", HASH, FINGERPRINT, *(part.encode() for part in (HASH.hex(), FINGERPRINT.hex())))
    return tables_with(workspace.database, *CLEAR), files_with(workspace.settings.home, *binary)


@pytest.fixture
def article(workspace, tmp_path):
    """The id of an article in an otherwise small database."""
    ingest(workspace, tmp_path, ROW)
    return value(workspace.database, "SELECT id FROM articles WHERE external_id = :id", id=ID)


@pytest.fixture
def model(workspace, article):
    """A champion whose snapshot has the article, without a training."""
    files = make_artefact(workspace.models / "m1", extra_files={data_snapshot.FILE: snapshot_of(article)})
    with workspace.database.begin() as connection:
        registered = registry.register(connection, "m1", files, {"data": {"snapshot": data_snapshot.FILE}})
        model_rows.make_champion(connection, registered.id)
    return registered


def snapshot_of(article):
    annotated = [candidate_article(article, TEXT), candidate_article(article + 1, "the market")]
    return data_snapshot.encode_snapshot({"train": annotated})


def candidate_article(id_, content):
    from classifier.articles import AnnotatedArticle

    return AnnotatedArticle(id_, content, sha256(content.encode()).digest(), ("sport",))


@pytest.mark.slow
def test_an_erased_article_is_in_no_table_and_no_file_and_the_pipeline_works(workspace, tmp_path):
    bad = {"id": ID, "text": TEXT, "category": "sport", "split": "nonsense"}
    assert ingest(workspace, tmp_path, ROW, bad).rejected == 1
    ingest_file(workspace, tmp_path / "u.csv", unlabelled(60, prefix="u"), source="news")
    article = value(workspace.database, "SELECT id FROM articles WHERE external_id = :id", id=ID)
    first = train(workspace, tmp_path, 1)
    evaluation.evaluate(workspace, first)
    decisions.promote_if_better(workspace, first, margins=LENIENT)
    html_report.write_report(workspace, first)
    assert queue.label_queue(workspace).labelled == 60
    run(
        workspace.database,
        "INSERT INTO annotations (article_id, task_id, revision, categories, annotator, comment) "
        f"VALUES ({article}, (SELECT id FROM tasks), 1, ARRAY['sport'], 'ann', 'about {ID}')",
    )
    leftover = workspace.settings.checkpoints_directory / "key" / "tokens"
    leftover.mkdir(parents=True)
    (leftover / "train.ids").write_bytes(TEXT.encode())
    tables, files = in_clear(workspace)
    assert tables >= {"articles", "annotations", "splits", "rejected_rows"}
    assert files >= {"train.ids", "snapshot.parquet"}

    done = erase.erase(workspace, ONE, yes=True)

    assert (done.articles, done.models, done.checkpoints, done.done) == (1, (first,), 1, True)
    assert in_clear(workspace) == (set(), set())
    again = ingest(workspace, tmp_path, ROW, bad, name="again.csv")
    assert (again.erased, again.new, again.rejected, again.unchanged) == (1, 0, 0, 240)
    assert in_clear(workspace) == (set(), set())
    with workspace.database.connect() as connection:
        registry.open_artefact(registry.find(connection, first))
    ingest_file(workspace, tmp_path / "v.csv", unlabelled(30, prefix="v"), source="news")
    assert queue.label_queue(workspace).labelled == 30
    second = train(workspace, tmp_path, 2)
    evaluation.evaluate(workspace, second)
    assert decisions.promote_if_better(workspace, second, margins=LENIENT).promoted
    assert queue.label_queue(workspace).labelled == 90
    assert decisions.roll_back(workspace, reason="of the test").model == first
    assert html_report.write_report(workspace, first)
    assert in_clear(workspace) == (set(), set())


def test_without_yes_nothing_is_changed_and_the_counts_are_shown(workspace, model):
    before = dump(workspace.database)
    shown = erase.erase(workspace, ONE)
    assert (shown.articles, shown.models, shown.done) == (1, ("m1",), False)
    assert shown.rows["annotations"] == 1
    assert dump(workspace.database) == before
    assert query(workspace.database, "SELECT * FROM erasures") == []


def test_an_erased_article_stays_out_under_its_id_and_under_another(workspace, tmp_path, article):
    erase.erase(workspace, ONE, yes=True)
    changed, renamed = {**ROW, "text": "a new text of the bank"}, {**ROW, "id": "other"}
    report = ingest(workspace, tmp_path, changed, renamed)
    assert (report.read, report.erased, report.new, report.unchanged) == (242, 2, 0, 240)
    assert value(workspace.database, "SELECT erased FROM ingest_runs ORDER BY id DESC LIMIT 1") == 2


def test_a_rejected_row_of_an_erased_article_is_not_copied(workspace, tmp_path, article):
    erase.erase(workspace, ONE, yes=True)
    bad = [{**ROW, "split": "nonsense"}, {**ROW, "id": "other", "split": "nonsense"}, {**ROW, "id": ""}]
    bad[2]["text"] = "another text without an id"
    assert ingest(workspace, tmp_path, *bad).rejected == 1
    assert query(workspace.database, "SELECT reason FROM rejected_rows") == [("id is empty",)]


def test_a_text_that_another_article_has_is_not_kept_out(workspace, tmp_path, article):
    twin = {**ROW, "id": "twin"}
    ingest(workspace, tmp_path, twin)
    erase.erase(workspace, ONE, yes=True)
    assert ingest(workspace, tmp_path, ROW, twin).erased == 1
    assert query(workspace.database, "SELECT external_id FROM articles WHERE text = :text", text=TEXT) == [("twin",)]
    assert value(workspace.database, "SELECT count(*) FROM splits WHERE fingerprint = :f", f=FINGERPRINT) == 1


def test_a_source_is_erased_with_all_its_articles_and_no_other(workspace, tmp_path, article):
    ingest_file(workspace, tmp_path / "y.csv", unlabelled(3000, prefix="y"), source="other")
    done = erase.erase(workspace, Selection(source="other"), yes=True)
    assert (done.articles, done.rows["labelling_queue"]) == (3000, 3000)
    assert query(workspace.database, "SELECT source, count(*) FROM articles GROUP BY 1") == [("news", 241)]


def test_a_query_names_the_articles_and_cannot_write(workspace, tmp_path, article):
    file = tmp_path / "query.sql"
    file.write_text("SELECT id FROM articles WHERE text LIKE '%Jane Doe%' AND ':x' <> '' ;\n", encoding="utf-8")
    assert erase.erase(workspace, Selection(query=file)).articles == 1
    for statement, problem in (
        ("DELETE FROM articles RETURNING id", "read-only transaction"),
        ("SELECT id, source FROM articles", "one column, with ids of articles"),
        ("SELECT external_id FROM articles", "one column, with ids of articles"),
        ("SELECT 123456789", "not ids of articles"),
        ("SELECT nothing", "the query failed"),
        ("", "is empty"),
    ):
        file.write_text(statement, encoding="utf-8")
        with pytest.raises(ErasureError, match=problem):
            erase.erase(workspace, Selection(query=file), yes=True)
    assert value(workspace.database, "SELECT count(*) FROM articles") == 241


def test_near_duplicates_keep_their_signatures_and_split(workspace, tmp_path, article):
    near = {**ROW, "id": "near", "text": f"{TEXT} again"}
    ingest(workspace, tmp_path, near)
    cluster = "SELECT DISTINCT cluster_id FROM splits WHERE fingerprint = :f"
    (kept,) = query(workspace.database, cluster, f=fingerprint(near["text"]))
    assert query(workspace.database, cluster, f=FINGERPRINT) == [kept]
    bands = "SELECT count(*) FROM cluster_bands WHERE cluster_id = :c"
    before = value(workspace.database, bands, c=kept[0])
    erase.erase(workspace, ONE, yes=True)
    after = value(workspace.database, bands, c=kept[0])
    assert 0 < after < before
    nearer = {**ROW, "id": "nearer", "text": f"{TEXT} again and again", "split": ""}
    ingest(workspace, tmp_path, near, nearer)
    assert query(workspace.database, cluster, f=fingerprint(nearer["text"])) == [kept]


def test_a_cluster_without_texts_is_deleted_with_its_bands(workspace, article):
    orphans = "SELECT count(*) FROM cluster_bands WHERE cluster_id NOT IN (SELECT id FROM clusters)"
    before = value(workspace.database, "SELECT count(*) FROM clusters")
    erase.erase(workspace, ONE, yes=True)
    assert value(workspace.database, "SELECT count(*) FROM clusters") == before - 1
    assert value(workspace.database, orphans) == 0


def test_a_running_training_refuses_an_erasure(workspace, article):
    @article_copies.copies_articles
    def training(workspace):
        with pytest.raises(ErasureError, match="a training, an evaluation or a check of annotations is running"):
            erase.erase(workspace, ONE, yes=True)

    training(workspace)
    assert value(workspace.database, "SELECT count(*) FROM erased_articles") == 0
    assert erase.erase(workspace, ONE, yes=True).articles == 1


def test_an_ingest_that_has_read_the_article_before_its_erasure_is_refused(workspace, tmp_path, article, monkeypatch):
    from classifier.exceptions import SourceUnavailableError
    from classifier.store import near_duplicate_clusters

    wait, erased = near_duplicate_clusters.wait_for_other_ingests, []

    def erase_first(connection, name, **options):
        if not erased and name != erase._NAME:
            erased.append(erase.erase(workspace, ONE, yes=True))
        wait(connection, name, **options)

    monkeypatch.setattr(near_duplicate_clusters, "wait_for_other_ingests", erase_first)
    with pytest.raises(SourceUnavailableError, match="articles were erased while it was read; run it again"):
        ingest(workspace, tmp_path, ROW)
    assert value(workspace.database, "SELECT count(*) FROM articles WHERE external_id = :id", id=ID) == 0
    assert ingest(workspace, tmp_path, ROW).erased == 1


class CrashError(Exception):
    """The process dies here."""


def crash(*_, **__):
    raise CrashError


MOMENTS = {
    "before the files": (model_files, "find_trained"),
    "before the new manifest is registered": (model_files, "_register"),
    "before the new manifest is renamed": (erasures, "set_manifest"),
    "before the checkpoints": (model_files, "delete_checkpoints"),
    "before the rejected rows": (erasures, "delete_rejected_rows"),
    "before the rows": (erasures, "delete_articles"),
    "before the end": (erasures, "finish"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_crash_the_model_is_valid_and_the_same_command_ends_the_erasure(
    workspace, tmp_path, model, moment, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(*MOMENTS[moment], crash)
        with pytest.raises(CrashError):
            erase.erase(workspace, ONE, yes=True)
    with workspace.database.connect() as connection:
        registry.open_artefact(registry.champion(connection))
    assert ingest(workspace, tmp_path, ROW).erased == 1, "it stays out from the first step on"

    erase.erase(workspace, ONE, yes=True)

    assert in_clear(workspace) == (set(), set())
    assert query(workspace.database, "SELECT articles, models, finished_at IS NULL FROM erasures") == [
        (1, ["m1"], False)
    ]
    with workspace.database.connect() as connection:
        registry.open_artefact(registry.champion(connection))


def test_a_crash_between_registering_and_renaming_the_manifest_is_repaired(workspace, model, monkeypatch):
    from classifier.model import manifest_replacement

    settle = manifest_replacement.settle

    def crash_after_registering(directory, pattern, registered):
        if (directory / NEXT_MANIFEST_FILE).exists():
            raise CrashError
        settle(directory, pattern, registered)

    with monkeypatch.context() as patch:
        patch.setattr(manifest_replacement, "settle", crash_after_registering)
        with pytest.raises(CrashError):
            erase.erase(workspace, ONE, yes=True)
    with workspace.database.connect() as connection:
        opened = registry.open_artefact(registry.champion(connection))
    assert "snapshot.parquet" not in opened.manifest["sha256"]
    erase.erase(workspace, ONE, yes=True)
    assert in_clear(workspace) == (set(), set())
    assert not (workspace.models / "m1" / NEXT_MANIFEST_FILE).exists()


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [14, 34, 54, 74, 84])
def test_a_killed_command_is_ended_by_the_same_command(workspace, tmp_path, model, kill_at):
    environment = {
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(workspace.settings.home),
    }
    command = ["erase", "--source", "news", "--id", ID, "--yes"]
    assert killing.ended(killing.start(command, kill_at, environment)), "no such step: it was not killed"
    with workspace.database.connect() as connection:
        registry.open_artefact(registry.champion(connection))
    killing.ended(killing.start(command, killing.NEVER, environment))
    assert in_clear(workspace) == (set(), set())
    assert ingest(workspace, tmp_path, ROW).erased == 1
    receipts = "SELECT articles, models FROM erasures WHERE finished_at IS NOT NULL"
    assert query(workspace.database, receipts) == [(1, ["m1"])]


def test_another_erasure_ends_an_interrupted_one(workspace, article, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(erasures, "delete_articles", crash)
        with pytest.raises(CrashError):
            erase.erase(workspace, ONE, yes=True)
    erase.erase(workspace, Selection(external_ids=("a0",)), yes=True)
    assert value(workspace.database, "SELECT count(*) FROM articles WHERE external_id IN (:id, 'a0')", id=ID) == 0


def test_a_snapshot_is_written_again_without_the_article_only(workspace, article, model):
    erase.erase(workspace, ONE, yes=True)
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        training = model_rows.training(connection, champion.id)
    files = artefact.read_artefact(workspace.models / "m1", manifest_sha256=champion.manifest_sha256)
    assert [id_ for id_, *_ in data_snapshot.read_snapshot(files.directory)] == [article + 1]
    assert files.manifest["data"]["snapshot"] == training["data"]["snapshot"]
    (left,) = (workspace.models / "m1").glob(data_snapshot.PATTERN)
    assert left.name == training["data"]["snapshot"]


def test_copies_of_an_article_with_a_title_are_found_by_the_hash_of_title_and_text(workspace, article, model):
    """An unfinished evaluation, and the snapshot of a model that knew the article under another id."""
    run(workspace.database, "UPDATE articles SET title = 'A title' WHERE id = :id", id=article)
    digest = sha256(f"A title\0{TEXT}".encode()).digest()
    earlier = replace(candidate_article(article + 7, "another text"), text_hash=digest)
    content = data_snapshot.encode_snapshot({"train": [earlier, candidate_article(article + 1, "the market")]})
    files = make_artefact(workspace.models / "m2", extra_files={data_snapshot.FILE: content})
    with workspace.database.begin() as connection:
        registry.register(connection, "m2", files, {"data": {"snapshot": data_snapshot.FILE}})
    run(
        workspace.database,
        "INSERT INTO evaluation_progress (model_id, engine, text_hash, gflops, seconds, probabilities) "
        "VALUES (:model, 'openvino f32', :hash, 1, 1, '{0.5, 0.5}')",
        model=model.id,
        hash=digest,
    )
    assert erase.erase(workspace, ONE, yes=True).models == ("m1", "m2")
    assert value(workspace.database, "SELECT count(*) FROM evaluation_progress") == 0


def test_models_that_started_from_a_trained_model_are_listed_too(workspace, model):
    with workspace.database.begin() as connection:
        registry.register(connection, "m2", make_artefact(workspace.models / "m2"), {"from": "m1"})
        registry.register(connection, "m3", make_artefact(workspace.models / "m3"), {})
        registry.register(connection, "m4", make_artefact(workspace.models / "m4"), {})
    (workspace.models / "m4").rename(workspace.models / "elsewhere")
    shown = erase.erase(workspace, ONE)
    assert (shown.models, shown.models_not_found) == (("m1", "m2"), ("m4",))


def test_a_restored_database_forgets_the_article_again(workspace, tmp_path, article, server):
    backup = server.create(template=workspace.database.url.database) if _close(workspace) else None
    erase.erase(workspace, ONE, yes=True)
    file = tmp_path / "erasures.txt"
    exported = replay.export_digests(workspace, file)
    assert (exported.erasures, exported.digests, file.stat().st_mode & 0o777) == (1, 2, 0o600)
    content = file.read_text(encoding="utf-8")
    assert not any(string in content for string in CLEAR)

    from classifier.store import connections

    restored = Workspace(connections.connect(backup.render_as_string(hide_password=False)), workspace.settings)
    assert replay.replay(restored, file).articles == 1
    assert value(restored.database, "SELECT count(*) FROM erased_articles") == 0, "a dry run changes nothing"
    done = replay.replay(restored, file, yes=True)
    assert (done.articles, done.done) == (1, True)
    assert tables_with(restored.database, *CLEAR) == set()
    assert ingest(restored, tmp_path, ROW).erased == 1
    assert replay.replay(restored, file, yes=True).articles == 0
    restored.database.dispose()
    server.drop(backup)


def _close(workspace):
    workspace.database.dispose()  # Postgres copies no database that is in use
    return True


def test_the_key_of_the_settings_is_not_stored_and_must_stay_the_same(workspace, tmp_path, article):
    def keyed(key):
        settings = workspace.settings.model_validate({**workspace.settings.model_dump(), "erasure_key": key})
        return Workspace(workspace.database, settings)

    erase.erase(keyed("one"), ONE, yes=True)
    assert value(workspace.database, "SELECT key FROM erasure_key") is None
    assert ingest(keyed("one"), tmp_path, ROW).erased == 1
    for wrong in (keyed("two"), workspace):
        with pytest.raises(SettingsError, match="CLASSIFIER_ERASURE_KEY: is not the key"):
            ingest(wrong, tmp_path, ROW)
    file = tmp_path / "erasures.txt"
    replay.export_digests(keyed("one"), file)
    assert json.loads(file.read_text().splitlines()[0])["key"] is None
    with pytest.raises(SettingsError, match="set the key that it was written with"):
        replay.replay(keyed("two"), file)


def test_the_receipt_has_neither_ids_nor_texts(workspace, article):
    erase.erase(workspace, ONE, yes=True)
    (receipt,) = query(workspace.database, "SELECT to_jsonb(erasures)::text FROM erasures")
    assert not any(string in receipt[0] for string in CLEAR)
    kept = json.loads(receipt[0])
    assert (kept["selection"], kept["articles"], kept["rows"]["annotations"]) == ("id", 1, 1)


def test_an_unknown_article_and_one_that_was_erased_before_are_told_apart(workspace, article):
    with pytest.raises(ErasureError, match="source 'news', id 'unknown': no such article"):
        erase.erase(workspace, Selection(external_ids=("unknown",), source="news"), yes=True)
    erase.erase(workspace, ONE, yes=True)
    assert erase.erase(workspace, ONE, yes=True).before


def test_a_mistake_that_an_evaluation_lists_is_dropped(workspace, article, model):
    mistakes = [{"article": article, "annotated": "x"}, {"article": article + 1, "annotated": "x"}]
    with workspace.database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO evaluations (model_id, split, data_sha256, articles, accuracy, macro_f1, metrics) "
                "VALUES (:model, 'test', '', 2, 1, 1, CAST(:metrics AS jsonb))"
            ),
            {"model": model.id, "metrics": json.dumps({"report": {"mistakes": mistakes}})},
        )
    report_file = workspace.models / "m1.evaluation.json"
    report_file.write_text(json.dumps({"report": {"mistakes": mistakes}}), encoding="utf-8")
    page = workspace.models / "m1.evaluation.html"
    page.write_text(f"<td>{article}</td>", encoding="utf-8")
    erase.erase(workspace, ONE, yes=True)
    kept = [article + 1]
    stored = value(workspace.database, "SELECT metrics FROM evaluations")
    for report in (stored["report"], json.loads(report_file.read_text(encoding="utf-8"))["report"]):
        assert [mistake["article"] for mistake in report["mistakes"]] == kept
    assert not page.exists()


def test_the_command_shows_the_counts_then_erases(workspace, tmp_path, article, classifier):
    environment = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
    shown = classifier("erase", "--source", "news", "--id", ID, **environment)
    assert (shown.returncode, "Nothing was erased. Add --yes" in shown.stdout) == (0, True), shown.stderr
    done = classifier("erase", "--source", "news", "--id", ID, "--yes", "--json", **environment)
    assert json.loads(done.stdout)["articles"] == 1
    file = write_csv(tmp_path / "news.csv", [ROW])
    read = classifier("ingest", file, "--id", "id", "--source-name", "news", "--json", **environment)
    assert json.loads(read.stdout)["erased"] == 1, read.stderr


@pytest.mark.slow
def test_the_files_of_the_embedded_postgres_do_not_have_the_article(tmp_path, classifier):
    environment = {"CLASSIFIER_DATABASE_URL": None}
    home = tmp_path / "home"
    needles = (ID.encode(), b"xyzzy")
    file = write_csv(tmp_path / "news.csv", rows(ROW))
    assert classifier("db", "upgrade", **environment).returncode == 0
    read = classifier("ingest", file, "--id", "id", "--category", "category", "--split", "split", **environment)
    assert read.returncode == 0, read.stderr
    file.unlink()
    assert files_with(home, *needles)
    kept = classifier("erase", "--source", "news", "--id", ID, "--yes", "--no-rewrite", "--json", **environment)
    assert json.loads(kept.stdout)["rewritten"] is False
    assert files_with(home, *needles), "deleted rows stay in the files"
    done = classifier("erase", "--source", "news", "--id", "a0", "--yes", "--json", **environment)
    assert json.loads(done.stdout)["rewritten"] is True, done.stderr
    assert files_with(home, *needles) == set()
    listed = classifier("runs", "--json", **environment)
    assert json.loads(listed.stdout)[0]["new"] == 241
