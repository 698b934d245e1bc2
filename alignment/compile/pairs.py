"""Preference pairs: chosen over rejected on one prompt.

Rules, in full:

- Ranked candidates (an A/B vote is a ranking of two): every strict pair, no pair inside a tie-group. The
  pairs of one verdict weigh k − 1 in all for k tie-groups, so that ranking four answers counts as three
  comparisons and not as six. A slight preference counts half, with a third of the margin; a preference
  between answers that were all marked bad counts half.
- Likes and dislikes pair only for one person on the identical context: every liked answer over every
  disliked one, weighing 1 in all. A text that the same person both liked and disliked there says nothing.
- Corrections: the corrected answer over the original, unless they are equal after folding.
- "Can't judge" gives nothing. Stopped, length-cut and identical answers never become pairs, nor is an
  empty answer ever chosen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations

from alignment.compile.groups import tie_groups, usable
from alignment.compile.text import fold, same_answer
from alignment.compile.weights import CLEAR_MARGIN, CLEAR_WEIGHT, verdict_margin, verdict_weight
from alignment.judgement import Judgement, Kind, Mark, Message
from alignment.rows import PairRow


def ranked_pairs(judgement: Judgement, skipped: Counter[str]) -> list[PairRow]:
    """The pairs of one A/B vote or ranking; `skipped` counts what became none, by reason."""
    if judgement.kind is Kind.LIKE:
        return []
    if judgement.cannot_judge:
        skipped["cannot_judge"] += 1
        return []
    skipped["not_finished"] += sum(
        1 for candidate in judgement.candidates if candidate.rank is not None and not usable(candidate)
    )
    groups = tie_groups(judgement)
    if len(groups) < 2:
        skipped["tie_or_unranked"] += 1
        return []
    steps = len(groups) - 1
    strict = [
        (better, worse, (low - high) / steps)
        for (high, above), (low, below) in combinations(enumerate(groups), 2)
        for better in above
        for worse in below
    ]
    weight = verdict_weight(judgement) * steps / len(strict)
    rows = []
    for better, worse, distance in strict:
        if same_answer(better.text, worse.text):
            skipped["identical"] += 1
        elif not better.text.strip():
            skipped["empty_chosen"] += 1
        else:
            rows.append(
                PairRow(
                    prompt=judgement.context,
                    chosen=better.text,
                    rejected=worse.text,
                    weight=weight,
                    margin=verdict_margin(judgement) * distance,
                    judgements=(judgement.id,),
                    origin=judgement.kind.value,
                )
            )
    return rows


def liked_pairs(judgements: Iterable[Judgement], skipped: Counter[str]) -> list[PairRow]:
    """Pairs from likes and dislikes, grouped by person and identical context."""
    groups: defaultdict[tuple[str, tuple[Message, ...]], dict[Mark, dict[str, set[str]]]] = defaultdict(
        lambda: {Mark.GOOD: defaultdict(set), Mark.BAD: defaultdict(set)}
    )
    for judgement in judgements:
        if judgement.kind is not Kind.LIKE or judgement.cannot_judge:
            continue
        for candidate in judgement.candidates:
            if candidate.mark is None:
                continue
            if not usable(candidate):
                skipped["not_finished"] += 1
                continue
            groups[judgement.person, judgement.context][candidate.mark][candidate.text].add(judgement.id)
    rows: list[PairRow] = []
    for (_, context), marks in groups.items():
        good, bad = marks[Mark.GOOD], marks[Mark.BAD]
        torn = {text for text in good if any(same_answer(text, other) for other in bad)}
        skipped["liked_and_disliked"] += len(torn)
        liked = [text for text in good if text not in torn and text.strip()]
        disliked = [text for text in bad if not any(same_answer(text, other) for other in torn)]
        if not liked or not disliked:
            skipped["like_without_opposite"] += len(liked) + len(disliked)
            continue
        weight = CLEAR_WEIGHT / (len(liked) * len(disliked))
        rows += [
            PairRow(
                prompt=context,
                chosen=chosen,
                rejected=rejected,
                weight=weight,
                margin=CLEAR_MARGIN,
                judgements=tuple(sorted(good[chosen] | bad[rejected])),
                origin=Kind.LIKE.value,
            )
            for chosen in liked
            for rejected in disliked
        ]
    return rows


def corrected_pairs(judgement: Judgement, skipped: Counter[str]) -> list[PairRow]:
    """The corrected answer over the original, for every candidate that was rewritten."""
    rows = []
    for candidate in judgement.candidates:
        if judgement.cannot_judge or candidate.correction is None:
            continue
        if not candidate.correction.strip() or fold(candidate.correction) == fold(candidate.text):
            skipped["correction_changes_nothing"] += 1
        elif not usable(candidate):
            skipped["not_finished"] += 1
        else:
            rows.append(
                PairRow(
                    prompt=judgement.context,
                    chosen=candidate.correction,
                    rejected=candidate.text,
                    weight=CLEAR_WEIGHT,
                    margin=CLEAR_MARGIN,
                    judgements=(judgement.id,),
                    origin="correction",
                )
            )
    return rows
