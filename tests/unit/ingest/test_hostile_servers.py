"""Responses of hostile servers: decompression bombs, slow responses, and redirects into private networks."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from contextlib import contextmanager

import httpcore
import pytest

from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest import content_encoding, http_documents, network, public_addresses
from tests.support.loopback import page, serving
from tests.support.memory import measured
from tests.support.waiting import HANG_S

BODY = b"<rss>" + b"x" * 1000 + b"</rss>"


def fetch(url, **options):
    return http_documents.fetch(url, allow_private=True, **options)


def fetched(url):
    """Return the result of a fetch, or its error, as JSON values."""
    try:
        document = fetch(url)
    except SourceError as error:
        return str(error)
    return len(document.body)


def bomb(level=1, size=2**27):
    """Return zeros that are compressed `level` times, without holding them in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(2**20)
    data = b"".join([*(packer.compress(zeros) for _ in range(size // 2**20)), packer.flush()])
    for _ in range(level - 1):
        data = gzip.compress(data)
    return data


class TestPacking:
    @pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,  identity,gzip", "deflate, gzip"])
    def test_a_twice_compressed_response_is_refused_and_takes_no_memory(self, encoding):
        with serving(page(bomb(2), Content_Encoding=encoding)) as site:
            used = measured(fetched, site.url)
        assert used.result == f"{site.url}: cannot be fetched (it has 2 content encodings; only one is supported)"
        assert used.mib < 40

    def test_two_headers_are_two_encodings(self):
        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Encoding", "gzip")
            handler.send_header("Content-Encoding", "gzip")
            handler.end_headers()

        with serving(answer) as site, pytest.raises(SourceError, match="2 content encodings"):
            fetch(site.url)

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
    def test_a_response_is_decompressed_up_to_the_limit(self, encoding):
        with serving(page(bomb(size=2**28), Content_Encoding=encoding)) as site:
            used = measured(fetched, site.url)
        assert used.result == f"{site.url}: cannot be fetched (it has more than 20 MiB)"
        assert used.mib < 120

    def test_an_uncompressed_response_has_the_same_limit(self):
        with (
            serving(page(bytes(http_documents.MAX_BYTES + 1))) as site,
            pytest.raises(SourceError, match="more than 20 MiB"),
        ):
            fetch(site.url)

    def test_endless_empty_members_are_refused(self):
        blocks = (gzip.compress(b"", mtime=0) * 1000 for _ in range(2000))
        with pytest.raises(content_encoding.ContentEncodingError, match="more than 1 MiB"):
            content_encoding.unpack("gzip", blocks, 2**20)

    @pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "\xa4" * 3])
    def test_an_unknown_encoding_is_named(self, encoding):
        with serving(page(BODY, Content_Encoding=encoding)) as site, pytest.raises(SourceError) as raised:
            fetch(site.url)
        assert (
            str(raised.value)
            == f"{site.url}: cannot be fetched (content encoding {encoding!r} is unknown; supported are gzip, deflate)"
        )

    @pytest.mark.parametrize("size", [1, 7, 10_000])
    @pytest.mark.parametrize(
        ("encoding", "packed"),
        [
            ("", BODY),
            ("identity", BODY),
            ("gzip", gzip.compress(BODY, mtime=0)),
            ("GZip", gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0)),
            ("gzip", gzip.compress(BODY, mtime=0) + bytes(8)),
            ("deflate", zlib.compress(BODY)),
            ("deflate", zlib.compress(BODY)[2:-4]),
        ],
    )
    def test_a_compressed_response_is_read_in_blocks_of_any_size(self, encoding, packed, size):
        blocks = (packed[start : start + size] for start in range(0, len(packed), size))
        assert content_encoding.unpack(encoding, blocks, 2000) == BODY

    @pytest.mark.parametrize("data", [gzip.compress(BODY, mtime=0)[:-9], gzip.compress(BODY, mtime=0)[:5], b"junk"])
    def test_damaged_compression_is_refused(self, data):
        with pytest.raises(content_encoding.ContentEncodingError):
            content_encoding.unpack("gzip", [data], 2000)

    def test_the_body_of_a_redirect_is_not_read(self):
        def answer(handler):
            if handler.path == "/feed":
                page(bomb(2), code=302, Location="/there", Content_Encoding="gzip, gzip")(handler)
            else:
                page(BODY)(handler)

        with serving(answer) as site:
            used = measured(fetched, site.url)
        assert used.result == len(BODY)
        assert used.mib < 40


def drip(handler, line=b"X-Again: and again\r\n"):
    """Send endless headers."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(line)
            handler.wfile.flush()
            if threading.Event().wait(0.05):
                return
    except OSError:
        pass


@contextmanager
def silent():
    """Listen, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class TestTimeOut:
    def test_it_covers_headers_that_drip(self):
        with serving(drip) as site, pytest.raises(SourceUnavailableError) as raised:
            fetch(site.url, timeout_s=0.5)
        assert str(raised.value) == (
            f"{site.url}: no response in time (timeout_s = 0.5); raise timeout_s, or try later"
        )

    def test_it_covers_endless_interim_responses(self):
        def answer(handler):
            drip(handler, b"\r\nHTTP/1.1 100 Continue\r\n")

        with serving(answer) as site, pytest.raises(SourceUnavailableError, match=r"\(timeout_s = 0.5\)"):
            fetch(site.url, timeout_s=0.5)

    def test_it_covers_tls(self):
        with silent() as port, pytest.raises(SourceUnavailableError, match=r"no response in time \(timeout_s = 0.3\)"):
            fetch(f"https://127.0.0.1:{port}/", timeout_s=0.3)

    def test_it_covers_all_redirects_together(self):
        hops = []

        def answer(handler):
            hops.append(handler.path)
            threading.Event().wait(0.4)
            page(b"", code=302, Location=f"/{len(hops)}")(handler)

        with serving(answer) as site, pytest.raises(SourceUnavailableError, match=r"\(timeout_s = 1\)"):
            fetch(site.url, timeout_s=1)
        assert len(hops) <= 3

    def test_it_covers_the_resolver(self, monkeypatch):
        done = threading.Event()

        def resolve(*_, **__):
            done.wait(30)
            raise socket.gaierror

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(SourceUnavailableError, match=r"no response in time \(timeout_s = 0.2\)"):
            fetch("http://slow.example/", timeout_s=0.2)
        done.set()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "2001::1", "2002:7f00:1::", "3fff::1", "100::1", "4000::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_a_private_address_is_not_public(address):
    assert not public_addresses.is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_a_public_address_is_public(address):
    assert public_addresses.is_public(address)


@pytest.fixture
def second_loopback_is_public(monkeypatch):
    """Treat 127.0.0.2, where nothing else listens, as a public address."""
    truly = public_addresses.is_public
    monkeypatch.setattr(public_addresses, "is_public", lambda address: address == "127.0.0.2" or truly(address))


@pytest.fixture
def names(monkeypatch):
    """Resolve synthetic names: each answer of a name's list once, then the last one. `asked` counts."""
    truly, answers, asked = socket.getaddrinfo, {}, []

    def getaddrinfo(host, port, *arguments, **options):
        remaining = answers.get(host)
        if remaining is None:
            return truly(host, port, *arguments, **options)
        asked.append(host)
        addresses = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return [truly(address, port, *arguments, **options)[0] for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    answers["asked"] = asked
    return answers


REFUSED = "which is not a public address; if this is your own server, set allow_private = true for the source"


class TestWhereItLeads:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
    def test_an_address_that_is_not_public_is_refused_unless_the_source_allows_it(self, host):
        with serving(page(BODY)) as site:
            port = site.url.rpartition(":")[2]
            with pytest.raises(SourceError, match="allow_private = true") as raised:
                http_documents.fetch(f"http://{host}:{port}")
            assert not isinstance(raised.value, SourceUnavailableError)
            assert "\n" not in str(raised.value)
            assert site.asked == []
            assert http_documents.fetch(site.url, allow_private=True).body == BODY

    @pytest.mark.usefixtures("second_loopback_is_public")
    def test_a_redirect_to_an_address_that_is_not_public_is_refused(self):
        with serving(page(BODY)) as inner:
            target = inner.url.replace("/feed", "/secrets")
            with serving(page(b"", code=302, Location=target), host="127.0.0.2") as outer:
                with pytest.raises(SourceError) as raised:
                    http_documents.fetch(outer.url)
                assert len(outer.asked) == 1
            assert str(raised.value).startswith(f"{outer.url}: leads to 127.0.0.1, which is not a public address")
            assert inner.asked == []

    @pytest.mark.usefixtures("second_loopback_is_public")
    def test_a_name_is_resolved_once_and_the_checked_address_is_used(self, names):
        """A name that would resolve to a private address the second time is resolved only once."""
        names["feeds.example"] = [["127.0.0.2"], ["127.0.0.1"]]
        with serving(page(BODY), host="127.0.0.2") as outer:
            port = outer.url.split(":")[2]
            assert http_documents.fetch(f"http://feeds.example:{port}").body == BODY
            assert names["asked"] == ["feeds.example"]
            assert outer.asked[0]["Host"] == f"feeds.example:{port.partition('/')[0]}"
            with pytest.raises(SourceError, match=rf"leads to feeds\.example \(127\.0\.0\.1\), {REFUSED}"):
                http_documents.fetch(f"http://feeds.example:{port}")
            assert len(outer.asked) == 1

    @pytest.mark.usefixtures("second_loopback_is_public")
    def test_only_public_addresses_of_a_name_are_used(self, names):
        names["feeds.example"] = [["127.0.0.1", "127.0.0.2"]]
        with serving(page(BODY), host="127.0.0.2") as outer:
            assert http_documents.fetch(f"http://feeds.example:{outer.url.split(':')[2]}").body == BODY

    def test_the_second_address_is_used_if_the_first_does_not_answer(self, names):
        names["feeds.example"] = [["127.0.0.3", "127.0.0.1"]]
        with serving(page(BODY)) as site:
            assert fetch(f"http://feeds.example:{site.url.split(':')[2]}").body == BODY

    def test_credentials_in_the_url_of_a_redirect_are_neither_sent_nor_shown(self):
        def answer(handler):
            if handler.path == "/feed":
                target = f"http://ada:geheim@127.0.0.1:{handler.server.server_port}/there"
                page(b"", code=302, Location=target)(handler)
            else:
                page(BODY)(handler)

        with serving(answer) as site:
            assert "geheim" not in fetch(site.url).url
        assert all("Authorization" not in headers for headers in site.asked)

    @pytest.mark.parametrize(
        "target",
        ["file:///etc/passwd", "gopher://127.0.0.1/", "http://", "http://[::1", "//\x00/", "http://a:b:c/", "\xa4\xa4"],
    )
    def test_a_redirect_to_an_invalid_url_is_one_line(self, target):
        with serving(page(b"", code=302, Location=target)) as site, pytest.raises(SourceError) as raised:
            fetch(site.url)
        assert str(raised.value).startswith(site.url)
        assert "\n" not in str(raised.value)

    def test_the_number_of_redirects_is_limited(self):
        with (
            serving(page(b"", code=302, Location="/feed")) as site,
            pytest.raises(SourceError, match="more than 5 redirects"),
        ):
            fetch(site.url)
        assert len(site.asked) == 6


class TestProxies:
    @pytest.fixture
    def proxy(self, monkeypatch):
        with serving(page(BODY)) as site:
            for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("http_proxy", site.url.removesuffix("/feed"))
            yield site

    def test_the_proxy_of_the_environment_is_used_and_resolves_the_name(self, proxy):
        assert http_documents.fetch("http://feeds.example.invalid/rss").body == BODY
        assert proxy.asked[0]["Host"] == "feeds.example.invalid"

    @pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "localhost", "metadata.localhost.", "2852039166"])
    def test_the_proxy_is_not_used_for_a_private_address(self, proxy, host):
        with pytest.raises(SourceError, match="allow_private = true"):
            http_documents.fetch(f"http://{host}/latest/meta-data")
        assert proxy.asked == []

    @pytest.mark.usefixtures("proxy")
    def test_a_host_outside_the_proxy_is_checked(self, monkeypatch, names):
        monkeypatch.setenv("no_proxy", "feeds.example")
        names["feeds.example"] = [["127.0.0.1"]]
        with pytest.raises(SourceError, match=r"feeds\.example \(127\.0\.0\.1\)"):
            http_documents.fetch("http://feeds.example/rss")

    def test_a_proxy_of_another_kind_is_one_line(self, monkeypatch):
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
        with pytest.raises(SourceError, match="the environment names a proxy of socks5://"):
            http_documents.fetch("http://feeds.example/rss")


def test_tls_checks_the_name_and_not_the_address(names):
    """The connection goes to an address, and TLS uses the name."""
    names["feeds.example"] = [["127.0.0.1"]]
    seen = []

    class Stream(network._TimedStream):
        def start_tls(self, server_hostname=None, **_options):
            seen.append((server_hostname, self.get_extra_info("server_addr")[0]))
            self.close()
            raise httpcore.ConnectError("the test ends here")

    with silent() as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_TimedStream", Stream)
        with pytest.raises(SourceUnavailableError, match="the test ends here"):
            fetch(f"https://feeds.example:{port}/", timeout_s=HANG_S)
    assert seen == [("feeds.example", "127.0.0.1")]
