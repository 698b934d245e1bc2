"""The rows of one context, drafted by every rule; and their last weights, once the whole is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alignment.dataset.compile.cap import balanced, person_factors
from alignment.dataset.compile.contradictions import settle_marks, settle_pairs
from alignment.dataset.compile.corrections import correction_drafts
from alignment.dataset.compile.drafts import AnyRow, Draft
from alignment.dataset.compile.implicit import IMPLICIT, implicit_scale
from alignment.dataset.compile.labels import mark_drafts
from alignment.dataset.compile.pairs import pair_drafts
from alignment.dataset.compile.ranked import group_drafts
from alignment.dataset.compile.rules import Rules
from alignment.dataset.counts import Counts, Heard, Sides
from alignment.dataset.judgement import Judgement
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, Row, SftRow

KINDS = ("pairs", "marks", "sft", "groups")


@dataclass(frozen=True, slots=True)
class Drafted:
    """Everything that one context gives, in an order that depends on the content alone."""

    split: str
    pairs: list[Draft[PairRow]]
    marks: list[Draft[MarkRow]]
    sft: list[Draft[SftRow]]
    groups: list[Draft[GroupRow]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Finished rows of one context."""

    pairs: list[PairRow]
    marks: list[MarkRow]
    sft: list[SftRow]
    groups: list[GroupRow]


@dataclass
class Totals:
    """What the second look adds up: how many rows, whose weight is how much in them, what became no row."""

    weights: dict[str, defaultdict[str, float]] = field(
        default_factory=lambda: {kind: defaultdict(float) for kind in KINDS}
    )
    implicit: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    training: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    rows: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    origins: Counter[str] = field(default_factory=Counter)
    reward_only: Counter[str] = field(default_factory=Counter)
    implicit_rows: int = 0
    liked: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    contradictions: Counter[str] = field(default_factory=Counter)

    def add(self, drafted: Drafted) -> None:
        """Count one context. Pairs are those that a policy may learn from; the others are counted apart."""
        for draft in drafted.pairs:
            if draft.row.reward_only:
                self.reward_only[drafted.split] += 1
                continue
            self.rows["pairs"][drafted.split] += 1
            self.origins[draft.row.origin] += 1
            if drafted.split == "train":
                _add(self.training, draft.parts)
        self.liked += sum(mark.row.label for mark in drafted.marks if drafted.split == "train")
        for mark in drafted.marks:
            if mark.row.origin == IMPLICIT:
                self.implicit_rows += 1
                _add(self.implicit, mark.parts)
        for kind in KINDS:
            drafts: Sequence[Draft[Any]] = getattr(drafted, kind)
            if kind != "pairs":
                self.rows[kind][drafted.split] += len(drafts)
            for each in drafts:
                _add(self.weights[kind], each.parts)

    def counts(self, scale: Scale, heard: Heard) -> Counts:
        """What became of the judgements that the survey counted."""
        if not scale.implicit:  # there is nothing said outright that they could be a tenth of
            self.rows["marks"]["train"] -= self.implicit_rows
            self.implicit_rows = 0
        weight = sum(amount * scale.factors["pairs"][person] for person, amount in sorted(self.training.items()))
        return Counts(
            judgements=heard.judgements,
            scripted=heard.scripted,
            by_kind=heard.by_kind,
            people=heard.people,
            rows={kind: _sides(counted) for kind, counted in self.rows.items()},
            liked=self.liked,
            reward_only=_sides(self.reward_only),
            implicit=self.implicit_rows,
            pairs_by_origin=dict(sorted(self.origins.items())),
            pair_weight=round(weight, 6),
            contradictions={kind: self.contradictions[kind] for kind in ("pairs", "marks")},
            capped={
                kind: sum(factor < 1.0 for factor in person_factors(self.weights[kind]).values()) for kind in KINDS
            },
            skipped={reason: count for reason, count in sorted(self.skipped.items()) if count},
        )


def _add(weights: defaultdict[str, float], parts: Iterable[tuple[str, float]]) -> None:
    for person, amount in parts:
        weights[person] += amount


