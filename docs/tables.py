"""Markdown tables, and that of the app's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feedback_app.settings import Settings


def cell(text: object) -> str:
    """A value inside a table."""
    return str(text).replace("|", "\\|").replace("\n", " ").strip()


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def code(value: object) -> str:
    """A value in code type; nothing for nothing."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{shown}`" if value not in (None, "") else ""


def settings_part() -> str:
    """Every setting of the app, as `feedback_app.settings` declares it."""
    rows = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else f"ALIGNLOOP_{name.upper()}"
        default = getattr(field.default, "value", field.default)
        rows.append([f"`{variable}`", code(default), bounds(field.metadata), field.description or ""])
    return table(["variable", "default", "range", "meaning"], rows)


def bounds(metadata: Sequence[Any]) -> str:
    """The range that a field is checked against, in words."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = {name: getattr(each, name) for each in metadata for name in words if getattr(each, name, None) is not None}
    return ", ".join(f"{words[name]} {bound:g}" for name, bound in found.items())
