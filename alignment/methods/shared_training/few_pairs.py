"""Too few pairs to train on: how many are needed, and the sentences, for a stage and for people who collect."""

from __future__ import annotations

from alignment.errors import StageError

MIN_PAIRS = 8


def check_pairs(stage: str, rows: int, needed: int, kind: str = "pairs") -> None:
    """Raise `StageError` with both numbers when a stage has too few pairs (or what `kind` calls them)."""
    if rows < needed:
        missing = needed - rows
        raise StageError(
            f"{stage} needs at least {needed} {kind}; this snapshot has {rows}: "
            f"collect {missing} more {'comparison' if missing == 1 else 'comparisons'}."
        )


def few_pairs(usable: int, needed: int, judgements: int) -> str | None:
    """The sentence for people who collect when there are fewer pairs than are needed; None when there are enough."""
    if usable >= needed:
        return None
    return (
        f"There are {usable} pairs to train on and {needed} are needed: {judgements} judgements "
        "gave no more, as ties and answers that were stopped or cut off never become pairs. Compare more."
    )