def draft(
    judgements: Sequence[Judgement],
    split: str,
    reliability: Mapping[str, float],
    rules: Rules,
    totals: Totals,
    signals: Iterable[Draft[MarkRow]] = (),
) -> Drafted:
    """Draft the rows of one context. `judgements` are all there are on it; `signals` have been weighed already.

    Gold verdicts become no row: their answer was known before, and what they tell is in `reliability`. Nor do
    repeats: what their person said of it the first time is a row already. No rule ever sees an answer that is
    excluded, nor what somebody wrote in its place; `skipped` counts each by its reason.
    """
    trains = sorted((each for each in judgements if each.trains), key=lambda judgement: judgement.id)
    listed = [each for each in (_own(judgement, totals.skipped) for judgement in trains) if each.candidates]
    totals.skipped["gold"] += sum(each.gold is not None for each in judgements)
    totals.skipped["repeat"] += sum(each.repeat for each in judgements)
    pairs: list[Draft[PairRow]] = []
    marks: list[Draft[MarkRow]] = []
    sft: list[Draft[SftRow]] = []
    groups: list[Draft[GroupRow]] = []
    if listed:
        context = listed[0].context
        skipped, found = totals.skipped, totals.contradictions
        pairs = pair_drafts(context, listed, reliability, rules, skipped, found)
        corrected, sft = correction_drafts(context, listed, reliability, rules, skipped)
        pairs = settle_pairs([*pairs, *corrected], rules.contradictions, found, skipped)
        marks = mark_drafts(context, listed, reliability, rules, skipped, found)
        marks = settle_marks(marks, rules.contradictions, found, skipped)
        groups = group_drafts(context, listed, reliability)
    if split == "train":
        marks += signals
    drafted = Drafted(split, _ordered(pairs), _ordered(marks), _ordered(sft), _ordered(groups))
    totals.add(drafted)
    return drafted


def _own(judgement: Judgement, skipped: Counter[str]) -> Judgement:
    """The judgement without the answers that are not the model's own."""
    excluded = [candidate.excluded for candidate in judgement.candidates if candidate.excluded is not None]
    if not excluded:
        return judgement
    skipped.update(reason.value for reason in excluded)
    return replace(judgement, candidates=tuple(each for each in judgement.candidates if each.excluded is None))


@dataclass(frozen=True, slots=True)
class Scale:
    """The last weights: everybody's factor by kind of rows, and that of implicit rows."""

    factors: Mapping[str, Mapping[str, float]]
    implicit: float = 1.0

    @classmethod
    def of(cls, totals: Totals) -> Scale:
        """From what the second look found."""
        factors = {kind: balanced(totals.weights[kind]) for kind in KINDS}
        implicit = sum(amount * factors["marks"][person] for person, amount in totals.implicit.items())
        everything = sum(amount * factors["marks"][person] for person, amount in totals.weights["marks"].items())
        return cls(factors, implicit_scale(everything - implicit, implicit))

    def finish(self, drafted: Drafted) -> Rows:
        """The rows as they are written."""
        return Rows(
            pairs=self.rows("pairs", drafted.pairs, drafted.split),
            marks=self.rows("marks", drafted.marks, drafted.split),
            sft=self.rows("sft", drafted.sft, drafted.split),
            groups=self.rows("groups", drafted.groups, drafted.split),
        )

    def rows(self, kind: str, drafts: Iterable[Draft[AnyRow]], split: str) -> list[AnyRow]:
        """The rows of one of `KINDS` as they are written."""
        factors = self.factors[kind]
        rows = []
        for each in drafts:
            weight = each.row.weight
            if any(factors[person] != 1.0 for person, _ in each.parts):
                weight = sum(amount * factors[person] for person, amount in each.parts)
            if self.implicit != 1.0 and isinstance(each.row, MarkRow) and each.row.origin == IMPLICIT:
                weight *= self.implicit
                if not weight:  # there is nothing said outright that it could be a tenth of
                    continue
            rows.append(replace(each.row, weight=weight, split=split))
        return rows


def _sides(counted: Counter[str]) -> Sides:
    return Sides(counted["train"], counted["held_out"])


def _ordered(drafts: Iterable[Draft[AnyRow]]) -> list[Draft[AnyRow]]:
    return sorted(drafts, key=lambda draft: _sort_key(draft.row))


def _sort_key(row: Row) -> tuple[Any, ...]:
    match row:
        case PairRow():
            texts: tuple[Any, ...] = (row.chosen, row.rejected, row.origin)
        case MarkRow():
            texts = (row.completion, str(row.label), row.origin)
        case SftRow():
            texts = (row.completion,)
        case GroupRow():
            texts = row.completions
    return (texts, row.judgements, row.weight)
