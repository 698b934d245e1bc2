"""Good and bad rows: TRL's unpaired form, one per marked answer.

Any kind of judgement may mark an answer (a like, or "both bad" on a comparison). "Can't judge" gives
nothing, and an answer that the model did not end itself gives nothing.
"""

from __future__ import annotations

from alignment.compile.groups import usable
from alignment.judgement import Judgement, Mark
from alignment.rows import MarkRow


def mark_rows(judgement: Judgement) -> list[MarkRow]:
    """One row for every usable candidate with a mark; an empty answer is never a good one."""
    if judgement.cannot_judge:
        return []
    return [
        MarkRow(
            prompt=judgement.context,
            completion=candidate.text,
            label=candidate.mark is Mark.GOOD,
            weight=1.0,
            judgements=(judgement.id,),
        )
        for candidate in judgement.candidates
        if candidate.mark is not None and usable(candidate) and (candidate.mark is Mark.BAD or candidate.text.strip())
    ]
