"""What several people together say of one thing: a pair of answers, or one answer.

Rules, in full:

- Every person counts once. Who judged the same thing several times (in several tickets) counts with the
  mean of what they said.
- A person's vote weighs what their verdict is worth (`weights`) times their reliability. The share is the
  weighted mean of the votes: 1 for the first side, 0 for the second, ½ for a tie.
- The whole weighs the sum of its votes, but not more than two people's.
- A share within 0.1 of ½ is close: people do not agree, so no policy should be pushed to either side.
- Votes for both sides contradict each other. `Contradictions` says what then happens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alignment.dataset.compile.rules import Contradictions

MOST_PEOPLE = 2.0  # how many clear votes one row weighs at most
CLOSE = 0.1
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Vote:
    """One judgement on one thing. `share` is 1, ½ or 0; `margin` is positive towards the first side."""

    person: str
    judgement: str
    weight: float
    share: float
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the votes come to. `parts`: how much of `weight` is whose; `close` and `torn` as in the rules above."""

    share: float
    weight: float
    margin: float
    parts: tuple[tuple[str, float], ...]
    judgements: tuple[str, ...]
    torn: bool

    @property
    def close(self) -> bool:
        """Whether the share lies within 0.1 of ½."""
        return abs(self.share - 0.5) <= CLOSE + _ROUNDING

    @property
    def even(self) -> bool:
        """Whether both sides weigh the same."""
        return abs(self.share - 0.5) <= _ROUNDING


def opinion_of(
    votes: Iterable[Vote],
    reliability: Mapping[str, float],
    *,
    most: float = MOST_PEOPLE,
    contradictions: Contradictions = Contradictions.WEIGHTS,
) -> Opinion | None:
    """Put votes together; None when there are only ties, or when contradictions are not to count.

    `reliability` holds each person's weight (1 where it is missing), `most` what the whole may weigh.
    """
    by_person = _by_person(votes)
    sides = {side for _, share, _, _ in by_person.values() if (side := (share > 0.5) - (share < 0.5))}
    if not sides:
        return None
    torn = len(sides) == 2
    judgements = sorted({id for _, _, _, ids in by_person.values() for id in ids})
    if torn and contradictions is Contradictions.DROP:
        return None
    if torn and contradictions is Contradictions.MAJORITY:
        by_person = _heavier_side(by_person, reliability)
        if not by_person:
            return None
    weights = {person: weight * reliability.get(person, 1.0) for person, (weight, _, _, _) in by_person.items()}
    total = sum(weights.values())
    share = sum(weights[person] * by_person[person][1] for person in weights) / total
    margin = sum(weights[person] * by_person[person][2] for person in weights) / total
    weight = min(total, most)
    return Opinion(
        share=share,
        weight=weight,
        margin=margin,
        parts=tuple((person, weight * part / total) for person, part in weights.items()),
        judgements=tuple(judgements),
        torn=torn,
    )


_Person = tuple[float, float, float, list[str]]  # weight, share, margin, judgements


def _by_person(votes: Iterable[Vote]) -> dict[str, _Person]:
    """Each person's own mean, in the order of their ids, so that sums do not depend on who came first."""
    votes = list(votes)
    if len(votes) == 1:  # most things are judged once: the same numbers without the tables
        (vote,) = votes
        share, margin = vote.weight * vote.share / vote.weight, vote.weight * vote.margin / vote.weight
        return {vote.person: (vote.weight, share, margin, [vote.judgement])}
    listed: defaultdict[str, defaultdict[str, list[Vote]]] = defaultdict(lambda: defaultdict(list))
    for vote in votes:
        listed[vote.person][vote.judgement].append(vote)
    people: dict[str, _Person] = {}
    for person in sorted(listed):
        tickets = listed[person]
        everything = [vote for id in sorted(tickets) for vote in tickets[id]]
        total = sum(vote.weight for vote in everything)
        people[person] = (
            total / len(tickets),
            sum(vote.weight * vote.share for vote in everything) / total,
            sum(vote.weight * vote.margin for vote in everything) / total,
            sorted(tickets),
        )
    return people


def _heavier_side(by_person: Mapping[str, _Person], reliability: Mapping[str, float]) -> dict[str, _Person]:
    """The people of the side that weighs more, each as if wholly on it; nobody when both weigh the same."""
    lead = sum(
        weight * reliability.get(person, 1.0) * (share - 0.5) for person, (weight, share, _, _) in by_person.items()
    )
    if abs(lead) <= _ROUNDING:
        return {}
    return {
        person: (weight, 1.0 if lead > 0 else 0.0, margin, ids)
        for person, (weight, share, margin, ids) in by_person.items()
        if (share - 0.5) * lead > 0
    }
