"""The rules of the compiler applied with everything in memory: what the stream from disk must give too."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from alignment.dataset.compile.drafted_context import Scale, Totals, draft
from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.implicit import ImplicitSignal, Item, Said, signal_drafts, signal_weights
from alignment.dataset.compile.rules import Rules
from alignment.dataset.compile.survey import Survey, context_digest
from alignment.dataset.judgement import Judgement
from alignment.dataset.rows import MarkRow
from tests.alignment.compiled import Compiled


def compiled_in_memory(
    judgements: Iterable[Judgement],
    *,
    seed: int = 0,
    rules: Rules | None = None,
    signals: Iterable[ImplicitSignal] = (),
) -> Compiled:
    """Rows and counts as `Stream` gives them, written down a second time."""
    rules = rules or Rules()
    listed, heard = list(judgements), list(signals)
    survey = Survey()
    contexts: defaultdict[bytes, list[Judgement]] = defaultdict(list)
    for judgement in listed:
        contexts[survey.see(judgement)].append(judgement)
    implicit = _signals(heard, listed, rules, survey)
    surveyed = survey.result(seed, reliability=rules.reliability)
    totals = Totals(
        skipped=Counter(
            each.excluded.value for each in heard if each.excluded is not None and each.signal in rules.implicit
        )
    )
    drafted = []
    for digest in sorted({*contexts, *implicit}):
        said, done = contexts.get(digest, []), implicit.get(digest, [])
        side = surveyed.side(said[0].context if said else done[0].row.prompt)
        drafted.append(draft(said, side, surveyed.reliability, rules, totals, done))
    scale = Scale.of(totals)
    rows = [scale.finish(each) for each in drafted]
    return Compiled(
        pairs=tuple(row for each in rows for row in each.pairs),
        marks=tuple(row for each in rows for row in each.marks),
        sft=tuple(row for each in rows for row in each.sft),
        groups=tuple(row for each in rows for row in each.groups),
        counts=totals.counts(scale, survey.counts()).to_record(),
    )


def _signals(
    signals: Iterable[ImplicitSignal], judgements: list[Judgement], rules: Rules, survey: Survey
) -> dict[bytes, list[Draft[MarkRow]]]:
    """What signals give, by context; nothing unless `rules` name some and votes agree with them."""
    listed = list(signals) if rules.implicit else []
    if not listed:
        return {}
    marks = explicit_marks(judgements)
    drafts = signal_drafts(listed, marks, signal_weights(listed, marks, rules), rules)
    contexts: defaultdict[bytes, list[Draft[MarkRow]]] = defaultdict(list)
    for each in drafts:
        survey.clusters.add_prompt(each.row.prompt)
        contexts[context_digest(each.row.prompt)].append(each)
    return dict(contexts)


def explicit_marks(judgements: Iterable[Judgement]) -> dict[Item, bool]:
    """What each person said outright about which answer."""
    said = Said()
    for judgement in judgements:
        said.see(judgement)
    return said.marks()
