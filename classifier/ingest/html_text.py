"""Convert HTML to the text that a reader would see.

inscriptis lays out lists and tables, and needs the whole tree. libxml2 drops the elements below a depth of 256. So
deeper HTML is read element by element, without a tree: each block becomes a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from inscriptis import Inscriptis
from lxml import etree
from lxml.html import HTMLParser, defs, document_fromstring

_DECLARATION = re.compile(r"^<\?xml [^>]+?\?>")
_SPACE = re.compile(r"\s+")
_RESOURCE_LIMIT = etree.ErrorTypes.ERR_RESOURCE_LIMIT
_HIDDEN = frozenset({"head", "script", "style", "title"})
_BREAKING = defs.block_tags | {"body", "br", "caption", "dd", "dt", "figcaption", "li", "main", "td", "th", "tr"}


def plain_text(html: str) -> str:
    """Return the text of an HTML document or fragment, however deeply its elements are nested."""
    html = _DECLARATION.sub("", html.strip(), count=1)
    if not html:
        return ""
    parser = HTMLParser()
    try:
        tree = document_fromstring(html, parser=parser)
    except etree.ParserError:  # no element and no text
        return ""
    if any(entry.type == _RESOURCE_LIMIT for entry in parser.error_log):
        return _text_without_layout(html)
    return str(Inscriptis(tree).get_text()).strip()


def _text_without_layout(html: str) -> str:
    text: str = etree.fromstring(html, etree.HTMLParser(target=_Paragraphs(), huge_tree=True))
    return text


class _Paragraphs:
    """Collects a document's text as lxml reads it: a line for each block, white space folded."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._hidden = 0

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        self._hidden += tag in _HIDDEN
        if tag in _BREAKING:
            self._parts.append("\n")

    def end(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN
        if tag in _BREAKING:
            self._parts.append("\n")

    def data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(_SPACE.sub(" ", data))

    def close(self) -> str:
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        return "\n".join(filter(None, lines))
