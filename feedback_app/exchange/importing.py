"""Import: a file's records through the same tasks, tickets and verdicts as everyone's.

They are judged by a person of their own, `imported`, or where the file says who rated, by one such person for
each rater, because likes and dislikes pair only within one person. The conversation's title keeps format and
file. A demonstration (an answer to imitate, compared with nothing) becomes the correction of an answer that
no model gave: that trains SFT, and makes neither a pair nor a mark, because nobody expressed one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from alignment.dataset.reading.formats import FORMATS, Feedback, Record, Skip, detect, llama_factory
from alignment.dataset.reading.formats.feedback import Answer, Ranks, checked, two
from alignment.errors import ReadingProblem
from feedback_app.domain.judging import Kind, Mark, kind_of
from feedback_app.errors import Conflict, UsageError
from feedback_app.exchange.files import NEXT_STEP, Line, is_table, plain_name, read_lines

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person

IMPORTER = "imported"
LOOK_AHEAD = 100  # records that are tried before a file is called none of ours
LONGEST_COMMENT, LONGEST_REASON, MOST_REASONS = 4000, 100, 20  # what a verdict holds; more is cut


@dataclass(frozen=True, slots=True)
class Source:
    """How a file is read: its format, by what reader, and what is said about the choice."""

    format: str
    read: Callable[[Record], list[Feedback]]
    notes: tuple[str, ...] = ()


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
    """Turn a file's records into judgements. Raises `UsageError` on a file that is none of ours.

    One record of a tree holds several judgements.
    """
    imported: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    ranks = Ranks()
    source, records = read_feedback(path, format)
    people = _People(store, source.format)
    read = 0
    for found in records:
        read += 1
        if isinstance(found, Skip):
            skipped[str(found)] += 1
            continue
        for one in found:
            try:
                kind = _judge(store, people, checked(one), f"{source.format}: {path.name}")
            except Skip as reason:
                skipped[str(reason)] += 1
                continue
            imported[kind] += 1
            if kind == Kind.RANK:
                ranks.see(one)
    notes = [*source.notes, *ranks.notes()]
    if imported["demonstration"]:
        notes.append("Demonstrations train sft; they make no pairs and no marks, because nobody compared them.")
    return {
        "format": source.format,
        "read": read,
        "imported": dict(imported),
        "skipped": dict(skipped),
        "notes": notes,
    }


def add_gold(store: Store, path: Path, format: str = "") -> GoldAdded:
    """Turn a file's comparisons into gold tasks: the better answer of each is taken as known. Raises as `bring_in`."""
    from feedback_app.store.imports import Brought

    skipped: Counter[str] = Counter()
    source, records = read_feedback(path, format)
    owner = _People(store, source.format).of("")
    read = added = 0
    for found in records:
        read += 1
        for one in [found] if isinstance(found, Skip) else found:
            try:
                texts = known(one)
            except Skip as reason:
                skipped[str(reason)] += 1
                continue
            assert isinstance(one, Feedback)
            shown = sorted(texts)  # in an order that says nothing
            same = replace(one, answers=tuple(map(Answer, shown)), rater="")  # whichever of them is the better one
            brought = Brought(
                task_id=f"gold-{same.digest}",
                kind=Kind.COMPARE,
                turns=[(turn.role, turn.content) for turn in one.prompt],
                answers=shown,
                source=f"{source.format}: {path.name}",
            )
            if store.imports.add_gold(owner.id, brought, shown.index(texts[0])):
                added += 1
            else:
                skipped["brought before"] += 1
    return {"format": source.format, "read": read, "added": added, "skipped": dict(skipped)}


def known(one: Feedback | Skip) -> tuple[str, str]:
    """The better and the worse answer of a comparison that Compare can show. Raises `Skip` with the reason."""
    if isinstance(one, Skip):
        raise one
    one = checked(one)
    if len(one.answers) != 2 or not one.ranked or one.answers[0].rank == one.answers[1].rank:
        raise Skip("not two answers of which one is better")
    if len(one.prompt) != 1:
        raise Skip("more than one message before the answers: Compare shows one")
    return two(one)


def read_feedback(path: Path, format: str = "") -> tuple[Source, Iterator[list[Feedback] | Skip]]:
    """How a file is read, and for each record its feedback, or why there is none.

    Raises `UsageError` on a file that is none of ours.
    """
    if format and format not in FORMATS:
        raise UsageError(f"There is no import format called {format}. Formats: {', '.join(sorted(FORMATS))}.")
    lines = read_lines(path)
    ahead, source = _source(path, lines, format)

    def records() -> Iterator[list[Feedback] | Skip]:
        line = None
        for line in chain(ahead, lines):
            try:
                yield _read(line, source)
            except Skip as reason:
                yield reason
        if line is None:
            raise UsageError(f"{path} is empty. {NEXT_STEP}")

    return source, records()


def _source(path: Path, lines: Iterator[Line], format: str) -> tuple[list[Line], Source]:
    """The lines that were read to find out, and how to read all of them."""
    layout = llama_factory.layout_of(_dataset_info(path), plain_name(path)) if format in ("", "llama-factory") else None
    if layout is not None:
        read = partial(llama_factory.read_llama_factory, layout=layout)
        return [], Source("llama-factory", read, ("Columns are read as dataset_info.json beside the file names them.",))
    if not format and is_table(path):
        format = "csv"
    if format:
        return [], Source(format, FORMATS[format].read)
    ahead: list[Line] = []
    problem: UsageError | None = None
    for line in lines:
        ahead.append(line)
        try:
            if line.record is None:
                raise UsageError(f"{path}, line {line.number}, {line.detail}. {NEXT_STEP}")
            found = detect(line.record)
            return ahead, Source(found, FORMATS[found].read)
        except (UsageError, ReadingProblem) as error:
            problem = problem or UsageError(str(error))
        if len(ahead) == LOOK_AHEAD:
            break
    raise problem or UsageError(f"{path} is empty. {NEXT_STEP}")


def _dataset_info(path: Path) -> Any:
    try:
        return json.loads((path.parent / "dataset_info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read(line: Line, source: Source) -> list[Feedback]:
    if line.record is None:
        raise Skip(line.problem)
    try:
        return source.read(line.record)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise Skip("a key is missing or of another kind") from error


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
