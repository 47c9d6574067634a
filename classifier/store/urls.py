"""Parse database URLs, and show them without their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

UTF8: Mapping[str, str] = MappingProxyType({"client_encoding": "utf8"})
"""The argument of libpq that overrides `PGCLIENTENCODING` and the encoding in a URL."""


def parse(address: str) -> URL:
    """Return an address as a URL.

    Raises:
        ArgumentError: the address is not a URL. The message quotes nothing of it: if a password contains an @, or the
            @ after it is missing, a part of the password would look like the server's name or port.
    """
    if address.partition("?")[0].count("@") > 1:
        raise ArgumentError("has more than one @; write %40 for an @ in a user name or password")
    try:
        return make_url(address)
    except ArgumentError:
        raise ArgumentError("not a URL") from None
    except ValueError:
        raise ArgumentError("the port is not a number") from None


def redacted(url: URL) -> str:
    """Return an address without its password.

    Options may contain a password too, so only the folder of a socket is kept.
    """
    kept = {name: value for name, value in url.query.items() if name == "host"}
    return url.set(query=kept).render_as_string(hide_password=True)


def has_password(address: str) -> bool:
    """Return whether an address has a password, before the @ or as an option, even if it cannot be parsed."""
    location, _, options = address.partition("?")
    scheme, _, authority = location.partition("://")
    user, at, _ = authority.rpartition("@")
    is_in_user = bool(at) and ":" in user and not scheme.startswith("sqlite")  # whose paths may hold both characters
    return is_in_user or "password" in options.lower()


def missing_options(url: URL, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the driver's arguments that the URL does not set: `connect_args` would override the URL."""
    return {name: value for name, value in defaults.items() if name not in url.query}


def session_options(url: URL, added: str) -> str:
    """Return libpq's `options`: the URL's own, then `added`, which override them."""
    own = url.query.get("options", ())
    return " ".join(filter(None, (*((own,) if isinstance(own, str) else own), added)))
