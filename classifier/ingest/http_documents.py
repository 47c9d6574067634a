"""Fetch a document over HTTP if it has changed, within limits of time and size.

Redirects are followed hop by hop, without their bodies. Each hop must lead to a public address, unless the source
allows private ones. If the environment names a proxy (`HTTPS_PROXY`, `NO_PROXY` …), the proxy resolves names, so the
proxy must refuse private addresses. An IP address in the URL, or localhost, is checked here in any case.
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
"""Of the decompressed document; a typical feed has a few hundred kilobytes."""

MAX_REDIRECTS = 5

_NOT_MODIFIED, _OK, _GONE, _TOO_MANY_REQUESTS = 304, 200, 410, 429
_REDIRECTS = {301, 302, 303, 307, 308}
_ACCEPT = (
    "application/atom+xml, application/rss+xml, application/rdf+xml, application/feed+json, application/xml;q=0.9, "
    "text/xml;q=0.9, application/json;q=0.8, */*;q=0.1"
)


@dataclass(frozen=True, slots=True)
class Document:
    """A server's response, with the validators (etag, last_modified) for the next request."""

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
    """Return the document at a URL, or None if it has not changed since the given etag or time.

    `timeout_s` covers everything: names, connections, TLS, redirects, headers and body. `allow_private` also allows
    addresses that are not public.

    Raises:
        SourceUnavailableError: no response, no response in time, or an error of the server.
        SourceError: the server refuses, sends more than `MAX_BYTES`, or leads to an address that is not public.
    """
    validators = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    headers = {name: value for name, value in validators.items() if value}
    headers |= {"User-Agent": _user_agent(), "Accept": _ACCEPT, "Accept-Encoding": content_encoding.ACCEPTED}
    try:
        return _follow_redirects(url, headers, Deadline(timeout_s), allow_private)
    except NotPublicError as error:
        raise SourceError(
            f"{url}: leads to {error}; if this is your own server, set allow_private = true for the source"
        ) from error
    except httpcore.TimeoutException as error:
        raise SourceUnavailableError(
            f"{url}: no response in time (timeout_s = {timeout_s:g}); raise timeout_s, or try later"
        ) from error
    except (httpx.InvalidURL, httpcore.UnsupportedProtocol, content_encoding.ContentEncodingError) as error:
        raise SourceError(f"{url}: cannot be fetched ({error})") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        raise SourceUnavailableError(f"{url}: no response ({str(error)[:200] or type(error).__name__})") from error


def _follow_redirects(url: str, headers: dict[str, str], deadline: Deadline, allow_private: bool) -> Document | None:
    location = _check_url(httpx.URL(url))
    for _ in range(MAX_REDIRECTS + 1):
        with _request(location, headers, deadline, allow_private) as response:
            if response.status == _NOT_MODIFIED:
                return None
            target = _header(response, "location")
            if response.status not in _REDIRECTS or target is None:
                return _read_document(url, location, response)
        location = _check_url(location.join(target))
    raise SourceError(f"{url}: cannot be fetched (more than {MAX_REDIRECTS} redirects)")


def _check_url(url: httpx.URL) -> httpx.URL:
    """Return a URL to request, without user name and password, which are never sent."""
    if url.scheme not in {"http", "https"} or not url.host:
        raise httpcore.UnsupportedProtocol("it leads to a URL that is not http:// or https://")
    return url.copy_with(userinfo=b"", fragment=None)


@contextmanager
def _request(
    location: httpx.URL, headers: dict[str, str], deadline: Deadline, allow_private: bool
) -> Iterator[httpcore.Response]:
    proxy = _find_proxy(location)
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


def _find_proxy(location: httpx.URL) -> httpcore.Proxy | None:
    """Return the proxy that the environment names for a URL."""
    proxies = urllib.request.getproxies()
    proxy_url = proxies.get(location.scheme) or proxies.get("all")
    if not proxy_url or urllib.request.proxy_bypass(location.host):
        return None
    url = httpx.URL(proxy_url if "://" in proxy_url else f"http://{proxy_url}")
    if url.scheme not in {"http", "https"}:
        raise httpcore.UnsupportedProtocol(
            f"the environment names a proxy of {url.scheme}://; it must be http:// or https://"
        )
    auth = (url.username, url.password) if url.username or url.password else None
    return httpcore.Proxy(httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"), auth=auth)


def _read_document(url: str, location: httpx.URL, response: httpcore.Response) -> Document:
    _check_status(url, response)
    encoding = ",".join(_headers(response, "content-encoding"))
    body = content_encoding.unpack(encoding, response.iter_stream(), MAX_BYTES)
    return Document(
        str(location),
        body,
        _header(response, "content-type") or "",
        _header(response, "etag"),
        _header(response, "last-modified"),
    )


def _check_status(url: str, response: httpcore.Response) -> None:
    code = response.status
    reason = response.extensions.get("reason_phrase", b"").decode("ascii", "ignore")
    answer = f"{url}: the server answers {code} {reason[:80]}".rstrip()
    if code >= 500:
        raise SourceUnavailableError(answer)
    if code == _TOO_MANY_REQUESTS:
        raise SourceError(f"{answer}; poll it less often")
    if code == _GONE:
        raise SourceError(f"{answer}; remove the source")
    if code != _OK:
        raise SourceError(f"{answer}; check the URL")


def _headers(response: httpcore.Response, name: str) -> list[str]:
    """Return all values of a header."""
    return [value.decode("latin-1") for key, value in response.headers if key.lower() == name.encode()]


def _header(response: httpcore.Response, name: str) -> str | None:
    return next(iter(_headers(response, name)), None)


def _user_agent() -> str:
    try:
        return f"article-classifier/{version('article-classifier')}"
    except PackageNotFoundError:  # the checkout is not installed
        return "article-classifier"
