"""What the compiler is told of the world: whom operators trust or set aside, how often each version was replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from alignment.dataset.compile import Contradictions, Rules
from alignment.dataset.compile.implicit import ImplicitSignal
from alignment.dataset.judgement import Judgement
from alignment.terms import Setting
from feedback_app.domain.judging import Signal
from feedback_app.domain.versions import PublicationReason
from feedback_app.errors import UsageError
from feedback_app.store.database import Store
from feedback_app.store.people import is_trusted

CONTRADICTIONS = "contradictions"  # a round's own setting: weights (default), majority or drop
PROMOTED = (PublicationReason.PROMOTED, PublicationReason.OPERATOR)

Given = TypeVar("Given", Judgement, ImplicitSignal)


def rules_of(store: Store, settings: Mapping[str, Setting] | None = None, signals: Iterable[str] = ()) -> Rules:
    """The rules of a compilation now. `settings` are a round's, `signals` the kinds of implicit ones that may be used.

    Raises `UsageError` on a word that is none.
    """
    return Rules(
        trusted=frozenset(
            person.id for person in store.people.listing() if is_trusted(person) and person.withdrawn_at is None
        ),
        contradictions=contradictions_of(settings or {}),
        promotions=promotions_since(store),
        implicit=frozenset(map(Signal, signals)),
    )


def set_aside(store: Store) -> frozenset[str]:
    """The ids of those whose judgements an operator has set aside."""
    return frozenset(person.id for person in store.people.listing() if person.set_aside_at is not None)


def heard(given: Iterable[Given], aside: frozenset[str], left_out: Counter[str]) -> Iterator[Given]:
    """What a compilation may see: all but what those set aside have given, which is counted in `left_out` by person.

    A compilation then is that of a database without these, as it is after a withdrawal; but nothing is lost.
    """
    for each in given:
        if each.person in aside:
            left_out[each.person] += 1
        else:
            yield each


def signals_of(store: Store, rules: Rules) -> Iterator[ImplicitSignal]:
    """The signals that were kept, of the kinds that a compilation may use."""
    for kept in store.signals.export(sorted(rules.implicit)):
        yield ImplicitSignal(
            kept.id, kept.person, Signal(kept.kind), kept.context, kept.text, kept.version, kept.amount, kept.excluded
        )


def contradictions_of(settings: Mapping[str, Setting]) -> Contradictions:
    """How a round treats rows that contradict each other. Raises `UsageError`."""
    word = settings.get(CONTRADICTIONS, Contradictions.WEIGHTS)
    try:
        return Contradictions(str(word))
    except ValueError as error:
        words = ", ".join(Contradictions)
        raise UsageError(
            f"Contradictions cannot be treated as {word}. Set contradictions to one of: {words}."
        ) from error


def promotions_since(store: Store) -> dict[str, int]:
    """For each version, the promotions since `policy` last meant it (since it was made, where it never did)."""
    history = store.versions.history()[::-1]  # oldest first
    last = {publication.version: place for place, publication in enumerate(history)}
    since: dict[str, int] = {}
    for version in store.versions.listing(milestones=True):  # people judged those too
        place = last.get(version.name)
        later = (
            history[place + 1 :]
            if place is not None
            else [publication for publication in history if publication.at > version.created_at]
        )
        since[version.name] = sum(publication.reason in PROMOTED for publication in later)
    return since
