"""Whose request it is behind reverse proxies: read from the right, from trusted peers only."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from feedback_app.api.proxies import Proxies, bare, client_of, forwarded_for, trusts
from feedback_app.errors import UsageError
from feedback_app.settings import read_settings

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PROXY, INNER, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.7"
TRUSTED = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))
anything = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def of(**headers: str) -> str:
    return client_of(PROXY, Headers({name.replace("_", "-"): value for name, value in headers.items()}), TRUSTED)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (CLIENT, CLIENT),
        (f"6.6.6.6, {CLIENT}", CLIENT),
        (f"6.6.6.6, {CLIENT}, {INNER}", CLIENT),
        (f"{CLIENT}:4711", CLIENT),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1, fd00::5", "2001:db8::1"),
        (f"{CLIENT}, ::ffff:{INNER}", CLIENT),
        (INNER, INNER),
        (f"{CLIENT}, unknown, {INNER}", INNER),
        ("not an address", PROXY),
        ("", PROXY),
    ],
)
def test_x_forwarded_for_is_read_from_the_right_past_trusted_proxies(header: str, client: str) -> None:
    assert of(x_forwarded_for=header) == client


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"for=6.6.6.6, For={CLIENT};proto=https;by={PROXY}", CLIENT),
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        (f'for="{CLIENT}:99" ; host="a,b;c\\"d" , for={INNER}', CLIENT),
        ("for=_hidden", PROXY),
        ("by=10.0.0.1", PROXY),
        (f'for="6.6.6.6, for={CLIENT}', CLIENT),
        ("for=", PROXY),
    ],
)
def test_forwarded_is_read_from_the_right_past_trusted_proxies(header: str, client: str) -> None:
    assert of(forwarded=header) == client


def test_headers_that_contradict_each_other_count_as_the_proxy() -> None:
    assert of(x_forwarded_for=CLIENT, forwarded="for=6.6.6.6") == PROXY
    assert of(x_forwarded_for=CLIENT, forwarded=f"for={CLIENT}") == CLIENT


@given(anything)
def test_nothing_that_a_client_writes_on_the_left_is_ever_believed(written: str) -> None:
    assert of(x_forwarded_for=f"{written}, {CLIENT}") == CLIENT
    assert of(forwarded=f"{written}, for={CLIENT}") in (CLIENT, PROXY)
    assert of(x_forwarded_for=CLIENT, forwarded=written) in (CLIENT, PROXY)
    assert of(x_forwarded_for=written, forwarded=f"for={CLIENT}") in (CLIENT, PROXY)


@given(anything)
def test_any_header_is_read_to_its_end(written: str) -> None:
    assert forwarded_for(written)
    assert bare(written) != ""


def test_ipv4_written_as_ipv6_is_the_same_proxy() -> None:
    assert trusts(f"::ffff:{PROXY}", TRUSTED)
    assert not trusts("unix:", TRUSTED)


async def whoami(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse([scope["client"][0], scope["scheme"]])(scope, receive, send)


@pytest.mark.parametrize(("peer", "seen"), [(PROXY, [CLIENT, "https"]), ("198.51.100.1", ["198.51.100.1", "http"])])
async def test_only_a_trusted_peer_is_believed(peer: str, seen: list[str]) -> None:
    transport = httpx.ASGITransport(app=Proxies(whoami, TRUSTED), client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        answer = await client.get("/", headers={"x-forwarded-for": CLIENT, "x-forwarded-proto": "https"})
    assert answer.json() == seen


def test_the_setting_names_networks_and_none_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().trusted_proxies == ()
    monkeypatch.setenv("ALIGNLOOP_PROXIES", "10.0.0.0/24, fd00::/64")
    assert read_settings().trusted_proxies == TRUSTED
    monkeypatch.setenv("ALIGNLOOP_PROXIES", "10.0.0.0/24, proxy.example")
    with pytest.raises(UsageError, match=r"ALIGNLOOP_PROXIES is not valid.*proxy\.example"):
        read_settings()
