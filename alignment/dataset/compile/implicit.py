"""What people do without being asked: typed signals, off unless asked for and shown to agree with votes.

Rules, in full:

- A signal speaks for an answer (`copy`, `thanks`) or against it (`retry`, `stop`, `edit`, `abandoned`). An
  edit counts from `EDIT_FROM` of the text on.
- A kind of signal is used only where it is switched on (`Rules.implicit`) and where, on at least
  `OVERLAP_FROM` answers that the same person also marked good or bad, it agrees with the mark so often that
  the lower 95 % bound of its agreement (Wilson, one-sided) lies above ½. One signal then weighs
  min(2 · bound − 1, 0.1).
- A signal on an answer that the same person marked says nothing more than the mark and is not used.
- A signal on an answer that is excluded (`alignment.dataset.judgement.Excluded`) is not used, and a mark on one says
  nothing about signals.
- All signals together weigh at most 10 % of the good and bad rows, and none is ever held out: what people
  said outright is the only evidence.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from alignment.dataset.compile.age import age_of, age_weight
from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.rules import Rules, Signal
from alignment.dataset.compile.survey import context_digest
from alignment.dataset.judgement import Excluded, Judgement, Mark, Message
from alignment.dataset.rows import MarkRow
from alignment.stats import ONE_SIDED_95, wilson_interval

OVERLAP_FROM = 100
MOST_WEIGHT = 0.1
MOST_SHARE = 0.1
EDIT_FROM = 0.2
IMPLICIT = "implicit"  # the origin of such rows
_FOR = frozenset({Signal.COPY, Signal.THANKS})


@dataclass(frozen=True, slots=True)
class ImplicitSignal:
    """One thing that somebody did with one answer. `amount` is an edit's distance as a share of the text."""

    id: str
    person: str
    signal: Signal
    context: tuple[Message, ...]
    text: str
    version: str = ""
    amount: float = 1.0
    excluded: Excluded | None = None

    @property
    def good(self) -> bool:
        """Whether it speaks for the answer."""
        return self.signal in _FOR

    @property
    def counts(self) -> bool:
        """Whether it says anything: a small edit does not, nor does anything done with an answer that is excluded."""
        return self.excluded is None and (self.signal is not Signal.EDIT or self.amount >= EDIT_FROM)

    @property
    def item(self) -> Item:
        """What it is about."""
        return item_of(self.person, context_digest(self.context), self.text)


Item = bytes  # 128 bits that name a person, a context and an answer, so that texts need not be kept
Marks = Mapping[Item, bool]


def item_of(person: str, digest: bytes, text: str) -> Item:
    """The name of one person's look at one answer; `digest` is the context's."""
    content = b"\0".join(each.encode("utf-8", "surrogatepass") for each in (person, text))
    return hashlib.blake2b(digest + content, digest_size=16).digest()


@dataclass
class Said:
    """What each person said outright about which answer, taken in one judgement after the other.

    `only`: the items to be remembered; None for all.
    """

    only: Set[Item] | None = None
    _good: set[Item] = field(default_factory=set)
    _bad: set[Item] = field(default_factory=set)

    def see(self, judgement: Judgement) -> None:
        """Take note of one judgement's marks."""
        if judgement.cannot_judge or judgement.repeat:
            return
        for candidate in judgement.candidates:
            if candidate.mark is not None and candidate.excluded is None:
                item = item_of(judgement.person, context_digest(judgement.context), candidate.text)
                if self.only is None or item in self.only:
                    (self._good if candidate.mark is Mark.GOOD else self._bad).add(item)

    def marks(self) -> dict[Item, bool]:
        """Good or bad by item; one who said both said nothing."""
        return {item: item in self._good for item in self._good ^ self._bad}


def signal_weights(signals: Iterable[ImplicitSignal], marks: Marks, rules: Rules) -> dict[Signal, float]:
    """What one signal of each kind that may be used weighs."""
    return weights_of({(each.signal, each.item) for each in signals if each.counts}, marks, rules)


def weights_of(done: Set[tuple[Signal, Item]], marks: Marks, rules: Rules) -> dict[Signal, float]:
    """`signal_weights` from what was done about which answers."""
    trials: Counter[Signal] = Counter()
    agreed: Counter[Signal] = Counter()
    for kind, item in done:
        mark = marks.get(item)
        if kind in rules.implicit and mark is not None:
            trials[kind] += 1
            agreed[kind] += mark is (kind in _FOR)
    weights = {}
    for kind, count in trials.items():
        bound = wilson_interval(agreed[kind], count, ONE_SIDED_95)[0]
        if count >= OVERLAP_FROM and bound > 0.5:
            weights[kind] = min(2.0 * bound - 1.0, MOST_WEIGHT)
    return weights


def signal_drafts(
    signals: Iterable[ImplicitSignal], marks: Marks, weights: Mapping[Signal, float], rules: Rules
) -> list[Draft[MarkRow]]:
    """One row for every signal that counts on an answer that its person did not mark."""
    drafts = []
    for signal in sorted(signals, key=lambda each: each.id):
        weight = weights.get(signal.signal, 0.0)
        if not weight or not signal.counts or signal.item in marks:
            continue
        if signal.good and not signal.text.strip():
            continue
        row = MarkRow(
            prompt=signal.context,
            completion=signal.text,
            label=signal.good,
            weight=weight,
            judgements=(signal.id,),
            age_weight=age_weight(age_of((signal.version,), rules)),
            origin=IMPLICIT,
        )
        drafts.append(Draft(row, ((signal.person, weight),)))
    return drafts


def implicit_scale(explicit: float, implicit: float) -> float:
    """What implicit rows are multiplied with, so that they weigh at most 10 % of all."""
    most = explicit * MOST_SHARE / (1.0 - MOST_SHARE)
    return min(1.0, most / implicit) if implicit > 0 else 1.0
