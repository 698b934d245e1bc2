"""JSON that strangers may send: read only where reading it costs about as much as its bytes.

A few bytes of JSON can cost fifty times as much memory as objects, and a deep nesting ends the parser; so depth and
number of values are counted in the bytes before anything is parsed. What the fields mean is not checked here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from feedback_app.errors import UsageError

DEEPEST = 64
MOST_VALUES = 100_000
# A string, also one that never ends, or a mark of structure; possessive, so that no text makes it slow.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_OPENING, _CLOSING, _COMMA = b"[{", b"]}", b","
_SURROGATE = re.compile(rb"\\u[dD][89abAB]")


def read_json(
    body: bytes, send: str, *, deepest: int = DEEPEST, most_values: int = MOST_VALUES, half_pairs: bool = False
) -> Any:
    """The value that a body holds; `send` says what to send instead, as a sentence.

    Raises `UsageError` on what is not JSON in UTF-8, on NaN and its like, on half a surrogate pair (unless
    `half_pairs`), and on more than `deepest` levels or `most_values` values.
    """
    _count(body, send, deepest, most_values)
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
        if not half_pairs and _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode()  # half a pair is no text: nothing could store or show it
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The request's body is not JSON. {send}") from error
    return value


def _count(body: bytes, send: str, deepest: int, most_values: int) -> None:
    """Raise `UsageError` where parsing would build too much. Keeps nothing, and stops as soon as it knows."""
    depth = values = 0
    for number, token in enumerate(_TOKENS.finditer(body)):
        mark = body[token.start()]
        if mark in _OPENING:
            depth += 1
            values += 1
        elif mark in _CLOSING:
            depth -= 1
        elif mark in _COMMA:
            values += 1
        if depth > deepest:
            raise UsageError(f"The request's body is nested more than {deepest} deep. {send}")
        if values > most_values or number > 5 * most_values:  # a key, a text, a comma and two brackets for each
            raise UsageError(f"The request's body has more than {most_values} values. {send}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
