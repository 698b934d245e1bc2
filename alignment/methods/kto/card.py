"""KTO's card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.errors import StageError
from alignment.methods.card import COMMON, PREFERENCES, Card
from alignment.methods.kto.settings import MIN_MARKS, KtoSettings, check_marks
from alignment.stage.spec import Setting


def _lacking(counts: Mapping[str, Any], settings: Mapping[str, Setting]) -> str | None:
    liked = counts["liked"]
    try:
        check_marks(liked, counts["rows"]["marks"]["train"] - liked, int(settings.get("min_marks", MIN_MARKS)))
    except StageError as error:
        return str(error)
    return None


KTO = Card(
    name="kto",
    title="KTO",
    learns_from="likes and dislikes as they are, at least one of each",
    train="alignment.methods.kto.train:train",
    settings=KtoSettings,
    live=(*COMMON, *PREFERENCES),
    chain=("kto",),
    lacking=_lacking,
)
