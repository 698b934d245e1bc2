"""The same rows as `compile_rows`, of any number of judgements, in memory that hardly grows with them.

Three looks, each in time that grows with the number of judgements alone:

1. every judgement is surveyed and put into one of a few files by the hash of its context (`parts`); signals,
   where the rules use any, are there before (`signal_spool`);
2. part by part, the rows of each context are drafted, because no rule about rows looks beyond one context;
3. the drafts come back in order and get their last weights.

In memory are what `survey` keeps (a few hundred bytes for each different prompt, some thirty for each
verdict, some two hundred for each signal) and one part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from alignment.compile.compiled import DEFAULT
from alignment.compile.drafting import Drafted, Rows, Scale, Totals, draft
from alignment.compile.drafts import AnyRow, Draft
from alignment.compile.implicit import ImplicitSignal
from alignment.compile.parts import Parts, Plain, messages_of, next_record, plain_context, write_record
from alignment.compile.rules import Rules
from alignment.compile.signal_spool import SignalSpool
from alignment.compile.survey import Survey, Surveyed
from alignment.judgement import Candidate, Judgement, Kind, Mark, Message, Strength
from alignment.rows import GroupRow, MarkRow, PairRow, Row, SftRow


class Stream:
    """One compilation on disk. `counts` are those of `Compiled`, `ballots` the survey's; `contexts` yields the rows.

    `source` and `signals` are read once, here, and signals only where `rules` use any; `scratch` is an empty
    folder that may be removed when the rows have been read.
    """

    def __init__(
        self,
        source: Iterable[Judgement],
        scratch: Path,
        *,
        seed: int = 0,
        rules: Rules = DEFAULT,
        signals: Iterable[ImplicitSignal] = (),
    ) -> None:
        self._spool = scratch / "drafts"
        survey = Survey()
        done = SignalSpool(signals, scratch, rules)
        parts = _spread(source, survey, done, scratch)
        done.weigh()
        for number in done.numbers:
            for drafts in done.drafts(number).values():
                survey.clusters.add_prompt(drafts[0].row.prompt)
        surveyed = survey.result(seed, reliability=rules.reliability)
        totals = Totals()
        with self._spool.open("wb") as spool:
            for number in sorted(parts.numbers | done.numbers):
                _draft_part(parts.read(number), done.drafts(number), spool, surveyed, rules, totals)
                parts.remove(number)
        self.ballots = survey.ballots
        self._scale = Scale.of(totals)
        self.counts: dict[str, Any] = {**survey.counts(), **totals.record(self._scale)}

    def contexts(self) -> Iterator[tuple[list[Judgement], Rows]]:
        """Every context's judgements, in the order of their ids, and its rows; contexts in a canonical order."""
        with self._spool.open("rb") as spool:
            while (record := next_record(spool)) is not None:
                plain, split, kinds, context = record
                judgements = [_judgement(each) for each in plain]
                prompt = judgements[0].context if judgements else messages_of(context)
                yield judgements, self._scale.finish(_drafted(split, kinds, prompt))


def _spread(source: Iterable[Judgement], survey: Survey, done: SignalSpool, scratch: Path) -> Parts:
    """Survey every judgement and write it to its part."""
    parts = Parts(scratch, "part")
    try:
        for judgement in source:
            done.see(judgement)
            parts.add(survey.see(judgement), _plain(judgement))
    finally:
        parts.close()
    return parts


def _draft_part(
    contexts: Mapping[bytes, list[Plain]],
    signals: Mapping[bytes, list[Draft[MarkRow]]],
    spool: BinaryIO,
    surveyed: Surveyed,
    rules: Rules,
    totals: Totals,
) -> None:
    for digest in sorted({*contexts, *signals}):
        plain = sorted(contexts.get(digest, []), key=lambda each: str(each[0]))
        judgements, done = [_judgement(each) for each in plain], signals.get(digest, [])
        context = judgements[0].context if judgements else done[0].row.prompt
        drafted = draft(judgements, surveyed.side(context), surveyed.reliability, rules, totals, done)
        listed: tuple[Sequence[Draft[Any]], ...] = (drafted.pairs, drafted.marks, drafted.sft, drafted.groups)
        kinds = tuple(tuple((_row(each.row), each.parts) for each in drafts) for drafts in listed)
        alone = () if judgements else plain_context(context)  # no judgement beside it that has the context
        write_record(spool, (tuple(plain), drafted.split, kinds, alone))


def _plain(judgement: Judgement) -> Plain:
    return (
        judgement.id,
        judgement.task,
        judgement.person,
        judgement.kind.value,
        plain_context(judgement.context),
        tuple(
            (
                candidate.id,
                candidate.text,
                candidate.version,
                candidate.position,
                candidate.finish_reason,
                candidate.rank,
                candidate.mark.value if candidate.mark is not None else None,
                candidate.correction,
            )
            for candidate in judgement.candidates
        ),
        judgement.conversation,
        judgement.strength.value if judgement.strength is not None else None,
        judgement.cannot_judge,
        judgement.scripted,
        judgement.at,
        tuple(judgement.reasons),
        judgement.comment,
        judgement.gold,
    )


_KINDS: dict[Any, Kind] = {kind.value: kind for kind in Kind}
_MARKS: dict[Any, Mark] = {mark.value: mark for mark in Mark}
_STRENGTHS: dict[Any, Strength] = {strength.value: strength for strength in Strength}


def _judgement(plain: Plain) -> Judgement:
    id, task, person, kind, context, candidates, conversation, strength, *rest = plain
    cannot_judge, scripted, at, reasons, comment, gold = rest
    return Judgement(
        id=id,
        task=task,
        person=person,
        kind=_KINDS[kind],
        context=messages_of(context),
        candidates=tuple(
            Candidate(name, text, version, position, finish, rank, _MARKS.get(mark), correction)
            for name, text, version, position, finish, rank, mark, correction in candidates
        ),
        conversation=conversation,
        strength=_STRENGTHS.get(strength),
        cannot_judge=cannot_judge,
        scripted=scripted,
        at=at,
        reasons=reasons,
        comment=comment,
        gold=gold,
    )


def _row(row: Row) -> Plain:
    """A row's values in their order, but for the prompt, which is its context's."""
    return tuple(getattr(row, name) for name in row.__slots__[1:])


def _drafted(split: str, kinds: Any, prompt: tuple[Message, ...]) -> Drafted:
    def back(make: type[AnyRow], drafts: Any) -> list[Draft[AnyRow]]:
        return [Draft(make(prompt, *values), parts) for values, parts in drafts]

    pairs, marks, sft, groups = kinds
    return Drafted(split, back(PairRow, pairs), back(MarkRow, marks), back(SftRow, sft), back(GroupRow, groups))
