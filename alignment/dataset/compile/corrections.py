"""Answers that a person rewrote: the corrected over the original, and a text worth imitating.

Rules, in full:

- A correction that only changes Unicode form, case, white space or final punctuation is dropped.
- It trains at once where a trusted person wrote it (`Rules.trusted`), else when a second person prefers
  it: who marks the corrected text good on the same context, ranks it above the original there, or wrote
  the same correction.
- The corrected answer is preferred to the original where the model ended that itself, with weight and
  margin 1, and becomes an SFT row whether or not it did. The same correction by several people is one row,
  at most as heavy as two.
- A text that somebody found bad together with every other answer of a comparison ("both bad") is never an
  SFT target.

All judgements that are given here share one context.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from alignment.dataset.compile.age import age_of, age_weight
from alignment.dataset.compile.drafts import Draft
from alignment.dataset.compile.pairs import strict_pairs
from alignment.dataset.compile.ranked_groups import usable
from alignment.dataset.compile.rules import Rules
from alignment.dataset.compile.shares import Opinion, Vote, opinion_of
from alignment.dataset.compile.text import corrects
from alignment.dataset.compile.weights import CLEAR_MARGIN, CLEAR_WEIGHT
from alignment.dataset.judgement import Candidate, Judgement, Kind, Mark, Message
from alignment.dataset.rows import PairRow, SftRow

Said = tuple[str, str]  # person, judgement


def correction_drafts(
    context: tuple[Message, ...],
    judgements: Sequence[Judgement],
    reliability: Mapping[str, float],
    rules: Rules,
    skipped: Counter[str],
) -> tuple[list[Draft[PairRow]], list[Draft[SftRow]]]:
    """The pairs and SFT rows of one context's corrections; `skipped` counts what became none, by reason."""
    written = _written(judgements, skipped)
    if not written:
        return [], []
    liked, above = _praised(judgements), _above(judgements)
    hopeless = _all_bad(judgements)
    authors_of: defaultdict[str, set[Said]] = defaultdict(set)
    for (_, text), authors in written.items():
        authors_of[text] |= {said for said, _ in authors}
    targets: defaultdict[str, dict[Said, set[Said]]] = defaultdict(dict)
    pairs: list[Draft[PairRow]] = []
    for (original, text), authors in sorted(written.items()):
        praise = liked[_bare(text)] | above[_bare(text), _bare(original)] | authors_of[text]
        trains: dict[Said, set[Said]] = {}
        for said, _ in authors:
            seconds = {other for other in praise if other[0] != said[0]}
            if said[0] in rules.trusted or seconds:
                trains[said] = seconds
        skipped["correction_waits_for_a_second_person"] += len(authors) - len(trains)
        if not trains:
            continue
        targets[text] |= trains
        shown = [candidate for said, candidate in authors if said in trains and usable(candidate)]
        if not shown:
            skipped["not_finished"] += 1
            continue
        opinion = _opinion(trains, reliability)
        row = PairRow(
            prompt=context,
            chosen=text,
            rejected=original,
            weight=opinion.weight,
            margin=CLEAR_MARGIN,
            judgements=_names(trains),
            origin="correction",
            age_weight=age_weight(min(age_of((candidate.version,), rules) for candidate in shown)),
        )
        pairs.append(Draft(row, opinion.parts))
    return pairs, _sft(context, targets, hopeless, reliability, skipped)


def _sft(
    context: tuple[Message, ...],
    targets: Mapping[str, dict[Said, set[Said]]],
    hopeless: set[str],
    reliability: Mapping[str, float],
    skipped: Counter[str],
) -> list[Draft[SftRow]]:
    drafts = []
    for text, trains in sorted(targets.items()):
        if _bare(text) in hopeless:
            skipped["correction_found_bad"] += 1
            continue
        opinion = _opinion(trains, reliability)
        row = SftRow(prompt=context, completion=text, weight=opinion.weight, judgements=_names(trains))
        drafts.append(Draft(row, opinion.parts))
    return drafts


def _written(
    judgements: Sequence[Judgement], skipped: Counter[str]
) -> dict[tuple[str, str], list[tuple[Said, Candidate]]]:
    """Corrections that change something: original and corrected text, with who wrote them."""
    written: defaultdict[tuple[str, str], list[tuple[Said, Candidate]]] = defaultdict(list)
    for judgement in judgements:
        for candidate in judgement.candidates:
            text = candidate.correction
            if judgement.cannot_judge or text is None:
                continue
            if not corrects(text, candidate.text):
                skipped["correction_changes_nothing"] += 1
            else:
                written[candidate.text, text].append(((judgement.person, judgement.id), candidate))
    return dict(written)


def _praised(judgements: Sequence[Judgement]) -> defaultdict[str, set[Said]]:
    """Who marked which text good."""
    found: defaultdict[str, set[Said]] = defaultdict(set)
    for judgement in judgements:
        for candidate in judgement.candidates:
            if candidate.mark is Mark.GOOD and not judgement.cannot_judge:
                found[_bare(candidate.text)].add((judgement.person, judgement.id))
    return found


def _above(judgements: Sequence[Judgement]) -> defaultdict[tuple[str, str], set[Said]]:
    """Who ranked which text above which other."""
    found: defaultdict[tuple[str, str], set[Said]] = defaultdict(set)
    for judgement in judgements:
        if judgement.kind is not Kind.LIKE and not judgement.cannot_judge:
            for better, worse in strict_pairs(judgement):
                found[_bare(better.text), _bare(worse.text)].add((judgement.person, judgement.id))
    return found


def _all_bad(judgements: Sequence[Judgement]) -> set[str]:
    """The texts of comparisons and rankings whose every answer was marked bad."""
    return {
        _bare(candidate.text)
        for judgement in judgements
        if judgement.kind is not Kind.LIKE
        and not judgement.cannot_judge
        and all(candidate.mark is Mark.BAD for candidate in judgement.candidates)
        for candidate in judgement.candidates
    }


def _opinion(trains: Mapping[Said, set[Said]], reliability: Mapping[str, float]) -> Opinion:
    opinion = opinion_of((Vote(person, id, CLEAR_WEIGHT, 1.0) for person, id in trains), reliability)
    assert opinion is not None  # every vote is for the correction
    return opinion


def _names(trains: Mapping[Said, set[Said]]) -> tuple[str, ...]:
    """The judgements behind a row: those that wrote it and those that let it train."""
    return tuple(sorted({id for said, seconds in trains.items() for _, id in (said, *seconds)}))


def _bare(text: str) -> str:
    return " ".join(text.split())
