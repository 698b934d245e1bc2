"""Feedback into the database: as judgements, or as gold tasks, a group of pieces in one transaction.

Judgements are given by a person of their own, `imported`, or where the file says who rated, by one such person for
each rater, because likes and dislikes pair only within one person. The conversation's title keeps format and file.
A demonstration (an answer to imitate, compared with nothing) becomes the correction of an answer that no model
gave: that trains SFT, and makes neither a pair nor a mark, because nobody expressed one.

A piece that cannot be stored is told apart from its group and stops nothing. Whatever ends an import, groups that
were stored stay, and the next import of the same file brings the rest. Files are not read here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alignment.dataset.reading.feedback import Answer, Feedback, Skip, checked, two
from alignment.errors import UserFacingError
from feedback_app.collect.judge import fitting, judge, read_verdict
from feedback_app.domain.judging import Kind, Mark, kind_of
from feedback_app.errors import Conflict, UsageError
from feedback_app.store.imports import MOST, Brought, Judged, Outcome
from feedback_app.store.tables import Person, Ticket, new_id

if TYPE_CHECKING:
    from feedback_app.domain.verdicts import StoredVerdict
    from feedback_app.store.database import Store

T = TypeVar("T")
R = TypeVar("R")
Place = TypeVar("Place")

IMPORTER = "imported"
DEMONSTRATION, GOLD = "demonstration", "gold"
GROUP_CHARACTERS = 4_000_000  # of long texts fewer pieces make a group
LONGEST_COMMENT, LONGEST_REASON, MOST_REASONS = 4000, 100, 20  # what a verdict holds; more is cut
REFUSED = "a value that the database does not keep"
NOT_STORED = {
    Outcome.BEFORE: "imported before",
    Outcome.WITHDRAWN: "given by somebody who has withdrawn their judgements",
}
BROUGHT_BEFORE = "brought before"
BEFORE = (NOT_STORED[Outcome.BEFORE], BROUGHT_BEFORE)  # the reasons that say it is there already


@dataclass(frozen=True, slots=True)
class Origin:
    """Where feedback comes from: the format, which keeps raters of different tools apart, and the file's name."""

    format: str
    file: str

    @property
    def title(self) -> str:
        """What is kept of it with every conversation."""
        return f"{self.format}: {self.file}"

    def name_of(self, rater: str) -> str:
        """The name here of a rater; their own is not kept."""
        if not rater:
            return IMPORTER
        return f"{IMPORTER}-{hashlib.sha256(f'{self.format}:{rater}'.encode()).hexdigest()[:10]}"


@dataclass(frozen=True, slots=True)
class Written(Generic[Place]):
    """What became of one piece: `kind` says as what it was stored, or `problem` why it was not.

    `place` is whatever the piece was handed in with, for instance its line.
    """

    place: Place
    feedback: Feedback | None
    kind: str = ""
    problem: str = ""


def write_judgements(
    store: Store, pieces: Iterable[tuple[Place, Feedback | Skip]], origin: Origin
) -> Iterator[Written[Place]]:
    """Store feedback as judgements; says of each piece what became of it, in order, a group at a time.

    A `Skip` in place of feedback goes through as its problem. When `pieces` raises an error that people may see,
    what came before it is stored first.
    """
    return _in_groups(pieces, checked, lambda group: _judgements(store, group, origin))


def write_gold(
    store: Store, pieces: Iterable[tuple[Place, Feedback | Skip]], origin: Origin
) -> Iterator[Written[Place]]:
    """Store comparisons as gold tasks: the better answer of each is taken as known. Otherwise as `write_judgements`."""
    return _in_groups(pieces, known, lambda group: _gold(store, group, origin))


def known(one: Feedback) -> Feedback:
    """A comparison that Compare can show, the better answer first. Raises `Skip` with the reason."""
    one = checked(one)
    if len(one.answers) != 2 or not one.ranked or one.answers[0].rank == one.answers[1].rank:
        raise Skip("not two answers of which one is better")
    if len(one.prompt) != 1:
        raise Skip("more than one message before the answers: Compare shows one")
    better, worse = two(one)
    return replace(one, answers=(Answer(better, 1), Answer(worse, 2)))


@dataclass(frozen=True, slots=True)
class _Piece(Generic[Place]):
    """One piece as it came, None where it was none, and as it is to be stored, or why it is not."""

    place: Place
    came: Feedback | None
    ready: Feedback | Skip


def _in_groups(
    pieces: Iterable[tuple[Place, Feedback | Skip]],
    check: Callable[[Feedback], Feedback],
    write: Callable[[Sequence[Feedback]], Sequence[str | Skip]],
) -> Iterator[Written[Place]]:
    """`write` stores a group, and says of each piece as what kind it was stored, or why not."""
    waiting: list[_Piece[Place]] = []
    characters = 0
    coming, broken = iter(pieces), None
    while True:
        try:
            place, piece = next(coming)
        except StopIteration:
            break
        except UserFacingError as error:
            broken = error
            break
        if isinstance(piece, Skip):
            waiting.append(_Piece(place, None, piece))
        else:
            waiting.append(_Piece(place, piece, _checked(piece, check)))
            characters += _characters(piece)
        if len(waiting) == MOST or characters >= GROUP_CHARACTERS:
            yield from _group(waiting, write)
            waiting, characters = [], 0
    yield from _group(waiting, write)
    if broken is not None:
        raise broken


def _group(
    waiting: Sequence[_Piece[Place]], write: Callable[[Sequence[Feedback]], Sequence[str | Skip]]
) -> Iterator[Written[Place]]:
    group = [piece.ready for piece in waiting if not isinstance(piece.ready, Skip)]
    done = iter(write(group) if group else ())
    for piece in waiting:
        became = piece.ready if isinstance(piece.ready, Skip) else next(done)
        if isinstance(became, Skip):
            yield Written(piece.place, piece.came, problem=str(became))
        else:
            yield Written(piece.place, piece.came, kind=became)


