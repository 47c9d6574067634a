"""Decide whether an IP address is one of the public internet.

A worker fetches feeds from inside a network. A redirect, or a name that resolves to a private address, must not make
the worker request servers that only it can reach (server-side request forgery). What `ipaddress` calls global differs
between versions of Python, and includes multicast, 6to4 and IPv4-compatible addresses. So these are listed here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_V4_REFUSED = tuple(map(ip_network, (
    "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
    "168.63.129.16/32",  # formally public, but Azure machines reach their host at it
)))  # fmt: skip

_V6_UNICAST = IPv6Network("2000::/3")
_V6_REFUSED = tuple(map(IPv6Network, (
    "2001::/23", "2001:db8::/32", "3fff::/20",
    "2002::/16",  # 6to4: an IPv4 address inside
)))  # fmt: skip

_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Return whether an IP address, as `socket.getaddrinfo` writes it, is public.

    For an IPv4-mapped or NAT64 address, the IPv4 address inside decides.
    """
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    if parsed.ipv4_mapped is not None:
        return _is_public_v4(parsed.ipv4_mapped)
    if parsed in _NAT64:
        return _is_public_v4(IPv4Address(int(parsed) & 0xFFFFFFFF))
    return _is_public_v6(parsed)


def _is_public_v4(address: IPv4Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in _V4_REFUSED)


def _is_public_v6(address: IPv6Address) -> bool:
    if address not in _V6_UNICAST or not address.is_global:
        return False
    return not any(address in network for network in _V6_REFUSED)
