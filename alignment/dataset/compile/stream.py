"""All rows of any number of judgements, in memory that hardly grows with them.

Three looks, each in time that grows with the number of judgements alone:

1. every judgement is surveyed and put into one of a few files by the hash of its context (`parts`); signals,
   where the rules use any, are there before (`signal_spool`);
2. part by part, the rows of each context are drafted, because no rule about rows looks beyond one context;
3. the drafts come back in order and get their last weights.

In memory are what `survey` keeps (a few hundred bytes for each different prompt, some thirty for each
verdict, some two hundred for each signal) and one part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from alignment.dataset.compile.drafting import KINDS, Drafted, Rows, Scale, Totals, draft
from alignment.dataset.compile.drafts import AnyRow, Draft
from alignment.dataset.compile.implicit import ImplicitSignal
from alignment.dataset.compile.parts import Parts, Plain, messages_of, next_record, plain_context, write_record
from alignment.dataset.compile.plain import judgement_of, plain_judgement
from alignment.dataset.compile.rules import Rules
from alignment.dataset.compile.signal_spool import SignalSpool
from alignment.dataset.compile.survey import Survey, Surveyed
from alignment.dataset.judgement import Judgement, Message
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, Row, SftRow

_DEFAULT = Rules()
_ROWS: tuple[type[Any], ...] = (PairRow, MarkRow, SftRow, GroupRow)  # in the order of `KINDS`


class Stream:
    """One compilation on disk: `contexts` yields the rows in a canonical order, `ballots` are the survey's.

    `counts`: `judgements`, `scripted`, `by_kind`, `people`, `rows` (`pairs`, `marks`, `sft`, `groups`, each with
    `train` and `held_out`; pairs are those that a policy may learn from), `liked` (training marks that are good,
    signals among them), `reward_only` (the other pairs, by side), `implicit` (marks from signals),
    `pairs_by_origin`, `pair_weight` (sum over training pairs), `contradictions` (by kind of rows), `capped` (people
    scaled down, by kind of rows), `skipped` (by reason). Neither they nor the rows depend on the order of `source`.
    `seed` chooses which prompts are held out; signals count only as far as `rules` let them.
    `source` and `signals` are read once, here, and signals only where `rules` use any; `scratch` is an empty
    folder that may be removed when the rows have been read.
    """

    def __init__(
        self,
        source: Iterable[Judgement],
        scratch: Path,
        *,
        seed: int = 0,
        rules: Rules = _DEFAULT,
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
        totals = Totals(skipped=Counter(done.skipped))
        with self._spool.open("wb") as spool:
            for number in sorted(parts.numbers | done.numbers):
                _draft_part(parts.read(number), done.drafts(number), spool, surveyed, rules, totals)
                parts.remove(number)
        self.ballots = survey.ballots
        self._surveyed = surveyed
        self._scale = Scale.of(totals)
        self.counts: dict[str, Any] = {**survey.counts(), **totals.record(self._scale)}

    def contexts(self) -> Iterator[tuple[list[Judgement], Rows]]:
        """Every context's judgements, in the order of their ids, and its rows; contexts in a canonical order."""
        with self._spool.open("rb") as spool:
            while (record := next_record(spool)) is not None:
                plain, split, kinds, context = record
                judgements = [judgement_of(each) for each in plain]
                prompt = judgements[0].context if judgements else messages_of(context)
                yield judgements, self._scale.finish(_drafted(split, kinds, prompt))

    def side(self, judgement: Judgement) -> str:
        """`train` or `held_out`: where the rows of a judgement lie."""
        return self._surveyed.side(judgement.context)

    def rows(self, make: type[AnyRow], split: str) -> Iterator[AnyRow]:
        """The rows of one kind and side, in the order of `contexts`."""
        place = _ROWS.index(make)
        with self._spool.open("rb") as spool:
            while (record := next_record(spool)) is not None:
                plain, side, kinds, context = record
                if side == split and kinds[place]:
                    prompt = judgement_of(plain[0]).context if plain else messages_of(context)
                    yield from self._scale.rows(KINDS[place], _back(make, kinds[place], prompt), split)


def _spread(source: Iterable[Judgement], survey: Survey, done: SignalSpool, scratch: Path) -> Parts:
    """Survey every judgement and write it to its part."""
    parts = Parts(scratch, "part")
    try:
        for judgement in source:
            done.see(judgement)
            parts.add(survey.see(judgement), plain_judgement(judgement))
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
        judgements, done = [judgement_of(each) for each in plain], signals.get(digest, [])
        context = judgements[0].context if judgements else done[0].row.prompt
        drafted = draft(judgements, surveyed.side(context), surveyed.reliability, rules, totals, done)
        listed: tuple[Sequence[Draft[Any]], ...] = (drafted.pairs, drafted.marks, drafted.sft, drafted.groups)
        kinds = tuple(tuple((_row(each.row), each.parts) for each in drafts) for drafts in listed)
        alone = () if judgements else plain_context(context)  # no judgement beside it that has the context
        write_record(spool, (tuple(plain), drafted.split, kinds, alone))


def _row(row: Row) -> Plain:
    """A row's values in their order, but for the prompt, which is its context's."""
    return tuple(getattr(row, name) for name in row.__slots__[1:])


def _drafted(split: str, kinds: Any, prompt: tuple[Message, ...]) -> Drafted:
    pairs, marks, sft, groups = kinds
    return Drafted(
        split,
        _back(PairRow, pairs, prompt),
        _back(MarkRow, marks, prompt),
        _back(SftRow, sft, prompt),
        _back(GroupRow, groups, prompt),
    )


def _back(make: type[AnyRow], drafts: Any, prompt: tuple[Message, ...]) -> list[Draft[AnyRow]]:
    return [Draft(make(prompt, *values), parts) for values, parts in drafts]
