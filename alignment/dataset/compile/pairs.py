"""Preference pairs: chosen over rejected on one prompt.

Rules, in full:

- Ranked candidates (an A/B vote is a ranking of two): every strict pair, no pair inside a tie-group. The
  pairs of one verdict weigh k − 1 in all for k tie-groups, so that ranking four answers counts as three
  comparisons and not as six. A slight preference counts half, with a third of the margin; a preference
  between answers that were all marked bad counts half.
- Several people on one task: one row for every two answers. Its target is the weighted share of those who
  prefer the chosen one, a tie counting ½; it weighs what they weigh together, at most as much as two. A
  share within 0.1 of ½ makes a `reward_only` row. Nobody but ties make no row at all.
- Likes and dislikes pair only for one person on the identical context: every liked answer over every
  disliked one, weighing 1 in all. A text that the same person both liked and disliked there says nothing.
  Pairs of the same two texts from several people are one row, as above.
- "Can't judge" gives nothing. Stopped, length-cut and identical answers never become pairs, nor is an
  empty answer ever chosen.

All judgements that are given here share one context. Corrections are in `corrections`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from alignment.dataset.compile.age import age_of, age_weight
from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.ranked_groups import tie_groups, usable
from alignment.dataset.compile.rules import Rules
from alignment.dataset.compile.shares import MOST_PEOPLE, Vote, opinion_of
from alignment.dataset.compile.text import same_answer
from alignment.dataset.compile.weights import CLEAR_MARGIN, CLEAR_WEIGHT, verdict_margin, verdict_weight
from alignment.dataset.judgement import Candidate, Judgement, Kind, Mark, Message
from alignment.dataset.rows import PairRow


@dataclass
class _Item:
    """Two texts, in alphabetical order, and what was said about them."""

    texts: tuple[str, str]
    origin: str
    votes: list[Vote] = field(default_factory=list)
    most: float = 0.0
    age: float = float("inf")


Key = tuple[str, str, str]  # where (a task, or the likes), and the two texts


def pair_drafts(
    context: tuple[Message, ...],
    judgements: Sequence[Judgement],
    reliability: Mapping[str, float],
    rules: Rules,
    skipped: Counter[str],
    found: Counter[str],
) -> list[Draft[PairRow]]:
    """The pairs of one context; `skipped` counts what became none, by reason, `found` where people contradict."""
    items: dict[Key, _Item] = {}
    for judgement in judgements:
        if judgement.kind is not Kind.LIKE:
            _ranked(judgement, items, rules, skipped)
    _liked(judgements, items, rules, skipped)
    drafts = [_draft(context, items[key], reliability, rules, skipped, found) for key in sorted(items)]
    return [draft for draft in drafts if draft is not None]


def strict_pairs(judgement: Judgement) -> list[tuple[Candidate, Candidate]]:
    """Every two usable candidates that the person put in an order, the better one first."""
    return [
        (better, worse)
        for above, below in combinations(tie_groups(judgement), 2)
        for better in above
        for worse in below
    ]


def _ranked(judgement: Judgement, items: dict[Key, _Item], rules: Rules, skipped: Counter[str]) -> None:
    if judgement.cannot_judge:
        skipped["cannot_judge"] += 1
        return
    skipped["not_finished"] += sum(
        1 for candidate in judgement.candidates if candidate.rank is not None and not usable(candidate)
    )
    groups = tie_groups(judgement)
    count = sum(len(group) for group in groups)
    if len(groups) < 2:
        skipped["tie_or_unranked"] += 1
        if count < 2:
            return
    steps = len(groups) - 1
    strict = count * (count - 1) // 2 - sum(len(group) * (len(group) - 1) // 2 for group in groups)
    # Of a ranking without any order only its ties can matter, beside what others say: each as of a full one.
    weight = verdict_weight(judgement) * (steps / strict if strict else 2.0 / count)
    margin = verdict_margin(judgement)
    for (high, above), (low, below) in combinations(enumerate(groups), 2):
        for better in above:
            for worse in below:
                _vote(judgement, better, worse, weight, margin * (low - high) / steps, items, rules, skipped, count)
    for group in groups:
        for one, other in combinations(group, 2):
            if one.text != other.text:
                _vote(judgement, one, other, weight, None, items, rules, skipped, count)


def _vote(
    judgement: Judgement,
    better: Candidate,
    worse: Candidate,
    weight: float,
    margin: float | None,
    items: dict[Key, _Item],
    rules: Rules,
    skipped: Counter[str],
    count: int,
) -> None:
    """Add one person's word on two candidates; without a margin it is a tie."""
    if same_answer(better.text, worse.text):
        skipped["identical"] += margin is not None
        return
    first, second = sorted((better.text, worse.text))
    item = items.setdefault((judgement.task, first, second), _Item(texts=(first, second), origin=judgement.kind.value))
    side = 0.0 if margin is None else 1.0 if first == better.text else -1.0
    item.votes.append(
        Vote(judgement.person, judgement.id, weight, 0.5 + side / 2, side * (margin if margin is not None else 0.0))
    )
    # One A/B vote weighs 1, one of the pairs of a full ranking of `count` answers 2 / count.
    item.most = max(item.most, MOST_PEOPLE * 2.0 / count)
    item.age = min(item.age, age_of((better.version, worse.version), rules))


