"""`KEY=VALUE` on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from alignment.terms import Setting as Setting
from feedback_app.errors import UsageError


def read_pairs(pairs: Sequence[str]) -> dict[str, Setting]:
    """Settings of a stage: numbers and true/false become what they look like. Raises `UsageError`."""
    settings: dict[str, Setting] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"A setting is KEY=VALUE, for instance beta=0.1, and not {pair!r}.")
        settings[key.strip()] = read_value(value.strip())
    return settings


def read_value(text: str) -> Setting:
    """`true` and `false`, whole numbers, numbers, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
