"""Fetch a document over HTTP: only when it has changed, never for longer or more than was agreed.

Redirects are followed here, hop by hop and without their bodies. Each hop goes to a public address, unless the source
is allowed private ones. Where the environment names a proxy (`HTTPS_PROXY`, `NO_PROXY` …), it is used, and it is the
proxy that resolves names: it has to refuse inner addresses itself. An address that stands in the URL as a number, or
localhost, is refused here all the same.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import httpcore
import httpx

from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest import content_encoding
from classifier.ingest.network import CheckedBackend, Deadline, NotPublicError, check_numeric

MAX_BYTES = 20 * 2**20
"""Of the unpacked document; feeds are a few hundred kilobytes."""

MAX_REDIRECTS = 5

_NOT_MODIFIED, _OK, _GONE, _TOO_MANY_REQUESTS = 304, 200, 410, 429
_REDIRECTS = {301, 302, 303, 307, 308}
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
    allow_private: bool = False,
) -> Document | None:
    """Return the document at an address, None where it is still the one of the etag or time given.

    `timeout_s` is for the whole of it: names, connections, TLS, redirects, headers and body. With `allow_private`
    addresses count that are not public.

    Raises:
        SourceUnavailableError: no answer, one that takes too long, or a fault of the server.
        SourceError: the server refuses, answers more than `MAX_BYTES`, or leads to an address that is not public.
    """
    asked = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    headers = {name: value for name, value in asked.items() if value}
    headers |= {"User-Agent": _user_agent(), "Accept": _ACCEPT, "Accept-Encoding": content_encoding.ACCEPTED}
    try:
        return _followed(url, headers, Deadline(timeout_s), allow_private)
    except NotPublicError as error:
        raise SourceError(
            f"{url}: leads to {error}; if it is a server of yours, set allow_private = true for the source"
        ) from error
    except httpcore.TimeoutException as error:
        raise SourceUnavailableError(
            f"{url}: no answer in time (timeout_s = {timeout_s:g}); raise timeout_s, or try later"
        ) from error
    except (httpx.InvalidURL, httpcore.UnsupportedProtocol, content_encoding.ContentEncodingError) as error:
        raise SourceError(f"{url}: cannot be fetched ({error})") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        raise SourceUnavailableError(f"{url}: no answer ({str(error)[:200] or type(error).__name__})") from error


def _followed(url: str, headers: dict[str, str], deadline: Deadline, allow_private: bool) -> Document | None:
    location = _location(httpx.URL(url))
    for _ in range(MAX_REDIRECTS + 1):
        with _answered(location, headers, deadline, allow_private) as response:
            if response.status == _NOT_MODIFIED:
                return None
            target = _header(response, "location")
            if response.status not in _REDIRECTS or target is None:
                return _document(url, location, response)
        location = _location(location.join(target))
    raise SourceError(f"{url}: cannot be fetched (more than {MAX_REDIRECTS} redirects)")


def _location(url: httpx.URL) -> httpx.URL:
    """Return an address to ask, without a name and password, which are never sent."""
    if url.scheme not in {"http", "https"} or not url.host:
        raise httpcore.UnsupportedProtocol("it leads to an address that is not http:// or https://")
    return url.copy_with(userinfo=b"", fragment=None)


@contextmanager
def _answered(
    location: httpx.URL, headers: dict[str, str], deadline: Deadline, allow_private: bool
) -> Iterator[httpcore.Response]:
    proxy = _proxy(location)
    if proxy is not None and not allow_private:
        check_numeric(location.host)
    backend = CheckedBackend(deadline, allow_private=allow_private or proxy is not None)
    target = httpcore.URL(
        scheme=location.raw_scheme, host=location.raw_host, port=location.port, target=location.raw_path
    )
    context = httpx.create_ssl_context() if location.scheme == "https" else None
    encoded = [(name.encode("ascii"), value.encode("latin-1", "ignore")) for name, value in headers.items()]
    with (
        httpcore.ConnectionPool(ssl_context=context, proxy=proxy, network_backend=backend) as pool,
        pool.stream("GET", target, headers=encoded) as response,
    ):
        yield response


def _proxy(location: httpx.URL) -> httpcore.Proxy | None:
    """Return the proxy that the environment names for an address."""
    proxies = urllib.request.getproxies()
    address = proxies.get(location.scheme) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(location.host):
        return None
    url = httpx.URL(address if "://" in address else f"http://{address}")
    if url.scheme not in {"http", "https"}:
        raise httpcore.UnsupportedProtocol(f"the environment names a proxy of {url.scheme}://; http:// is used")
    auth = (url.username, url.password) if url.username or url.password else None
    return httpcore.Proxy(httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"), auth=auth)


def _document(url: str, location: httpx.URL, response: httpcore.Response) -> Document:
    _check(url, response)
    packing = ",".join(_headers(response, "content-encoding"))
    body = content_encoding.unpack(packing, response.iter_stream(), MAX_BYTES)
    return Document(
        str(location),
        body,
        _header(response, "content-type") or "",
        _header(response, "etag"),
        _header(response, "last-modified"),
    )


def _check(url: str, response: httpcore.Response) -> None:
    code = response.status
    reason = response.extensions.get("reason_phrase", b"").decode("ascii", "ignore")
    answer = f"{url}: the server answers {code} {reason[:80]}".rstrip()
    if code >= 500:
        raise SourceUnavailableError(answer)
    if code == _TOO_MANY_REQUESTS:
        raise SourceError(f"{answer}; poll it less often")
    if code == _GONE:
        raise SourceError(f"{answer}; take the source out")
    if code != _OK:
        raise SourceError(f"{answer}; is the address right?")


def _headers(response: httpcore.Response, name: str) -> list[str]:
    """Return the values of a header, as many as the answer has."""
    return [value.decode("latin-1") for key, value in response.headers if key.lower() == name.encode()]


def _header(response: httpcore.Response, name: str) -> str | None:
    return next(iter(_headers(response, name)), None)


def _user_agent() -> str:
    try:
        return f"article-classifier/{version('article-classifier')}"
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "article-classifier"
