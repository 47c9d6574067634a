"""Declarations in sources.toml, and the one-line errors of invalid ones."""

from __future__ import annotations

import pytest

from classifier.exceptions import SourceError
from classifier.ingest.source_declarations import FeedSource, FilesSource, SqlSource, load_sources

FILES = "[sources.news]\nkind = 'files'\nfiles = 'in/*.csv'\n"
FEED = "[sources.bbc]\nkind = 'feed'\nurl = 'https://example.org/rss'\n"
SQL = "[sources.cms]\nkind = 'sql'\nquery = 'SELECT 1'\n"


@pytest.fixture
def declare(tmp_path):
    def written(content):
        (tmp_path / "sources.toml").write_text(content, encoding="utf-8")
        return load_sources(tmp_path / "sources.toml")

    return written


def test_every_kind_is_read_with_its_defaults(declare, tmp_path):
    sources = declare(FILES + FEED + SQL + "url_from = 'CMS_URL'\n")
    assert [type(source) for source in sources.values()] == [FilesSource, FeedSource, SqlSource]
    assert [source.group for source in sources.values()] == ["hourly"] * 3
    assert [source.min_rejected_rows for source in sources.values()] == [0, 5, 5]
    assert sources["news"].encoding == "auto"
    assert sources["bbc"].columns.id == "id"
    assert sources["bbc"].columns.published_at == "published_at"


def test_relative_files_start_at_the_folder_of_the_declaring_file(declare, tmp_path):
    assert declare(FILES)["news"].files == str(tmp_path / "in/*.csv")


@pytest.mark.parametrize("address", ["s3://bucket/*.csv", "/data/*.csv", "memory://x/a.csv"])
def test_a_url_and_an_absolute_path_are_unchanged(declare, address):
    assert declare(FILES.replace("in/*.csv", address))["news"].files == address


def test_the_example_file_is_valid():
    from pathlib import Path

    assert set(load_sources(Path(__file__).parents[3] / "sources.example.toml")) == {"archive", "wire", "bbc", "cms"}


def test_the_hash_changes_with_the_mapping_but_not_with_the_group(declare):
    first = declare(FILES)["news"].config_sha256
    assert declare(FILES + "group = 'daily'\nmax_rejected = 0.5\n")["news"].config_sha256 == first
    assert declare(FILES + "columns = {text = 'body'}\n")["news"].config_sha256 != first


