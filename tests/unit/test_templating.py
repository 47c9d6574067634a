"""The filters of the HTML templates."""

from __future__ import annotations

import pytest

from classifier.templating import web_link


@pytest.mark.parametrize("address", ["https://example.org", "http://example.org/a?b=1#c", "HTTPS://example.org/"])
def test_a_web_address_becomes_a_link(address):
    assert web_link(address) == address


@pytest.mark.parametrize(
    "address",
    [None, "", "javascript:alert(1)", "data:text/html,x", "//example.org", "example.org", "https:", "https://[x", "/a"],
)
def test_other_addresses_do_not(address):
    assert web_link(address) is None
