"""Markdown tables, and those of the app's settings and of file formats."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from alignment.dataset.reading.formats import WRITERS
from alignment.dataset.reading.presets import PRESETS
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


def formats_part() -> str:
    """Every written format: what of our rows it takes, its file, and the module that says what it cannot carry."""
    rows = []
    for name, (takes, _, ending) in WRITERS.items():
        module = f"alignment.dataset.reading.formats.{MODULES.get(name, name.replace('-', '_'))}"
        words = (sys.modules[module].__doc__ or "").strip().splitlines()[0]
        kinds = ", ".join(kind.value for kind in takes)
        rows.append([f"`{name}`", kinds, f"`.{ending}`", words, f"`{module.replace('.', '/')}.py`"])
    return table(["format", "holds", "file", "what it is", "its limits stand in"], rows)


MODULES = {"openai-preference": "openai", "openai-chat": "openai", "trl-unpaired": "trl", "csv": "table"}


def presets_part() -> str:
    """Every format that is known by its keys: who writes it, and the map or the module that reads it."""
    rows = []
    for preset in PRESETS:
        reads = preset.read or preset.join
        how = (
            f"`--map {preset.written}`"
            if preset.written
            else f"`{getattr(reads, '__module__', '').replace('.', '/')}.py`"
        )
        rows.append([preset.tool, f"`{preset.name}`", how])
    return table(["written by", "format", "read by"], rows)
