"""Whose request it is when a reverse proxy hands it on: the address that a trusted proxy saw.

Each proxy appends whom it saw on the right, so headers are read from there, past trusted proxies, and whatever
a client wrote itself is never reached. From any other peer both headers are ignored. Where `X-Forwarded-For` and
`Forwarded` contradict each other, a client wrote one of them: then the proxy's own address counts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from feedback_app.settings import Network

_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=([^\s",;=]+|"(?:[^"\\]|\\.)*")\s*')
SCHEMES = ("http", "https")


class Proxies:
    """ASGI middleware: puts the real client and scheme into the scope, where a trusted proxy says them."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if scope["type"] == "http" and self._trusted and peer and trusts(peer[0], self._trusted):
            headers = Headers(scope=scope)
            scope = dict(scope)
            scope["client"] = (client_of(peer[0], headers, self._trusted), 0)
            scheme = headers.getlist("x-forwarded-proto")[-1:]
            if scheme and scheme[0].rpartition(",")[2].strip().lower() in SCHEMES:
                scope["scheme"] = scheme[0].rpartition(",")[2].strip().lower()
        await self._app(scope, receive, send)


def client_of(peer: str, headers: Headers, trusted: Sequence[Network]) -> str:
    """The address that asks, given that `peer` is a trusted proxy."""
    told = []
    if of := headers.getlist("x-forwarded-for"):
        told.append(walk(peer, ",".join(of).split(","), trusted))
    if of := headers.getlist("forwarded"):
        told.append(walk(peer, forwarded_for(",".join(of)), trusted))
    return told[0] if len(set(told)) == 1 else peer


def walk(peer: str, hops: Sequence[str], trusted: Sequence[Network]) -> str:
    """From the right, the first address that is no trusted proxy's; what is no address ends the walk."""
    seen = peer
    for hop in reversed(hops):
        address = bare(hop)
        if address is None:
            return seen
        seen = address
        if not trusts(address, trusted):
            return seen
    return seen


def trusts(address: str, trusted: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks."""
    ip = _address(address)
    return ip is not None and any(ip.version == network.version and ip in network for network in trusted)


def bare(hop: str) -> str | None:
    """The address of one hop without its port and brackets; None when it is no address."""
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    ip = _address(hop)
    return None if ip is None else str(ip)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; IPv4 written as IPv6 is IPv4."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def forwarded_for(value: str) -> list[str]:
    """The `for=` of each element of a `Forwarded` header (RFC 7239); "" where an element has none or is broken."""
    hops, found, at = [], "", 0
    while at <= len(value):
        pair = _PAIR.match(value, at)
        if pair is not None:
            if pair[1].lower() == "for":
                found = re.sub(r"\\(.)", r"\1", pair[2][1:-1]) if pair[2].startswith('"') else pair[2]
            at = pair.end()
        if at == len(value) or value[at] == ",":
            hops.append(found)
            found = ""
        elif value[at] != ";":  # broken: what stands left of here cannot be told apart from it
            comma = value.find(",", at)
            at, hops, found = (comma if comma >= 0 else len(value)), [""], ""
        at += 1
    return hops
