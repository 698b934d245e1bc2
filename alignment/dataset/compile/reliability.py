"""How far each person's judgements can be relied on, from what is known of them.

Weight 2a − 1 for accuracy a: the weight of a voter who errs with chance 1 − a (Nitzan and Paroush 1982,
International Economic Review 23:289, to first order), 0 for someone who chooses blindly. Three things tell
a person's a, each pulled towards `PRIOR` as if by `PRIOR_JUDGEMENTS` more judgements:

- gold: verdicts on tasks whose answer is known; they tell this and nothing else, and never become a row;
- repeats: the same thing judged twice, as Compare asks now and then; the second verdict tells this and
  nothing else. Two verdicts of accuracy a agree with chance c = a² + (1 − a)², so a = (1 + √(2c − 1)) / 2;
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
from collections.abc import Iterable, Iterator
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

    def shared(self) -> Iterator[list[tuple[str, list[int]]]]:
        """The items with at least two words: each the people, in order of id, with their words.

        In an order that depends on the items alone. One item at a time: of many judgements most may be shared.
        """
        import numpy as np

        values = np.frombuffer(self._items, dtype=np.uint64)
        order = np.argsort(values, kind="stable")
        values = values[order]
        new = np.ones(len(values), dtype=bool)
        new[1:] = values[1:] != values[:-1]
        begins = np.flatnonzero(new)
        ends = np.append(begins[1:], len(values))
        several = ends - begins > 1
        names = list(self.people)
        for begin, end in zip(begins[several], ends[several], strict=True):
            words: defaultdict[str, list[int]] = defaultdict(list)
            for place in order[begin:end].tolist():
                words[names[self._who[place]]].append(self._words[place])
            yield [(person, sorted(words[person])) for person in sorted(words)]


@dataclass(frozen=True, slots=True)
class Known:
    """Trials and successes of one person: of gold and repeats, and of agreement with others."""

    trials: float = 0.0
    right: float = 0.0
    shared: float = 0.0
    agreed: float = 0.0


def person_weights(ballots: Ballots) -> dict[str, float]:
    """Every person's weight, with mean 1 over their judgements."""
    agreed = _agreement(ballots)
    hard = _repeats(ballots.shared())
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


def _repeats(items: Iterable[list[tuple[str, list[int]]]]) -> dict[str, tuple[float, float]]:
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


def _agreement(ballots: Ballots) -> dict[str, tuple[float, float]]:
    """Shared items and the expected number of right words on them, by person."""
    import numpy as np

    names = sorted(ballots.people)
    places = {person: place for place, person in enumerate(names)}
    item_of, who_of, word_of, items = array("I"), array("I"), array("b"), 0
    for item in ballots.shared():
        words = [(person, (sum(each) > 0) - (sum(each) < 0)) for person, each in item]
        words = [(person, word) for person, word in words if word]
        if len(words) > 1:
            item_of.extend([items] * len(words))
            who_of.extend([places[person] for person, _ in words])
            word_of.extend([word for _, word in words])
            items += 1
    if not items:
        return {}
    of, who, word = (np.frombuffer(each, dtype=each.typecode) for each in (item_of, who_of, word_of))
    shared = np.bincount(who, minlength=len(names))
    accuracy = [PRIOR] * len(names)
    right: list[float] = []
    for _ in range(STEPS):
        odds = np.array([math.log(a / (1.0 - a)) for a in accuracy])
        votes = np.bincount(of, weights=word * odds[who], minlength=items)
        # Not NumPy's exponential: its last bit depends on the processor, and equal input is to give equal bytes.
        up = np.array([1.0 / (1.0 + math.exp(-vote)) for vote in votes.tolist()])[of]
        right = np.bincount(who, weights=np.where(word > 0, up, 1.0 - up), minlength=len(names)).tolist()
        accuracy = [
            _clip((PRIOR * PRIOR_JUDGEMENTS + fits) / (PRIOR_JUDGEMENTS + times))
            for fits, times in zip(right, shared.tolist(), strict=True)
        ]
    return {
        person: (float(times), fits)
        for person, times, fits in zip(names, shared.tolist(), right, strict=True)
        if times >= AGREEMENT_FROM
    }


def _clip(accuracy: float) -> float:
    return min(_SURE, max(1.0 - _SURE, accuracy))
