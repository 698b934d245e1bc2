"""Who is slowed after wrong passwords: the guesser, never the name.

A guesser is a name and where the guesses for it come from: an address, a browser in which that person has
signed in before (a device, known by its cookie), or a session. Each has a count of its own, so a stranger's
guesses make neither somebody elsewhere wait, nor a known device, nor another name at the same address. A
device has no free pass: its own wrong passwords slow it the same way.

What is not done here: one name guessed from many addresses is slowed at each of them, not over all, because
that would be the means to keep its owner out. API keys are 256 random bits and need no slowing.
"""

from __future__ import annotations

import hashlib
import ipaddress

FREE = 5  # wrong passwords before the next try has to wait
LONGEST_WAIT_S = 300.0
MEMORY_S = 3600.0  # how long after its last wrong password a guesser is remembered
DEVICE_S = 180 * 24 * 3600.0  # how long a browser is known after its last sign-in


def wait_s(wrong: int, since_s: float) -> float:
    """Seconds until the next try, given the wrong passwords so far and the seconds since: 1, 2, 4 … 300."""
    if wrong < FREE:
        return 0.0
    return max(0.0, min(LONGEST_WAIT_S, 2.0 ** min(wrong - FREE, 10)) - since_s)


def name_mark(name: str) -> str:
    """A name as it is counted: 20 bits, too few to tell a password that went into the wrong field."""
    return _hash(name)[:5]


def address_mark(address: str) -> str:
    """An address as it is counted: all of one IPv6 network of 64 bits are one, whoever has it has them all."""
    return "a" + _hash(network_of(address))[:16]


def device_mark(token: str) -> str:
    """A device as it is counted."""
    return "d" + _hash(token)[:16]


def session_mark(token: str) -> str:
    """A session as it is counted, when its person gives the present password again."""
    return "s" + _hash(token)[:16]


def network_of(address: str) -> str:
    """The address, or of IPv6 its /64 network; IPv4 written as IPv6 is IPv4. What is no address stays as it is."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip), 64), strict=False))
    return str(ip)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
