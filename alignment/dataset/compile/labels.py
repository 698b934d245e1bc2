"""Good and bad rows: TRL's unpaired form, one per marked answer of a task.

Rules, in full:

- Any kind of judgement may mark an answer: a like, a dislike, or "both bad" on a comparison, which makes two
  bad rows. Silence is not a dislike.
- Several people on one answer: one row. Its label is what the heavier share says, its target that share,
  and it weighs what they weigh together, at most as much as two. A share within 0.1 of ½ makes no row.
- "Can't judge" gives nothing, an answer that the model did not end itself gives nothing, and an empty
  answer is never a good one.

All judgements that are given here share one context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alignment.dataset.compile.age import age_of, age_weight
from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.ranked_groups import usable
from alignment.dataset.compile.rules import Rules
from alignment.dataset.compile.shares import Vote, opinion_of
from alignment.dataset.compile.weights import MARK_WEIGHT
from alignment.dataset.judgement import Judgement, Mark, Message
from alignment.dataset.rows import MarkRow


@dataclass
class _Marked:
    """One answer of one task, and how it was marked."""

    votes: list[Vote] = field(default_factory=list)
    age: float = float("inf")


def mark_drafts(
    context: tuple[Message, ...],
    judgements: Sequence[Judgement],
    reliability: Mapping[str, float],
    rules: Rules,
    skipped: Counter[str],
    found: Counter[str],
) -> list[Draft[MarkRow]]:
    """The good and bad rows of one context; `skipped` counts what became none, `found` where people contradict."""
    answers: dict[tuple[str, str], _Marked] = {}
    for judgement in judgements:
        if judgement.cannot_judge:
            continue
        for candidate in judgement.candidates:
            good = candidate.mark is Mark.GOOD
            if candidate.mark is None or not usable(candidate) or (good and not candidate.text.strip()):
                continue
            answer = answers.setdefault((judgement.task, candidate.text), _Marked())
            answer.votes.append(Vote(judgement.person, judgement.id, weight=MARK_WEIGHT, share=1.0 if good else 0.0))
            answer.age = min(answer.age, age_of((candidate.version,), rules))
    drafts = []
    for (_, text), answer in sorted(answers.items(), key=lambda each: each[0]):
        opinion = opinion_of(answer.votes, reliability, contradictions=rules.contradictions)
        found["marks"] += opinion is None or opinion.torn
        if opinion is None or opinion.close:
            skipped["contradicts" if opinion is None else "marks_close"] += 1
            continue
        row = MarkRow(
            prompt=context,
            completion=text,
            label=opinion.share > 0.5,
            weight=opinion.weight,
            judgements=opinion.judgements,
            target=max(opinion.share, 1.0 - opinion.share),
            age_weight=age_weight(answer.age),
        )
        drafts.append(Draft(row, opinion.parts))
    return drafts