@pytest.mark.parametrize(
    "keys",
    ["delimiter = ';'", "skip_lines = 1", "header = false", "column_names = ['text']", "records = 'a'",
     "split_folders = true", "task = 'topic'", "date_format = '%d/%m/%Y'", "strict_dates = true"],
)  # fmt: skip
def test_the_hash_changes_with_each_key_that_decides_how_rows_are_read(declare, keys):
    assert declare(FILES + keys)["news"].config_sha256 != declare(FILES)["news"].config_sha256


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "declares no source"),
        ("sources = 3", "declares no source"),
        ("[news]\nkind = 'files'", "key 'news': unknown; a source is a table such as [sources.news]"),
        ("[sources.a", "not TOML"),
        ("[sources.a]\nkind='files'\n[sources.a]\nkind='feed'", "not TOML (Cannot declare"),
        ("[sources]\na = 1", "source 'a': not a table"),
        ("[sources.a]\nfiles = 'x'", "source 'a', key 'kind': must be one of files, feed, sql"),
        ("[sources.a]\nkind = 'ftp'", "source 'a', key 'kind': must be one of files, feed, sql"),
        ("[sources.a]\nkind = ['files']", "source 'a', key 'kind': must be one of files, feed, sql"),
        ("[sources.a]\nkind = 'files'", "source 'a', key 'files': missing"),
        (FILES + "colums = 1", "source 'news', key 'colums': unknown; choose from group, max_rejected"),
        (FILES + "columns = {txt = 'a'}", "key 'columns.txt': unknown; choose from text, category, id"),
        (FILES + "columns = {category = 1}", "key 'columns.category': must be a column, or a column for each task"),
        (FILES + "columns = {category = {}}", "key 'columns.category': must be a column, or a column for each task"),
        (FILES + "columns = {category = {topic = 1}}", "key 'columns.category': must be a column, or a column for"),
        (FILES + "columns = {category = ['a']}", "key 'columns.category': must be a column, or a column for each"),
        (FEED + "columns = {category = {topic = 'tag'}}", "key 'columns.category': 'tag' is not a field of a feed"),
        (FILES + "separator = 'a'\ncolumns = {category = 'a'}", "key 'separator': separator 'a': must be characters"),
        (FILES + "separator = ';'", "separator is for categories; name their column, such as"),
        (FILES + "task = 'a'\ncolumns = {category = {topic = 'b'}}", "names its tasks twice; leave out task, or"),
        (FEED + "separator = ';'", "key 'separator': unknown; choose from group"),
        (FILES + "columns = {text = 1}", "key 'columns.text': should be a valid string"),
        (FILES + "max_rejected = 7", "key 'max_rejected': should be less than or equal to 1"),
        (FILES + "timezone = 'Mars/Olympus'", "key 'timezone': 'Mars/Olympus' is not a time zone"),
        (FILES + "timezone = '../etc'", "key 'timezone': '../etc' is not a time zone"),
        (FILES + "encoding = 'utf-9'", "key 'encoding': 'utf-9' is not an encoding"),
        (FILES + "delimiter = ';;'", "key 'delimiter': delimiter ';;': must be one character"),
        (FILES + "skip_lines = -1", "key 'skip_lines': should be greater than or equal to 0"),
        (FILES + "column_names = ['a', 'a']", "key 'column_names': columns 'a,a': each column must have a name"),
        (FILES + "date_format = '%d/%m'", "key 'date_format': date format '%d/%m': must give a day"),
        (FEED + "delimiter = ';'", "key 'delimiter': unknown; choose from group"),
        (FILES + "encoding = 'zip'", "key 'encoding': 'zip' is not an encoding"),
        (FILES + "proportions = [0.5, 0.1, 0.1]", "key 'proportions': split proportions 0.5, 0.1, 0.1"),
        (FEED.replace("https", "ftp"), "key 'url': is not an http:// or https:// URL"),
        (FEED.replace("https", "file"), "key 'url': is not an http:// or https:// URL"),
        (FEED.replace("example.org", "[::1"), "key 'url': is not a URL"),
        (FEED.replace("example.org", "me:secret@example.org"), "key 'url': must not hold a user name or password"),
        (
            FEED + "columns = {text = 'story'}",
            "key 'columns.text': 'story' is not a field of a feed entry; choose from id, text",
        ),
        (SQL, "must have exactly one of url, url_from"),
        (SQL + "url = 'sqlite://'\nconnection = 'cms'", "must have exactly one of url, url_from"),
        (
            SQL + "url = 'postgresql://u:geheim@h/d'",
            "key 'url': must not hold a password; set the URL in an",
        ),
        (SQL + "url = 'postgresql://h/d?password=geheim'", "key 'url': must not hold a password; set the URL in an"),
        (SQL + "url = 'nonsense'", "key 'url': is not a SQLAlchemy URL"),
        ('[sources."a\\u0000b"]\nkind = "files"\nfiles = "x"', "key 'name'"),
    ],
)
def test_an_error_is_one_line_with_the_file_the_source_and_the_key(declare, content, line):
    with pytest.raises(SourceError) as raised:
        declare(content)
    assert line in str(raised.value)
    assert "sources.toml: " in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "geheim" not in str(raised.value)


def test_the_error_for_a_missing_file_names_the_example(tmp_path):
    with pytest.raises(SourceError, match=r"none\.toml: cannot be read .* see sources\.example\.toml"):
        load_sources(tmp_path / "none.toml")


def test_a_file_that_is_not_utf8_is_an_error(tmp_path):
    (tmp_path / "sources.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(SourceError, match="not UTF-8"):
        load_sources(tmp_path / "sources.toml")
