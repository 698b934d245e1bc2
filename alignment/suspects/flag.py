"""What is said of one account."""

from __future__ import annotations

from dataclasses import dataclass

LEVEL = 0.05  # of naming anybody at all when all are alike; divided by the number of accounts that are looked at


@dataclass(frozen=True, slots=True)
class Flag:
    """One account, the rule that names it, and the numbers behind it.

    `p` is the chance of such a number, were the account like the others; `share` is what the rule says it is, `about`
    the words that it is about, where there are such.
    """

    person: str
    rule: str
    p: float
    share: float
    count: int
    about: str = ""
