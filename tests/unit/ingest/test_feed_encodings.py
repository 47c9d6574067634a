"""The encoding of a feed: RFC 7303's order, unless the result is garbled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.exceptions import SourceError
from classifier.ingest.feed_encodings import decode_feed

URL = "http://news.example/feed"
RUSSIAN = "Библиотека открыта до позднего вечера каждый понедельник"
GERMAN = "Die größte Straße der Stadt führt künftig über schönere Plätze, sagt der Bürgermeister"
FRENCH = "L'été dernier, la fête a été déplacée à côté de l'école; un événement très apprécié"
POLISH = "Święto żółtych liści już w sobotę; wójt gminy mówił o nadziejach mieszkańców"
GREEK = "Ώρα που η βιβλιοθήκη μένει ανοιχτή μέχρι αργά το βράδυ"


def feed(text, declared=None):
    declaration = f"<?xml version='1.0' encoding='{declared}'?>" if declared else "<?xml version='1.0'?>"
    return f"{declaration}<rss version='2.0'><channel><title>{text}</title></channel></rss>"


@pytest.mark.parametrize(
    ("text", "actual", "declared", "header"),
    [
        (RUSSIAN, "cp1251", "windows-1251", "iso-8859-1"),
        (RUSSIAN, "utf-8", None, "windows-1251"),
        (RUSSIAN, "utf-8", "utf-8", "windows-1251"),
        (RUSSIAN, "utf-8", "windows-1251", "iso-8859-1; x=1"),
        (RUSSIAN, "cp1251", None, "windows-1251"),
        (RUSSIAN, "cp1251", "utf-8", "windows-1251"),
        (RUSSIAN, "cp1251", "windows-1251", "utf-8"),
        (RUSSIAN, "cp1251", "windows-1251", None),
        (RUSSIAN, "cp1251", "windows-1251", "no-such-charset"),
        (RUSSIAN, "koi8-r", "koi8-r", "us-ascii"),
        (GREEK, "cp1253", "windows-1253", "iso-8859-1"),
        (POLISH, "cp1250", "windows-1250", "iso-8859-1"),
        (GERMAN, "cp1252", "windows-1251", "iso-8859-1"),
        (GERMAN, "cp1252", "iso-8859-1", "windows-1251"),
        (GERMAN, "cp1252", "utf-8", "iso-8859-1"),
        (FRENCH, "cp1252", None, "iso-8859-1"),
        (FRENCH, "cp1252", "utf-8", "latin1"),
        (f"“{GERMAN}” €", "cp1252", None, "iso-8859-1"),
        (FRENCH, "cp1252", None, None),
        (RUSSIAN, "utf-8-sig", "windows-1251", "windows-1251"),
        (RUSSIAN, "utf-16", "utf-16", "utf-8"),
        (RUSSIAN, "utf-16-le", None, None),
        ("plain words", "utf-8", "windows-1251", "koi8-r"),
    ],
)
def test_the_text_is_read_as_it_was_written(text, actual, declared, header):
    content_type = "text/xml" if header is None else f'text/xml; charset="{header}"'
    assert f"<title>{text}</title>" in decode_feed(URL, feed(text, declared).encode(actual), content_type)


def test_the_declaration_keeps_no_encoding():
    text = decode_feed(URL, feed(RUSSIAN, "windows-1251").encode("cp1251"), "text/xml")
    assert text.startswith("<?xml version='1.0'?><rss")


@pytest.mark.parametrize(
    ("body", "header", "tried"),
    [
        (feed(RUSSIAN, "utf-8").encode("cp1251"), "iso-8859-1", "cp1252 (HTTP) and utf-8 (XML) do not fit"),
        (feed(GREEK, "iso-8859-1").encode("cp1253"), "latin1", "cp1252 (HTTP) and cp1252 (XML) do not fit"),
        (b"<?xml version='1.0' encoding='utf-8'?><rss>\xff</rss>", "", "utf-8 (XML) does not fit"),
        (b"<?xml version='1.0' encoding='undefined'?><rss>\xff</rss>", "", "undefined (XML) does not fit"),
        (b"\xef\xbb\xbf<rss>\xff</rss>", "utf-8", "utf-8-sig (byte order mark) does not fit"),
    ],
)
def test_a_feed_that_no_declared_encoding_fits_is_refused_in_a_line(body, header, tried):
    with pytest.raises(SourceError) as raised:
        decode_feed(URL, body, f"text/xml; charset={header}")
    assert str(raised.value).startswith(f"{URL}: its encoding cannot be read: {tried}")
    assert "\n" not in str(raised.value)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.sampled_from(["utf-8", "cp1251", "latin-1"]))
def test_a_feed_in_utf_8_is_read_whatever_the_server_says(text, header):
    assert text in decode_feed(URL, feed(f"é {text}").encode(), f"text/xml; charset={header}")
