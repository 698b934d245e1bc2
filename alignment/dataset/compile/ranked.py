"""Rankings as they are: one row of tie-groups for a listwise loss, in place of their pairs.

Rules, in full: each ranking of at least two tie-groups is one row that weighs k − 1 for k groups (times the
verdict's own weight and the person's reliability). Several people's rankings of one task are a row each, and
weigh together at most as much as two people's. A text that stands in two groups is in none, one that
stands twice in a group is there once, and an empty answer never stands in the best group.

All judgements that are given here share one context.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.ranked_groups import tie_groups
from alignment.dataset.compile.shares import MOST_PEOPLE
from alignment.dataset.compile.weights import verdict_weight
from alignment.dataset.judgement import Judgement, Kind, Message
from alignment.dataset.rows import GroupRow


def group_drafts(
    context: tuple[Message, ...], judgements: Sequence[Judgement], reliability: Mapping[str, float]
) -> list[Draft[GroupRow]]:
    """The ranked groups of one context."""
    tasks: defaultdict[str, list[tuple[Judgement, tuple[tuple[str, ...], ...]]]] = defaultdict(list)
    for judgement in judgements:
        if judgement.kind is Kind.RANK and not judgement.cannot_judge:
            groups = _texts(judgement)
            if len(groups) >= 2:
                tasks[judgement.task].append((judgement, groups))
    drafts = []
    for task in sorted(tasks):
        turns = Counter(judgement.person for judgement, _ in tasks[task])
        votes = [
            (
                judgement,
                groups,
                verdict_weight(judgement) * reliability.get(judgement.person, 1.0) / turns[judgement.person],
            )
            for judgement, groups in sorted(tasks[task], key=lambda each: each[0].id)
        ]
        scale = min(1.0, MOST_PEOPLE / sum(weight for _, _, weight in votes))
        for judgement, groups, weight in votes:
            row = GroupRow(
                prompt=context,
                completions=groups,
                weight=weight * scale * (len(groups) - 1),
                judgements=(judgement.id,),
            )
            drafts.append(Draft(row, ((judgement.person, row.weight),)))
    return drafts


def _texts(judgement: Judgement) -> tuple[tuple[str, ...], ...]:
    """The tie-groups as texts, each text in one group at most; groups that are left empty are gone."""
    groups = [sorted({candidate.text for candidate in group}) for group in tie_groups(judgement)]
    seen = Counter(" ".join(text.split()) for group in groups for text in group)
    kept = [tuple(text for text in group if seen[" ".join(text.split())] == 1) for group in groups]
    kept = [group for group in kept if group]
    if kept:
        kept[0] = tuple(text for text in kept[0] if text.strip())
    return tuple(group for group in kept if group)
