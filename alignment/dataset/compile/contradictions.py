"""Rows on one context that say opposite things: counted, and treated as `Rules.contradictions` says.

Two pairs contradict each other when they hold the same two texts the other way round, and two marks when
they hold the same text with opposite labels: then the same answers came up in several tasks, or one
person said one thing here and another there. (Votes on one and the same task meet earlier, in `shares`.)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

from alignment.dataset.compile.drafts import AnyRow, Draft
from alignment.dataset.compile.rules import Contradictions
from alignment.dataset.rows import MarkRow, PairRow

_ROUNDING = 1e-9


def settle_pairs(
    drafts: Sequence[Draft[PairRow]], contradictions: Contradictions, found: Counter[str], skipped: Counter[str]
) -> list[Draft[PairRow]]:
    """The pairs of one context that are to count; `found` counts groups of rows that contradict."""
    return _settle(
        drafts,
        lambda row: tuple(sorted((row.chosen, row.rejected))),
        lambda row: row.chosen < row.rejected,
        contradictions,
        (found, "pairs"),
        skipped,
    )


def settle_marks(
    drafts: Sequence[Draft[MarkRow]], contradictions: Contradictions, found: Counter[str], skipped: Counter[str]
) -> list[Draft[MarkRow]]:
    """The marks of one context that are to count; see `settle_pairs`."""
    return _settle(drafts, lambda row: row.completion, lambda row: row.label, contradictions, (found, "marks"), skipped)


def _settle(
    drafts: Sequence[Draft[AnyRow]],
    about: Callable[[AnyRow], Hashable],
    side_of: Callable[[AnyRow], bool],
    contradictions: Contradictions,
    count: tuple[Counter[str], str],
    skipped: Counter[str],
) -> list[Draft[AnyRow]]:
    if len(drafts) < 2:
        return list(drafts)
    sides: defaultdict[Hashable, dict[bool, float]] = defaultdict(dict)
    for draft in drafts:
        if getattr(draft.row, "target", 1.0) == 0.5:  # takes no side
            continue
        side = sides[about(draft.row)]
        side[side_of(draft.row)] = side.get(side_of(draft.row), 0.0) + draft.row.weight
    torn = {key: side for key, side in sides.items() if len(side) == 2}
    count[0][count[1]] += len(torn)
    if not torn or contradictions is Contradictions.WEIGHTS:
        return list(drafts)
    kept = []
    for draft in drafts:
        side = torn.get(about(draft.row), {})
        lead = side.get(True, 0.0) - side.get(False, 0.0)
        heavier = abs(lead) > _ROUNDING and (lead > 0) is side_of(draft.row)
        if not side or (contradictions is Contradictions.MAJORITY and heavier):
            kept.append(draft)
        else:
            skipped["contradicts"] += 1
    return kept
