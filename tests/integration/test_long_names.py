"""No name is too long for an index: it is shortened, or refused in one line."""

from __future__ import annotations

import random
import zipfile
from dataclasses import replace

import pytest

from classifier.exceptions import SourceError, UserError
from classifier.ingest import source_declarations
from classifier.ingest.readers import Columns
from classifier.ingest.validation import MAX_LENGTHS
from classifier.pipeline.ingest import declared_sources, inbox, rejected_rows, units
from classifier.pipeline.ingest.units import IngestOptions
from classifier.pipeline.monitoring import status
from tests.support.loopback import page, serving
from tests.support.synthetic import COLUMNS, articles, ingest_file, query, value, write_csv

CHOOSE = random.Random(3)


def noise(length, first=0x1F300, last=0x1F5FF):
    """Return characters of four bytes each that Postgres cannot compress."""
    return "".join(chr(CHOOSE.randint(first, last)) for _ in range(length))


def ascii_noise(length):
    return "".join(CHOOSE.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))


def test_a_rejected_row_of_a_zip_member_with_a_long_name_is_stored(workspace, tmp_path):
    """Two such members, whose names differ in the middle: their bad rows stay apart."""
    start, end = ascii_noise(2000), ascii_noise(2000)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2):
            good = "".join(f"g{number}-{n},text {number} {n},\n" for n in range(40))
            archive.writestr(f"{start}{number}{end}.csv", f"id,text,category\n,bad,\n{good}")
    report = units.ingest_files(workspace, str(path), IngestOptions(COLUMNS))
    assert (report.new, report.rejected) == (80, 2)
    first, second = rejected_rows.list_rejected(workspace)
    assert first.position != second.position
    assert first.position.endswith(".csv, line 2")
    ingest_file(workspace, path)
    assert len(rejected_rows.list_rejected(workspace)) == 2, "the same bad row is kept once"


def test_values_at_their_limits_fit_whatever_their_characters(workspace, tmp_path):
    limits = {
        "id": noise(MAX_LENGTHS["id"]),
        "source": noise(MAX_LENGTHS["source"]),
        "category": noise(MAX_LENGTHS["category"]),
    }
    rows = [{"text": "good", **limits}, {"text": "", **limits}]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, source="source"), max_rejected=1)
    assert query(workspace.database, "SELECT external_id, source FROM articles") == [(limits["id"], limits["source"])]
    assert value(workspace.database, "SELECT count(*) FROM rejected_rows") == 1


def test_a_name_of_a_source_that_is_too_long_is_refused_in_one_line(workspace, tmp_path):
    write_csv(tmp_path / "x.csv", articles(3))
    with pytest.raises(SourceError, match=r"the source's name .* is longer than 200 characters; name the source with"):
        ingest_file(workspace, tmp_path / "x.csv", source=noise(201))
    (tmp_path / f"{ascii_noise(210)}.csv").write_text("text\nwords\n")
    with pytest.raises(
        SourceError, match=r"its name is longer than 200 characters; name the source with --source-name"
    ):
        units.ingest_files(workspace, str(tmp_path / f"{'?' * 210}.csv"), IngestOptions(Columns()))
    assert units.ingest_files(workspace, str(tmp_path / f"{'?' * 210}.csv"), IngestOptions(Columns(), "short")).new == 1


@pytest.fixture
def deep(tmp_path):
    """A file whose path has more than 2,800 characters that cannot be compressed."""
    folder = tmp_path
    for _ in range(14):
        folder /= ascii_noise(200)
    folder.mkdir(parents=True)
    return write_csv(folder / "x.csv", [*articles(30), {"id": "", "text": "bad", "category": ""}])


def test_a_path_that_is_too_long_to_store_is_refused_in_one_line(workspace, tmp_path, deep):
    options = IngestOptions(COLUMNS, "news")
    for attempt in (
        lambda: ingest_file(workspace, deep),
        lambda: inbox.ingest_inbox(workspace, str(deep), options),
        lambda: declared_sources.ingest_source(
            workspace, declared(tmp_path, f"kind = 'files'\nfiles = '{deep}'"), lambda _: ""
        ),
    ):
        with pytest.raises(SourceError, match="the path or URL is longer than 1700 bytes") as raised:
            attempt()
        assert len(str(raised.value)) < 600
    assert value(workspace.database, "SELECT count(*) FROM articles") == 0


def test_a_run_of_a_long_pattern_is_listed_and_its_rejected_rows_can_be_retried(workspace, tmp_path):
    folder = tmp_path.joinpath(*"d" * 14)
    folder.mkdir(parents=True)
    path = write_csv(folder / "x.csv", [*articles(30), {"id": "", "text": "bad", "category": ""}])
    pattern = f"{tmp_path}{''.join(f'/[d{ascii_noise(200)}]' for _ in range(14))}/*.csv"
    assert units.ingest_files(workspace, pattern, IngestOptions(COLUMNS)).rejected == 1
    (run,) = status.last_runs(workspace, pattern)
    assert run.new == 30
    write_csv(path, [*articles(30), {"id": "mended", "text": "bad", "category": ""}])
    assert rejected_rows.retry_rejected(workspace, {}, lambda _: "").resolved == 1


def declared(tmp_path, keys):
    (tmp_path / "sources.toml").write_text(f"[sources.{'s' * 190}]\n{keys}\ncolumns = {{id = 'id'}}\n")
    (source,) = source_declarations.load_sources(tmp_path / "sources.toml").values()
    return source


def test_a_feed_with_a_long_address_is_polled_or_refused_when_it_is_declared(workspace, tmp_path):
    body = (
        b"<?xml version='1.0'?><rss version='2.0'><channel><item><guid>1</guid><title>t</title></item></channel></rss>"
    )
    with serving(page(body)) as site:
        address = f"{site.url}?{ascii_noise(1600)}"
        source = declared(tmp_path, f"kind = 'feed'\nurl = '{address}'\nallow_private = true")
        assert declared_sources.ingest_source(workspace, source, lambda _: "").new == 1
        with pytest.raises(UserError, match=r"key 'url': String should have at most 1700 characters"):
            declared(tmp_path, f"kind = 'feed'\nurl = '{address}{ascii_noise(200)}'")


@pytest.mark.parametrize("length", [401, 600, 5000])
def test_a_long_guid_or_link_is_shortened_and_stays_the_same_article(workspace, tmp_path, length):
    """Two entries whose ids differ at their ends: two articles, also at the second poll."""
    guids = [f"http://x/{ascii_noise(length)}{number}" for number in range(2)]
    items = "".join(f"<item><guid>{guid}</guid><title>t {guid[-1]}</title></item>" for guid in guids)
    body = f"<?xml version='1.0'?><rss version='2.0'><channel>{items}</channel></rss>"
    with serving(page(body.encode())) as site:
        source = declared(tmp_path, f"kind = 'feed'\nurl = '{site.url}'\nallow_private = true")
        assert declared_sources.ingest_source(workspace, source, lambda _: "").new == 2
        site.answer = page(body.replace("<title>", "<title>new ").encode())
        assert declared_sources.ingest_source(workspace, source, lambda _: "").changed == 2
