"""Fetch a document over HTTP: only when it has changed, never for longer or more than was agreed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import httpx

from classifier.exceptions import SourceError, SourceUnavailableError

MAX_BYTES = 20 * 2**20
"""Of the unpacked document; feeds are a few hundred kilobytes."""

PATIENCE = 3
"""A whole answer may take so many times the time-out: a server that sends a byte a second is no server."""

_ACCEPT = (
    "application/atom+xml, application/rss+xml, application/rdf+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
)


@dataclass(frozen=True, slots=True)
class Document:
    """What a server answered, and what to ask it with the next time."""

    url: str
    body: bytes
    content_type: str
    etag: str | None
    last_modified: str | None


def fetch(
    url: str,
    *,
    etag: str | None = None,
    last_modified: str | None = None,
    timeout_s: float = 20,
    clock: Callable[[], float] = time.monotonic,
) -> Document | None:
    """Return the document at an address, None where it is still the one of the etag or time given.

    Raises:
        SourceUnavailableError: no answer, one that takes too long, or a fault of the server.
        SourceError: the server refuses, or answers more than `MAX_BYTES`.
    """
    asked = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    headers = {name: value for name, value in asked.items() if value}
    headers |= {"User-Agent": _user_agent(), "Accept": _ACCEPT}
    deadline = clock() + timeout_s * PATIENCE
    try:
        with (
            httpx.Client(timeout=timeout_s, follow_redirects=True, max_redirects=5) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return None
            _check(url, response)
            body = _body(url, response, lambda: clock() > deadline)
            kept = response.headers
            return Document(
                str(response.url), body, kept.get("content-type", ""), kept.get("etag"), kept.get("last-modified")
            )
    except httpx.TimeoutException as error:
        raise _too_slow(url) from error
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL, httpx.DecodingError) as error:
        raise SourceError(f"{url}: cannot be fetched ({error})") from error
    except httpx.HTTPError as error:
        raise SourceUnavailableError(f"{url}: no answer ({error or type(error).__name__})") from error


def _check(url: str, response: httpx.Response) -> None:
    code = response.status_code
    answer = f"{url}: the server answers {code} {response.reason_phrase}".rstrip()
    if code >= 500:
        raise SourceUnavailableError(answer)
    if code == httpx.codes.TOO_MANY_REQUESTS:
        raise SourceError(f"{answer}; poll it less often")
    if code == httpx.codes.GONE:
        raise SourceError(f"{answer}; take the source out")
    if code != httpx.codes.OK:
        raise SourceError(f"{answer}; is the address right?")


def _body(url: str, response: httpx.Response, late: Callable[[], bool]) -> bytes:
    body = bytearray()
    for block in response.iter_bytes():
        body += block
        if len(body) > MAX_BYTES:
            raise SourceError(f"{url}: more than {MAX_BYTES // 2**20} MiB")
        if late():
            raise _too_slow(url)
    return bytes(body)


def _too_slow(url: str) -> SourceUnavailableError:
    return SourceUnavailableError(f"{url}: no answer in time; raise timeout_s, or try later")


def _user_agent() -> str:
    try:
        return f"article-classifier/{version('article-classifier')}"
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "article-classifier"
