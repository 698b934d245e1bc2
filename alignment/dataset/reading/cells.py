"""Values inside texts: messages as JSON or as a Python literal, as tables and databases keep them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from alignment.dataset.reading.feedback import Skip

ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value", "text", "parts", "tool_calls", "function_call")
TEXT_KEYS = CONTENT_KEYS[:4]
_LONGEST_LITERAL = 1_000_000  # characters; Python's parser takes memory many times this
_OF_MESSAGES = re.compile(r"""\s*\[?\s*\{\s*['"](?:role|from|content|value)['"]\s*:""")


def is_message(value: object) -> bool:
    """Whether a value is one message: somebody who speaks, and what is said."""
    return (
        isinstance(value, Mapping)
        and any(isinstance(value.get(key), str) for key in ROLE_KEYS)
        and any(key in value for key in CONTENT_KEYS)
    )


def are_messages(value: object) -> bool:
    """Whether a value is a list of messages, or one message."""
    return is_message(value) or (isinstance(value, list) and bool(value) and all(map(is_message, value)))


def opened(text: str) -> Any:
    """What a text holds when it is JSON or a Python literal of a list or an object; else the text itself."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > _LONGEST_LITERAL:
        return text
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return found if isinstance(found, (list, dict)) else text


def messages_in(text: str) -> Any:
    """The messages that a text holds, or the text. Raises `Skip` where it has their form and cannot be read."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    found = opened(text)
    if are_messages(found):
        return found
    if found is text and _OF_MESSAGES.match(text):
        raise Skip("a cell in the form of a list of messages that is neither JSON nor a Python literal")
    return text


def listed(value: object) -> list[Any] | None:
    """A list, or the list that a text holds; None where it is neither."""
    found = opened(value) if isinstance(value, str) else value
    return list(found) if isinstance(found, (list, tuple)) else None


def empty(value: object) -> bool:
    """Whether a value is nothing: null, no number, or blank."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and value != value) or value in ([], {}, ())


def filled(value: object) -> bool:
    """Whether a value holds anything: not null, not empty, not the word that a table writes for nothing."""
    if value is None:
        return False
    if isinstance(value, str):
        return value.strip() not in ("", "[]", "{}", "null", "None", "nan", "NaN")
    if isinstance(value, float):
        return value == value
    if isinstance(value, (list, tuple)):
        return any(map(filled, value))
    if isinstance(value, Mapping):
        return any(map(filled, value.values()))
    return True
