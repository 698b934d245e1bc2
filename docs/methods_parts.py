"""Tables of methods and of their settings, from the cards in `alignment.methods.registry`."""

from __future__ import annotations

import inspect
from dataclasses import Field, fields
from typing import Any

from alignment.methods.card import Card
from alignment.methods.registry import CARDS, METHODS
from alignment.methods.shared_training.settings import about_of
from docs.tables import code, table

__all__ = ["CARDS", "method_part", "methods_part"]


def methods_part() -> str:
    """What a round may name, then what is a stage only."""
    rows = [
        [f"[{name}]({name}.md)", card.title, ", ".join(card.chain) if card.chain else "a stage only", card.learns_from]
        for name, card in sorted(CARDS.items(), key=lambda each: each[0] not in METHODS)
    ]
    return table(["method", "is called", "stages", "learns from"], rows)


def method_part(name: str) -> str:
    """One card: what it needs, what its progress shows, and its settings."""
    card = CARDS[name]
    facts = [
        f"- **Learns from** {card.learns_from}.",
        f"- **Stages of a round**: {' → '.join(card.chain) or 'none, it is a stage only'}.",
        f"- **Samples answers while it trains**: {'yes' if card.samples else 'no'}. "
        f"**Starts from a model**: {'yes' if card.needs_model else 'no'}. "
        f"**May continue an adapter**: {'yes' if card.continues else 'no'}.",
        f"- **Live values**: {', '.join(f'`{value}`' for value in card.live)}.",
        f"- **In the code**: `{card.train.partition(':')[0].replace('.', '/')}.py`, settings in `{_file(card)}`.",
    ]
    heads = ["setting", "default", "range", "unit", "0 or nothing", "meaning"]
    return "\n".join(["## Settings", "", *facts, "", table(heads, _rows(card))])


def _rows(card: Card) -> list[list[str]]:
    return [_row(one) for one in sorted(fields(card.settings), key=lambda one: _own(card, one.name), reverse=True)]


def _own(card: Card, name: str) -> bool:
    """Whether the method declares a setting itself; its own come before those that it shares."""
    return name in vars(card.settings).get("__annotations__", {})


def _row(one: Field[Any]) -> list[str]:
    about = about_of(one)
    default = str(one.default).lower() if isinstance(one.default, bool) else one.default
    return [f"`{one.name}`", code(default), about.range, about.unit, about.zero, about.words]


def _file(card: Card) -> str:
    module = inspect.getmodule(card.settings)
    assert module is not None
    return f"{module.__name__.replace('.', '/')}.py"
