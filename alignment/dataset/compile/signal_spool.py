"""Implicit signals of any number: on disk, and in memory only what must be known of all before one is weighed.

In memory are some two hundred bytes for each signal: the names of what was done about which answer, and how the
same person marked that answer. The rules are those of `implicit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.implicit import ImplicitSignal, Item, Said, signal_drafts, weights_of
from alignment.dataset.compile.rules import Rules, Signal
from alignment.dataset.compile.spread import Parts
from alignment.dataset.compile.survey import context_digest
from alignment.dataset.judgement import Judgement
from alignment.dataset.rows import MarkRow


class SignalSpool:
    """Takes every signal when it is made, then every judgement by `see`, then `weigh`; then it can give drafts."""

    def __init__(self, signals: Iterable[ImplicitSignal], scratch: Path, rules: Rules) -> None:
        self._rules = rules
        self._parts = Parts(scratch, "signals", ImplicitSignal)
        self._done: set[tuple[Signal, Item]] = set()
        self._marks: dict[Item, bool] = {}
        self._weights: dict[Signal, float] = {}
        self.skipped: Counter[str] = Counter()  # by reason, what was done with answers that are excluded
        try:
            for signal in signals if rules.implicit else ():
                if signal.excluded is not None and signal.signal in rules.implicit:
                    self.skipped[signal.excluded.value] += 1
                if signal.counts and signal.signal in rules.implicit:
                    self._parts.add(context_digest(signal.context), signal)
                    self._done.add((signal.signal, signal.item))
        finally:
            self._parts.close()
        self._said = Said(only={item for _, item in self._done})

    def see(self, judgement: Judgement) -> None:
        """Note how somebody marked an answer that they did something about."""
        if self._done:
            self._said.see(judgement)

    def weigh(self) -> None:
        """Every judgement has been seen: what each kind of signal weighs is known from here on."""
        self._marks = self._said.marks()
        self._weights = weights_of(self._done, self._marks, self._rules)
        self._done.clear()

    @property
    def numbers(self) -> set[int]:
        """The parts in which there may be drafts."""
        return self._parts.numbers if self._weights else set()

    def drafts(self, number: int) -> dict[bytes, list[Draft[MarkRow]]]:
        """The drafts of one part, by context; contexts without any are left out."""
        if number not in self.numbers:
            return {}
        drafted = {
            digest: signal_drafts(given, self._marks, self._weights, self._rules)
            for digest, given in self._parts.read(number).items()
        }
        return {digest: drafts for digest, drafts in drafted.items() if drafts}
