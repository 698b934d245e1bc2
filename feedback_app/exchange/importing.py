"""Import: a file's records through the same tasks, tickets and verdicts as everyone's.

They are judged by a person of their own, `imported`, or where the file says who rated, by one such person for
each rater, because likes and dislikes pair only within one person. The conversation's title keeps format and
file. A demonstration (an answer to imitate, compared with nothing) becomes the correction of an answer that
no model gave: that trains SFT, and makes neither a pair nor a mark, because nobody expressed one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from alignment.dataset.reading.feedback import Answer, Feedback, Ranks, Skip, checked, two
from alignment.dataset.reading.read import read_feedback
from feedback_app.domain.judging import Kind, Mark, kind_of
from feedback_app.errors import Conflict

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person

IMPORTER = "imported"
LONGEST_COMMENT, LONGEST_REASON, MOST_REASONS = 4000, 100, 20  # what a verdict holds; more is cut


class Imported(TypedDict):
    """What an import did: `imported` by kind, `skipped` by reason, and what was noticed, in sentences."""

    format: str
    read: int
    imported: dict[str, int]
    skipped: dict[str, int]
    notes: list[str]


class GoldAdded(TypedDict):
    """What became gold tasks; `skipped` by reason."""

    format: str
    read: int
    added: int
    skipped: dict[str, int]


def bring_in(store: Store, path: Path, format: str = "") -> Imported:
    """Turn a file's records into judgements. Raises `ReadingProblem` on a file that is none of ours.

    One record of a tree holds several judgements.
    """
    imported: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    ranks = Ranks()
    reading = read_feedback(path, format=format)
    people = _People(store, reading.format)
    read = 0
    for found in reading.rows:
        read += 1
        if found.problem:
            skipped[found.problem] += 1
        for one in found.feedback:
            try:
                kind = _judge(store, people, checked(one), f"{reading.format}: {path.name}")
            except Skip as reason:
                skipped[str(reason)] += 1
                continue
            imported[kind] += 1
            if kind == Kind.RANK:
                ranks.see(one)
    notes = [*reading.notes(), *ranks.notes()]
    if imported["demonstration"]:
        notes.append("Demonstrations train sft; they make no pairs and no marks, because nobody compared them.")
    return {
        "format": reading.format,
        "read": read,
        "imported": dict(imported),
        "skipped": dict(skipped),
        "notes": notes,
    }


def add_gold(store: Store, path: Path, format: str = "") -> GoldAdded:
    """Turn a file's comparisons into gold tasks: the better answer of each is taken as known. Raises as `bring_in`."""
    from feedback_app.store.imports import Brought

    skipped: Counter[str] = Counter()
    reading = read_feedback(path, format=format)
    owner = _People(store, reading.format).of("")
    read = added = 0
    for found in reading.rows:
        read += 1
        if found.problem:
            skipped[found.problem] += 1
        for one in found.feedback:
            try:
                texts = known(one)
            except Skip as reason:
                skipped[str(reason)] += 1
                continue
            shown = sorted(texts)  # in an order that says nothing
            same = replace(one, answers=tuple(map(Answer, shown)), rater="")  # whichever of them is the better one
            brought = Brought(
                task_id=f"gold-{same.digest}",
                kind=Kind.COMPARE,
                turns=[(turn.role, turn.content) for turn in one.prompt],
                answers=shown,
                source=f"{reading.format}: {path.name}",
            )
            if store.imports.add_gold(owner.id, brought, shown.index(texts[0])):
                added += 1
            else:
                skipped["brought before"] += 1
    return {"format": reading.format, "read": read, "added": added, "skipped": dict(skipped)}


def known(one: Feedback) -> tuple[str, str]:
    """The better and the worse answer of a comparison that Compare can show. Raises `Skip` with the reason."""
    one = checked(one)
    if len(one.answers) != 2 or not one.ranked or one.answers[0].rank == one.answers[1].rank:
        raise Skip("not two answers of which one is better")
    if len(one.prompt) != 1:
        raise Skip("more than one message before the answers: Compare shows one")
    return two(one)


class _People:
    """Who the imported feedback is from: nobody known, or one person for each rater that the file names."""

    def __init__(self, store: Store, format: str) -> None:
        self._store = store
        self._format = format
        self._known: dict[str, Person] = {}

    def of(self, rater: str) -> Person:
        """The person of this rater; the rater's own name is not kept."""
        if rater not in self._known:
            digest = hashlib.sha256(f"{self._format}:{rater}".encode()).hexdigest()[:10]
            self._known[rater] = self._person(f"{IMPORTER}-{digest}" if rater else IMPORTER)
        return self._known[rater]

    def _person(self, name: str) -> Person:
        from feedback_app.domain.people import Role

        found = self._store.people.by_name(name)
        if found is not None:
            return found
        try:
            person = self._store.people.add(name, Role.ANNOTATOR, "")
            # Demonstrations in a file come as corrections, and whoever imports the file has answered for them.
            return self._store.people.set_trusted(person.id, True) if name == IMPORTER else person
        except Conflict:  # another import was first
            other = self._store.people.by_name(name)
            assert other is not None
            return other


def _judge(store: Store, people: _People, one: Feedback, source: str) -> str:
    """One piece of feedback as conversation, task, ticket and verdict; its kind. Raises `Skip` on one known before."""
    from feedback_app.collect.judge import judge
    from feedback_app.store.imports import Brought

    # In an order that says nothing about the verdict, and is the same whatever file this came in.
    answers = sorted(one.answers, key=lambda each: each.text)
    shown = len(answers) == 1 and answers[0].good is None
    kind = kind_of(len(answers))
    person = people.of(one.rater)
    ticket = store.imports.take(
        person.id,
        Brought(
            task_id=f"import-{one.digest}",
            kind=kind,
            turns=[(turn.role, turn.content) for turn in one.prompt],
            answers=[""] if shown else [each.text for each in answers],
            source=source,
            unanswered=shown,
        ),
    )
    if ticket is None:
        raise Skip("imported before")
    verdict: dict[str, Any] = {
        "comment": one.comment[:LONGEST_COMMENT],
        "reasons": [reason[:LONGEST_REASON] for reason in one.reasons[:MOST_REASONS]],
    }
    if shown:
        verdict["corrections"] = {ticket.order[0]: answers[0].text}
    else:
        verdict["ranks"] = {id: each.rank for id, each in zip(ticket.order, answers, strict=True) if each.rank}
        verdict["marks"] = {
            id: Mark.GOOD if each.good else Mark.BAD
            for id, each in zip(ticket.order, answers, strict=True)
            if each.good is not None
        }
    judge(store, person, ticket.id, verdict)
    return "demonstration" if shown else kind
