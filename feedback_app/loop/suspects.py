"""Accounts that an operator should look at: found over what a round would be compiled from, and said in words.

The rules are `alignment.suspects`'. What may not be done here: setting anybody aside; that is an operator's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alignment.dataset.compile.survey import Survey
from alignment.dataset.judgement import Judgement
from alignment.suspects import outvoted_on, pairs_of, pulling
from alignment.suspects.outvoted import SHARED_FROM, counted
from alignment.suspects.preference import WIDTH
from alignment.suspects.unconfirmed import Corrections, unconfirmed_among
from feedback_app.loop.rules import heard, set_aside
from feedback_app.store.database import Store
from feedback_app.store.tables import Round

QUICK = "Influence was not looked at."


@dataclass(frozen=True, slots=True)
class Flag:
    """An account to look at: the person's name, the rule that found it, and what it found. `p` is its chance."""

    person: str
    rule: str
    words: str
    share: float
    count: int
    p: float


@dataclass(frozen=True, slots=True)
class Suspects:
    """What was found; `set_aside` counts the judgements left out, `notes` say what could not be looked at."""

    judgements: int
    people: int
    set_aside: int
    flags: Sequence[Flag]
    notes: Sequence[str]


def suspects(store: Store, model: str, *, quick: bool = False) -> Suspects:
    """The flags on the live judgements, worst first by rule, as a round would freeze them now.

    `model` is the base model, whose view of the answers influence needs; `quick` leaves influence out. Raises
    `StageError` when the model cannot be loaded.
    """
    watermark, aside, left_out = store.judgements.watermark(), set_aside(store), Counter[str]()
    survey, corrections = Survey(), Corrections()
    for judgement in heard(store.judgements.export(watermark), aside, left_out):
        survey.see(judgement)
        corrections.see(judgement)

    def again() -> Iterator[Judgement]:
        return heard(store.judgements.export(watermark), aside, Counter())

    flags, notes = outvoted_on(survey.ballots) + unconfirmed_among(corrections, again()), []
    shared, _ = counted(survey.ballots)
    if max(shared.values(), default=0) < SHARED_FROM:
        notes.append(f"Nobody shares {SHARED_FROM} verdicts with others, so who is outvoted cannot be said.")
    if quick:
        notes.append(QUICK)
    else:
        pairs = pairs_of(again())
        flags += pulling(pairs, model)
        if len(pairs) <= WIDTH:
            notes.append(f"Influence needs more than {WIDTH} pairs, and there are {len(pairs)}.")
    names = {person.id: person.name for person in store.people.listing()}
    counts = survey.counts()
    return Suspects(
        judgements=counts["judgements"],
        people=counts["people"],
        set_aside=left_out.total(),
        flags=[
            Flag(
                person=names[flag.person],
                rule=flag.rule,
                words=words(flag.rule, flag.share, flag.count, flag.about),
                share=flag.share,
                count=flag.count,
                p=flag.p,
            )
            for flag in flags
        ],
        notes=notes,
    )


def words(rule: str, share: float, count: int, about: str = "") -> str:
    """What a rule found, in a few words."""
    match rule:
        case "outvoted":
            return f"outvoted in {share:.0%} of {count} shared verdicts"
        case "influential":
            return f"{share:.1f} times the influence of {count} random pairs"
        case "unconfirmed":
            return f"{share:.0%} of {count} corrections that others compared are preferred by nobody"
        case "wording":
            return f"pushes “{about}” in {share:.0%} of {count} pairs"
        case _:
            return f"{rule}: {share:.2f}, {count}"


def kept_flags(round_: Round) -> Mapping[str, str]:
    """What was found when a round was frozen: by the ids of people, in words."""
    found = (round_.rows or {}).get("suspects") or ()
    return {each["person"]: words(each["rule"], each["share"], each["count"]) for each in found}


def chance(p: float) -> str:
    """A chance as people read it: "0.0030", "below 0.000001"."""
    if p < 1e-6:
        return "below 0.000001"
    return f"{p:.{1 - math.floor(math.log10(p))}f}"