def _liked(judgements: Iterable[Judgement], items: dict[Key, _Item], rules: Rules, skipped: Counter[str]) -> None:
    """Pairs from likes and dislikes, each person's by themselves."""
    people: defaultdict[str, dict[Mark, dict[str, list[tuple[str, Candidate]]]]] = defaultdict(
        lambda: {Mark.GOOD: defaultdict(list), Mark.BAD: defaultdict(list)}
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
            people[judgement.person][candidate.mark][candidate.text].append((judgement.id, candidate))
    for person in sorted(people):
        good, bad = people[person][Mark.GOOD], people[person][Mark.BAD]
        torn = {text for text in good if any(same_answer(text, other) for other in bad)}
        skipped["liked_and_disliked"] += len(torn)
        liked = [text for text in good if text not in torn and text.strip()]
        disliked = [text for text in bad if not any(same_answer(text, other) for other in torn)]
        if not liked or not disliked:
            skipped["like_without_opposite"] += len(liked) + len(disliked)
            continue
        weight = CLEAR_WEIGHT / (len(liked) * len(disliked))
        for chosen in liked:
            for rejected in disliked:
                first, second = sorted((chosen, rejected))
                item = items.setdefault(("", first, second), _Item((first, second), Kind.LIKE.value, most=MOST_PEOPLE))
                side = 1.0 if first == chosen else -1.0
                said = sorted([*good[chosen], *bad[rejected]], key=lambda each: each[0])
                # `opinion_of` takes the mean over a person's judgements, so each click carries the whole weight.
                item.votes += [Vote(person, id, weight, 0.5 + side / 2, side * CLEAR_MARGIN) for id, _ in said]
                item.age = min(item.age, age_of([candidate.version for _, candidate in said], rules))


def _draft(
    context: tuple[Message, ...],
    item: _Item,
    reliability: Mapping[str, float],
    rules: Rules,
    skipped: Counter[str],
    found: Counter[str],
) -> Draft[PairRow] | None:
    opinion = opinion_of(item.votes, reliability, most=item.most, contradictions=rules.contradictions)
    if opinion is None:
        torn = any(vote.share != 0.5 for vote in item.votes)
        found["pairs"] += torn
        skipped["contradicts"] += torn
        return None
    found["pairs"] += opinion.torn
    first_wins = opinion.share >= 0.5 or opinion.even
    chosen, rejected = item.texts if first_wins else item.texts[::-1]
    if not chosen.strip() and not opinion.even:
        skipped["empty_chosen"] += 1
        return None
    return Draft(
        PairRow(
            prompt=context,
            chosen=chosen,
            rejected=rejected,
            weight=opinion.weight,
            margin=max(0.0, opinion.margin if first_wins else -opinion.margin),
            judgements=opinion.judgements,
            origin=item.origin,
            target=0.5 if opinion.even else max(opinion.share, 1.0 - opinion.share),
            reward_only=opinion.close,
            age_weight=age_weight(item.age),
        ),
        opinion.parts,
    )
