"""No part of a password is shown, even if an address is invalid."""

from __future__ import annotations

import traceback

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from classifier.exceptions import UserError
from classifier.pipeline.monitoring import status
from classifier.settings import Settings
from classifier.store import connections, external_databases, urls
from classifier.workspace import Workspace

FIRST, SECOND = "planted1", "planted2"
SERVER = "127.0.0.1:1/articles"
WRITTEN = [
    *(f"me:{FIRST}{mark}{SECOND}@{SERVER}" for mark in ("", "@", "/", "?", "#", ":", "%zz", " ", "[", "'", "@x/")),
    f"me:{FIRST}",
    f"me:{FIRST}:{SECOND}@127.0.0.1:port/articles",
    f"me@{SERVER}?password={FIRST}",
    f"me@{SERVER}?sslmode=none&sslpassword={FIRST}",
    f"me:{FIRST}@{SERVER}?sslmode=none",
]


@pytest.mark.parametrize("written", WRITTEN)
def test_the_error_of_an_invalid_address_does_not_show_the_password(written, tmp_path):
    address = f"postgresql+psycopg2://{written}"
    with pytest.raises(UserError) as ours:
        status.read_status(Workspace(connections.connect(address), Settings(home=tmp_path, _env_file=None)))
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - whatever the driver raises
        external_databases.open_engine(address).connect()
    for error in (ours.value, theirs.value):
        output = "".join(traceback.format_exception(error))
        assert FIRST not in output
        assert SECOND not in output


def test_an_invalid_port_and_a_second_at_sign_are_named():
    with pytest.raises(ArgumentError, match="the port is not a number"):
        urls.parse("postgresql://me:secret@localhost:port/articles")
    with pytest.raises(ArgumentError, match="more than one @"):
        urls.parse("postgresql://me:sec@ret@localhost/articles")
    assert urls.parse("postgresql://me:sec%40ret@localhost/articles").password == "sec@ret"


def test_only_a_sockets_folder_is_shown_of_an_addresss_options():
    url = make_url("postgresql://me:secret@/articles?host=%2Frun%2Fpostgres&password=secret")
    assert urls.redacted(url) == "postgresql://me:***@/articles?host=%2Frun%2Fpostgres"


def test_settings_do_not_show_their_passwords():
    settings = Settings(database_url=f"postgresql://me:{FIRST}@h/d", pipeline_password=FIRST, _env_file=None)
    assert FIRST not in repr(settings)
    assert FIRST not in str(settings.model_dump(exclude={"database_url"}))


def test_an_address_is_shown_without_its_secrets():
    url = make_url("postgresql://me:secret@host/cms?password=secret&sslpassword=secret")
    assert urls.redacted(url) == "postgresql://me:***@host/cms"


def test_added_session_options_override_those_of_the_address():
    url = make_url("postgresql://host/cms?options=-c%20search_path%3Dpress%20-c%20timezone%3DCET")
    assert urls.session_options(url, "-c timezone=UTC") == "-c search_path=press -c timezone=CET -c timezone=UTC"
    assert urls.session_options(make_url("postgresql://host/cms"), "-c timezone=UTC") == "-c timezone=UTC"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://me:x@host/db", True),
        ("postgresql://me:@host/db", True),
        ("postgresql://host/db?user=me&password=x", True),
        ("postgresql://host/db?sslpassword=x", True),
        ("postgresql://me:p@ss@host/db", True),
        ("postgresql://me@host:5432/db", False),
        ("postgresql://host:5432/db?host=/tmp", False),
        ("sqlite:////tmp/a:b.db", False),
        ("sqlite:////tmp/a:b@c.db", False),
    ],
)
def test_a_password_is_found_wherever_it_stands(address, expected):
    assert urls.has_password(address) is expected
