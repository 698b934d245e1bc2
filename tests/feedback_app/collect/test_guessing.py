"""How long a guesser waits, and who counts as one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.collect.guessing import (
    FREE,
    LONGEST_WAIT_S,
    address_mark,
    device_mark,
    name_mark,
    network_of,
    session_mark,
    wait_s,
)


def test_the_wait_doubles_to_five_minutes() -> None:
    assert [wait_s(wrong, 0) for wrong in range(4, 16)] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert wait_s(10_000, 0) == LONGEST_WAIT_S
    assert wait_s(10_000, LONGEST_WAIT_S) == 0


@given(st.integers(0, 10_000), st.floats(0, 1e6))
def test_nobody_waits_longer_than_the_longest_wait_nor_less_for_one_more(wrong: int, since_s: float) -> None:
    wait = wait_s(wrong, since_s)
    assert 0 <= wait <= wait_s(wrong + 1, since_s) <= LONGEST_WAIT_S
    assert wrong >= FREE or wait == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_ipv6_network_is_one_and_an_ipv4_address_is_one(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_addresses_of_one_ipv6_network_are_one_guesser(network: int, one: int, other: int) -> None:
    first, second = (str(ipaddress.IPv6Address((network << 64) + host)) for host in (one, other))
    if network:
        assert address_mark(first) == address_mark(second)


@given(st.text())
def test_marks_are_short_and_hold_nothing_of_what_was_typed(text: str) -> None:
    assert len(name_mark(text)) == 5
    marks = {address_mark(text), device_mark(text), session_mark(text)}
    assert len(marks) == 3
    assert all(len(mark) == 17 for mark in marks)
