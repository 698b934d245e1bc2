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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from alignment.dataset.compile.drafted_context import KINDS, Drafted, Rows, Scale, Totals, draft
from alignment.dataset.compile.drafts import AnyRow, Draft
from alignment.dataset.compile.implicit import ImplicitSignal
from alignment.dataset.compile.rules import Rules
from alignment.dataset.compile.signal_spool import SignalSpool
from alignment.dataset.compile.spool import Spool
from alignment.dataset.compile.spread import Parts
from alignment.dataset.compile.survey import Survey, Surveyed
from alignment.dataset.judgement import Judgement
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow

_DEFAULT = Rules()
_JUDGEMENTS, _DRAFTED = Spool(list[Judgement]), Spool(Drafted)  # for each context, the one behind the other
_ROWS: tuple[type[Any], ...] = (PairRow, MarkRow, SftRow, GroupRow)  # in the order of `KINDS`


class Stream:
    """One compilation on disk: `contexts` yields the rows in a canonical order, `ballots` are the survey's.

    Neither they nor `counts` depend on the order of `source`.
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
        self.counts = totals.counts(self._scale, survey.counts())

    def contexts(self) -> Iterator[tuple[list[Judgement], Rows]]:
        """Every context's judgements, in the order of their ids, and its rows; contexts in a canonical order."""
        with self._spool.open("rb") as spool:
            while (judgements := _JUDGEMENTS.next(spool)) is not None:
                yield judgements, self._scale.finish(_drafted(spool))

    def side(self, judgement: Judgement) -> str:
        """`train` or `held_out`: where the rows of a judgement lie."""
        return self._surveyed.side(judgement.context)

    def rows(self, make: type[AnyRow], split: str) -> Iterator[AnyRow]:
        """The rows of one kind and side, in the order of `contexts`."""
        kind = KINDS[_ROWS.index(make)]
        with self._spool.open("rb") as spool:
            while _JUDGEMENTS.skip(spool):
                drafted = _drafted(spool)
                if drafted.split == split:
                    yield from self._scale.rows(kind, getattr(drafted, kind), split)


def _drafted(spool: BinaryIO) -> Drafted:
    """What stands behind a context's judgements."""
    drafted = _DRAFTED.next(spool)
    assert drafted is not None
    return drafted


def _spread(source: Iterable[Judgement], survey: Survey, done: SignalSpool, scratch: Path) -> Parts[Judgement]:
    """Survey every judgement and write it to its part."""
    parts = Parts(scratch, "part", Judgement)
    try:
        for judgement in source:
            done.see(judgement)
            parts.add(survey.see(judgement), judgement)
    finally:
        parts.close()
    return parts


def _draft_part(
    contexts: Mapping[bytes, list[Judgement]],
    signals: Mapping[bytes, list[Draft[MarkRow]]],
    spool: BinaryIO,
    surveyed: Surveyed,
    rules: Rules,
    totals: Totals,
) -> None:
    for digest in sorted({*contexts, *signals}):
        judgements = sorted(contexts.get(digest, []), key=lambda judgement: judgement.id)
        done = signals.get(digest, [])
        context = judgements[0].context if judgements else done[0].row.prompt
        drafted = draft(judgements, surveyed.side(context), surveyed.reliability, rules, totals, done)
        _JUDGEMENTS.write(spool, judgements)
        _DRAFTED.write(spool, drafted)
