"""Read databases' addresses, and show them without what is secret in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError


def parse(address: str) -> URL:
    """Return the URL that an address is.

    Raises:
        ArgumentError: it is none. The message quotes nothing of it: where a password has an @ of its own, or where
            the @ after it is missing, a part of it would pass for the server's name or port.
    """
    if address.partition("?")[0].count("@") > 1:
        raise ArgumentError("it has more than one @; in a user's name or a password write %40 for it")
    try:
        return make_url(address)
    except ArgumentError:
        raise ArgumentError("not a URL") from None
    except ValueError:
        raise ArgumentError("its port is no number") from None


def redacted(url: URL) -> str:
    """Return an address without its password. Of its options, which may hold one, only a socket's folder is kept."""
    kept = {name: value for name, value in url.query.items() if name == "host"}
    return url.set(query=kept).render_as_string(hide_password=True)


def missing_options(url: URL, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the driver's arguments that the URL leaves open: `connect_args` would replace what it says."""
    return {name: value for name, value in defaults.items() if name not in url.query}


def session_options(url: URL, ours: str) -> str:
    """Return libpq's `options`: the URL's own, then ours, which win where both set the same."""
    own = url.query.get("options", ())
    return " ".join(filter(None, (*((own,) if isinstance(own, str) else own), ours)))