def _checked(piece: Feedback, check: Callable[[Feedback], Feedback]) -> Feedback | Skip:
    try:
        return check(piece)
    except Skip as reason:
        return reason


def _characters(piece: Feedback) -> int:
    return sum(len(turn.content) for turn in piece.prompt) + sum(len(answer.text) for answer in piece.answers)


def _alone(write: Callable[[Sequence[T]], Sequence[R]], group: Sequence[T]) -> list[R | Skip]:
    """Store a group. Where the database refuses it, store it by halves, until what is refused stands alone."""
    if not group:
        return []
    try:
        return list(write(group))
    except (UsageError, Conflict):
        if len(group) == 1:
            return [Skip(REFUSED)]
        half = len(group) // 2
        return [*_alone(write, group[:half]), *_alone(write, group[half:])]


def _judgements(store: Store, group: Sequence[Feedback], origin: Origin) -> list[str | Skip]:
    names = [origin.name_of(one.rater) for one in group]
    people = store.imports.raters(set(names), trusted=(IMPORTER,))
    ready = [_Ready(one, people[name], origin.title) for one, name in zip(group, names, strict=True)]
    judged = [one.judged() for one in ready]
    outcomes = iter(_alone(store.imports.bring, [one for one in judged if not isinstance(one, Skip)]))
    done: list[str | Skip] = []
    for one, its in zip(ready, judged, strict=True):
        outcome = its if isinstance(its, Skip) else next(outcomes)
        if isinstance(outcome, Ticket):
            judge(store, one.person, outcome.id, one.verdict(outcome.order))
            outcome = Outcome.STORED
        if isinstance(outcome, Skip):
            done.append(outcome)
        else:
            done.append(one.kind if outcome is Outcome.STORED else Skip(NOT_STORED[outcome]))
    return done


def stored_as(one: Feedback) -> str:
    """As what kind feedback would be stored, by the rules that storing keeps. Raises `Skip` with the reason."""
    said = _Said(checked(one))
    said.fitted([new_id() for _ in said.answers])
    return said.kind


@dataclass(slots=True)
class _Said:
    """One piece in an order that says nothing about its verdict, whatever file it came in."""

    feedback: Feedback
    answers: list[Answer] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = sorted(self.feedback.answers, key=lambda each: each.text)

    @property
    def demonstrates(self) -> bool:
        """Whether this is an answer to imitate, compared with nothing."""
        return len(self.answers) == 1 and self.answers[0].good is None

    @property
    def kind(self) -> str:
        """As what it is counted."""
        return DEMONSTRATION if self.demonstrates else kind_of(len(self.answers)).value

    def fitted(self, ids: Sequence[str]) -> StoredVerdict:
        """The verdict on the answers of these ids. Raises `Skip` where these answers cannot have it."""
        try:
            return fitting(read_verdict(self.verdict(ids)), kind_of(len(self.answers)), ids).stored()
        except UsageError as error:
            raise Skip(str(error)) from error

    def verdict(self, ids: Sequence[str]) -> dict[str, Any]:
        """The verdict on the answers of these ids, as a page would send it."""
        one = self.feedback
        said: dict[str, Any] = {
            "comment": one.comment[:LONGEST_COMMENT],
            "reasons": [reason[:LONGEST_REASON] for reason in one.reasons[:MOST_REASONS]],
        }
        shown = list(zip(ids, self.answers, strict=True))
        if self.demonstrates:
            return {**said, "corrections": {id: each.text for id, each in shown}}
        return {
            **said,
            "ranks": {id: each.rank for id, each in shown if each.rank},
            "marks": {id: Mark.GOOD if each.good else Mark.BAD for id, each in shown if each.good is not None},
        }


@dataclass(slots=True)
class _Ready(_Said):
    """One piece as it is to be stored, by whom, and from where."""

    person: Person
    title: str

    def judged(self) -> Judged | Skip:
        """Conversation, answers and verdict; the reason where these answers cannot have such a verdict."""
        kind, ids = kind_of(len(self.answers)), [new_id() for _ in self.answers]
        brought = Brought(
            task_id=f"import-{self.feedback.digest}",
            person_id=self.person.id,
            kind=kind.value,
            turns=[(turn.role, turn.content) for turn in self.feedback.prompt],
            answers=[""] if self.demonstrates else [each.text for each in self.answers],
            ids=ids,
            source=self.title,
            unanswered=self.demonstrates,
        )
        try:
            return Judged(brought, self.fitted(ids))
        except Skip as reason:
            return reason


def _gold(store: Store, group: Sequence[Feedback], origin: Origin) -> list[str | Skip]:
    owner = store.imports.raters([IMPORTER], trusted=(IMPORTER,))[IMPORTER]
    ready = []
    for one in group:
        better, worse = (answer.text for answer in one.answers)
        shown = sorted((better, worse))  # in an order that says nothing
        same = replace(one, answers=tuple(map(Answer, shown)), rater="")  # whichever of them is the better one
        brought = Brought(
            task_id=f"gold-{same.digest}",
            person_id=owner.id,
            kind=Kind.COMPARE.value,
            turns=[(turn.role, turn.content) for turn in one.prompt],
            answers=shown,
            ids=[new_id(), new_id()],
            source=origin.title,
        )
        ready.append((brought, shown.index(better)))
    return [
        added if isinstance(added, Skip) else GOLD if added else Skip(BROUGHT_BEFORE)
        for added in _alone(store.imports.bring_gold, ready)
    ]
