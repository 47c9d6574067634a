"""Read a page: its elements must be closed, and what it would fetch is collected."""

from __future__ import annotations

from html.parser import HTMLParser


class HtmlReader(HTMLParser):
    """Check that every element that is opened is closed, and collect what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.names = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "href", "srcset", "data", "xlink:href"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read_html(page):
    reader = HtmlReader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader
