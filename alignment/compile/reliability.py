"""How far each person's judgements can be relied on, from what is known of them.

Weight 2a − 1 for accuracy a: the weight of a voter who errs with chance 1 − a (Nitzan and Paroush 1982,
International Economic Review 23:289, to first order), 0 for someone who chooses blindly. Three things tell
a person's a, each pulled towards `PRIOR` as if by `PRIOR_JUDGEMENTS` more judgements:

- gold: verdicts on tasks whose answer is known; they tell this and nothing else, and never become a row;
- repeats: the same thing judged twice. Two verdicts of accuracy a agree with chance c = a² + (1 − a)², so
  a = (1 + √(2c − 1)) / 2;
- agreement with the others on shared tasks, by the one-coin model of Dawid and Skene (1979, Applied
  Statistics 28:20), a fixed number of EM steps, from
  `AGREEMENT_FROM` shared things on: a few different opinions say nothing about a person.

Gold and repeats lower the weight freely, to 0.1 at least. Mere disagreement lowers it to ½ and no further:
a minority taste is not noise. Weights are then scaled to mean 1 over all judgements, so that nothing
changes where nothing is known.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field

PRIOR = 0.85
PRIOR_JUDGEMENTS = 6.0
AGREEMENT_FROM = 10
FLOOR = 0.1
DISAGREEMENT_FLOOR = 0.5
STEPS = 20
_SURE = 0.98  # nobody is taken to be surer than this; keeps the logarithms finite


@dataclass
class Ballots:
    """Every strict word on something that may be shared, in a few bytes each.

    An item is a 64-bit hash of what was judged; a word is +1 or −1. `gold` counts (right, all) by person.
    """

    people: dict[str, int] = field(default_factory=dict)
    judgements: Counter[str] = field(default_factory=Counter)
    gold: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    _items: array[int] = field(default_factory=lambda: array("Q"))
    _who: array[int] = field(default_factory=lambda: array("I"))
    _words: array[int] = field(default_factory=lambda: array("b"))

    def count(self, person: str, gold: bool | None) -> None:
        """One judgement of this person."""
        self.judgements[person] += 1
        if gold is not None:
            self.gold[person][0] += gold
            self.gold[person][1] += 1

    def add(self, item: int, person: str, word: int) -> None:
        """One strict word on one item."""
        self._items.append(item)
        self._who.append(self.people.setdefault(person, len(self.people)))
        self._words.append(word)

    def shared(self) -> list[list[tuple[str, list[int]]]]:
        """The items with at least two words: each the people, in order of id, with their words.

        In an order that depends on the items alone.
        """
        times = _more_than_once(self._items)
        names = list(self.people)
        items: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for item, who, word in zip(self._items, self._who, self._words, strict=True):
            if item in times:
                items[item][names[who]].append(word)
        return [[(person, sorted(items[item][person])) for person in sorted(items[item])] for item in sorted(items)]


@dataclass(frozen=True, slots=True)
class Known:
    """Trials and successes of one person: of gold and repeats, and of agreement with others."""

    trials: float = 0.0
    right: float = 0.0
    shared: float = 0.0
    agreed: float = 0.0


def person_weights(ballots: Ballots) -> dict[str, float]:
    """Every person's weight, with mean 1 over their judgements."""
    items = ballots.shared()
    agreed = _agreement(items)
    hard = _repeats(items)
    raw = {}
    for person in sorted(ballots.judgements):
        trials, right = hard.get(person, (0.0, 0.0))
        gold_right, gold_all = ballots.gold.get(person, (0, 0))
        shared, fits = agreed.get(person, (0.0, 0.0))
        raw[person] = weight_of(Known(trials + gold_all, right + gold_right, shared, fits))
    # Summed as differences from the prior, so that where nothing is known every weight is exactly 1.
    unknown = weight_of(Known())
    count = sum(ballots.judgements.values())
    mean = unknown + math.fsum(ballots.judgements[p] * (raw[p] - unknown) for p in raw) / count if count else unknown
    return {person: weight / mean for person, weight in raw.items()}


def weight_of(known: Known) -> float:
    """2a − 1 by the rules above, in [0.1, 1], not yet scaled."""
    hard = _weight(known.right, known.trials)
    everything = _weight(known.right + known.agreed, known.trials + known.shared)
    if everything < hard:
        everything = max(everything, min(hard, DISAGREEMENT_FLOOR))
    return max(FLOOR, everything)


def _weight(right: float, trials: float) -> float:
    return 2.0 * (PRIOR * PRIOR_JUDGEMENTS + right) / (PRIOR_JUDGEMENTS + trials) - 1.0


def _repeats(items: list[list[tuple[str, list[int]]]]) -> dict[str, tuple[float, float]]:
    """Trials and successes by person, from things that the same person judged more than once."""
    found: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for item in items:
        for person, words in item:
            if len(words) > 1:
                ups, downs = words.count(1), words.count(-1)
                pairs = len(words) * (len(words) - 1) / 2
                equal = (ups * (ups - 1) + downs * (downs - 1)) / 2
                found[person][0] += len(words) - 1
                found[person][1] += (len(words) - 1) * equal / pairs
    return {
        person: (trials, trials * (1.0 + math.sqrt(max(0.0, 2.0 * same / trials - 1.0))) / 2.0)
        for person, (trials, same) in found.items()
    }


def _agreement(items: list[list[tuple[str, list[int]]]]) -> dict[str, tuple[float, float]]:
    """Shared items and the expected number of right words on them, by person."""
    ballots = []
    for item in items:
        words = [(person, (sum(each) > 0) - (sum(each) < 0)) for person, each in item]
        words = [(person, word) for person, word in words if word]
        if len(words) > 1:
            ballots.append(words)
    shared = Counter(person for words in ballots for person, _ in words)
    accuracy = dict.fromkeys(shared, PRIOR)
    right: dict[str, float] = {}
    for _ in range(STEPS if ballots else 0):
        odds = {person: math.log(a / (1.0 - a)) for person, a in accuracy.items()}
        right = dict.fromkeys(shared, 0.0)
        for words in ballots:
            up = 1.0 / (1.0 + math.exp(-sum(word * odds[person] for person, word in words)))
            for person, word in words:
                right[person] += up if word > 0 else 1.0 - up
        accuracy = {
            person: _clip((PRIOR * PRIOR_JUDGEMENTS + right[person]) / (PRIOR_JUDGEMENTS + shared[person]))
            for person in shared
        }
    return {person: (float(shared[person]), right[person]) for person in right if shared[person] >= AGREEMENT_FROM}


def _clip(accuracy: float) -> float:
    return min(_SURE, max(1.0 - _SURE, accuracy))


def _more_than_once(items: array[int]) -> set[int]:
    seen: set[int] = set()
    again: set[int] = set()
    for item in items:
        (again if item in seen else seen).add(item)
    return again
