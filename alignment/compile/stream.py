"""The same rows as `compile_rows`, of any number of judgements, in memory that hardly grows with them.

Three looks, each in time that grows with the number of judgements alone:

1. every judgement is surveyed and put into one of `PARTS` files by the hash of its context;
2. part by part, the rows of each context are drafted, because no rule about rows looks beyond one context;
3. the drafts come back in order and get their last weights.

In memory are what `survey` keeps (a few hundred bytes for each different prompt, some thirty for each
verdict) and one part. Implicit signals are not taken here: their rule needs every mark at once.
"""

from __future__ import annotations

import marshal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from alignment.compile.compiled import DEFAULT
from alignment.compile.drafting import Drafted, Rows, Scale, Totals, draft
from alignment.compile.drafts import AnyRow, Draft
from alignment.compile.rules import Rules
from alignment.compile.survey import Survey, Surveyed
from alignment.judgement import Candidate, Judgement, Kind, Mark, Message, Strength
from alignment.rows import GroupRow, MarkRow, PairRow, Row, SftRow

PARTS = 256
Plain = tuple[Any, ...]  # what `marshal` takes: numbers, texts, None and tuples of them


class Stream:
    """One compilation on disk. `counts` are those of `Compiled`; `contexts` yields the rows.

    `source` is read once, here; `scratch` is an empty folder that may be removed when the rows have been read.
    """

    def __init__(self, source: Iterable[Judgement], scratch: Path, *, seed: int = 0, rules: Rules = DEFAULT) -> None:
        self._spool = scratch / "drafts"
        survey = Survey()
        parts = _spread(source, survey, scratch)
        surveyed = survey.result(seed, reliability=rules.reliability)
        totals = Totals()
        with self._spool.open("wb") as spool:
            for path in parts:
                _draft_part(path, spool, surveyed, rules, totals)
                path.unlink()
        self._scale = Scale.of(totals)
        self.counts: dict[str, Any] = {**survey.counts(), **totals.record(self._scale)}

    def contexts(self) -> Iterator[tuple[list[Judgement], Rows]]:
        """Every context's judgements, in the order of their ids, and its rows; contexts in a canonical order."""
        with self._spool.open("rb") as spool:
            while (record := _next(spool)) is not None:
                plain, split, kinds = record
                judgements = [_judgement(each) for each in plain]
                yield judgements, self._scale.finish(_drafted(split, kinds, judgements[0].context))


def _spread(source: Iterable[Judgement], survey: Survey, scratch: Path) -> list[Path]:
    """Survey every judgement and write it to its part; the parts, in the order of contexts."""
    paths = [scratch / f"part-{number:03d}" for number in range(PARTS)]
    files: dict[int, BinaryIO] = {}
    try:
        for judgement in source:
            digest = survey.see(judgement)
            number = digest[0] * PARTS // 256
            if number not in files:
                files[number] = paths[number].open("wb")
            marshal.dump((digest, _plain(judgement)), files[number])
    finally:
        for file in files.values():
            file.close()
    return [paths[number] for number in sorted(files)]


def _draft_part(path: Path, spool: BinaryIO, surveyed: Surveyed, rules: Rules, totals: Totals) -> None:
    contexts: defaultdict[bytes, list[Plain]] = defaultdict(list)
    with path.open("rb") as file:
        while (record := _next(file)) is not None:
            contexts[record[0]].append(record[1])
    for digest in sorted(contexts):
        plain = sorted(contexts[digest], key=lambda each: str(each[0]))
        judgements = [_judgement(each) for each in plain]
        drafted = draft(judgements, surveyed.side(judgements[0].context), surveyed.reliability, rules, totals)
        listed: tuple[Sequence[Draft[Any]], ...] = (drafted.pairs, drafted.marks, drafted.sft, drafted.groups)
        kinds = tuple(tuple((_row(each.row), each.parts) for each in drafts) for drafts in listed)
        marshal.dump((tuple(plain), drafted.split, kinds), spool)


def _next(file: BinaryIO) -> Any:
    try:
        return marshal.load(file)
    except EOFError:
        return None


def _plain(judgement: Judgement) -> Plain:
    return (
        judgement.id,
        judgement.task,
        judgement.person,
        judgement.kind.value,
        tuple((message.role, message.content) for message in judgement.context),
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
        context=tuple(Message(role, content) for role, content in context),
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
