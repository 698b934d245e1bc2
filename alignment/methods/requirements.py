"""What a round's method needs of its rows, so that a round that cannot train ends before anything starts.

The stages refuse by themselves too, as they also run alone; here the sentence is for people who collect.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.errors import StageError
from alignment.methods.dpo.settings import MIN_PAIRS
from alignment.methods.kto.settings import MIN_MARKS, check_marks
from alignment.stage.runner import CHAINS


def lacking(method: str, counts: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """The sentence that says what is missing, with counts; None when the method's first stage can train.

    `counts` are a compiled dataset's, `settings` the round's.
    """
    first = CHAINS[method][0]
    rows = counts["rows"]
    if first == "kto":
        try:
            needed = int(settings.get("min_marks", MIN_MARKS))
            check_marks(counts["liked"], rows["marks"]["train"] - counts["liked"], needed)
        except StageError as error:
            return str(error)
        return None
    if first not in ("dpo", "reward"):
        return None
    named = settings.get(f"{first}.min_pairs", settings.get("min_pairs") if len(CHAINS[method]) == 1 else None)
    needed = MIN_PAIRS if named is None else int(named)
    usable = rows["pairs"]["train"]
    if first == "reward":
        usable += rows.get("groups", {}).get("train", 0)
    if usable >= needed:
        return None
    return (
        f"There are {usable} pairs to train on and {needed} are needed: {counts['judgements']} judgements "
        "gave no more, as ties and answers that were stopped or cut off never become pairs. Compare more."
    )
