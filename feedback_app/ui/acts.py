"""What a page of ours may say: flat, small, of known types. Checked before any page reads it.

Whoever holds a session can send anything to a page's functions, so an act is looked at like a form: a name, and values
of the types that the pages' scripts send. Whether a value makes sense (a ticket, a choice) is for `collect` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from feedback_app.errors import UsageError

LONGEST_NAME = 64
LARGEST_NUMBER = 2**53  # beyond it, JavaScript's numbers and the answers' encoder lose digits or fail
WHOLE = ("round", "size")  # numbers, which a page's attributes carry as digits
MOST_ITEMS = 64


class Malformed(UsageError):
    """No page of ours sends this."""


class Act(TypedDict, total=False):
    """What the pages' scripts send, all of them in one list; `do` names the act.

    Numbers of `WHOLE` come as digits. `a_mark` and `b_mark`, `corrections` of `a` and `b`, belong to a pair; `ranks`
    to a ranking, in the ticket's order.
    """

    do: str
    # What it is about
    conversation: str | None
    message: str
    of: str | None
    ticket: str
    judgement: str
    saw: str | None
    request: str | int | None
    version: str | None
    round: str | int
    name: str
    # What somebody wrote
    text: str
    title: str
    prompt: str | None
    comment: str | None
    correction: str
    note: str | None
    # What somebody chose
    mark: str | None
    reason: str
    reasons: list[str] | None
    choice: str
    chosen: str | bool | None
    a_mark: str | None
    b_mark: str | None
    corrections: Mapping[str, str] | None
    ranks: list[int] | None
    cannot_judge: bool | None
    size: str | int | None
    # What an operator sets
    method: str | None
    start: str | None
    settings: str | None
    enabled: bool | None
    every_judgements: str | float | None
    every_hours: str | float | None
    role: str
    revoke_keys: bool | None
    disabledNow: str
    asideNow: str


class _Received(dict[str, Any]):
    """An act as it came; asking it for something that it does not hold is the sender's fault, not ours."""

    def __missing__(self, key: str) -> Any:
        raise Malformed(f"This page sent no {key}. Reload it.")


def read_act(data: object) -> Act:
    """An act of a page. Raises `Malformed` that names what no page of ours sends."""
    if not isinstance(data, Mapping) or len(data) > MOST_ITEMS:
        raise Malformed("This page sent no act. Reload it.")
    act = _Received()
    for key, value in data.items():
        if not isinstance(key, str) or len(key) > LONGEST_NAME or not _fits(key, value):
            raise Malformed(f"This page sent {str(key)[:LONGEST_NAME]!r} in a form that is not read. Reload it.")
        act[key] = value
    return cast(Act, act)


def _fits(key: str, value: object) -> bool:
    match key:
        case "reasons":
            return value is None or _list_of(value, str)
        case "ranks":
            return value is None or _list_of(value, int)
        case "corrections":
            return value is None or (
                isinstance(value, Mapping)
                and len(value) <= MOST_ITEMS
                and all(_scalar(v) for v in value.values())
                and value.keys() <= {"a", "b"}
            )
        case _ if key in WHOLE:
            return value in (None, "") or (len(str(value)) < 10 and str(value).isascii() and str(value).isdecimal())
    return _scalar(value)


def _list_of(value: object, kind: type) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_ITEMS
        and all(isinstance(item, kind) and _scalar(item) for item in value)
    )


def _scalar(value: object) -> bool:
    if isinstance(value, int | float):
        return abs(value) < LARGEST_NUMBER
    return value is None or isinstance(value, str)
