"""Feedback files out of the database and into it.

Export writes the same rows that a round would train on. Import goes through the same tasks, tickets and
verdicts as everyone, under a person of its own; a record that was imported before is not imported twice.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from feedback_app.errors import Conflict, Unavailable, UsageError
from feedback_app.formats import READERS, WRITERS, Imported, Record, Skip, checked, detect, parse_line

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Message, Person

IMPORTER = "imported"
PURPOSE = "import"


def export(store: Store, format: str, out: Path) -> dict[str, Any]:
    """Write `train` and `held_out` files of this format into `out`. Raises `UsageError` and `Unavailable`."""
    from alignment.compile import compile_rows

    if format not in WRITERS:
        raise UsageError(f"There is no export format called {format}. Formats: {', '.join(WRITERS)}.")
    rows = compile_rows(store.judgements.export())
    ending = "csv" if format == "csv" else "jsonl"
    counts: Counter[str] = Counter()
    open_files: dict[str, TextIO] = {}
    writers: dict[str, Any] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UsageError(f"{out} is not empty. Name a new folder.")
        for split, record in WRITERS[format](rows):
            if split not in open_files:
                open_files[split] = (out / f"{split}.{ending}").open("w", encoding="utf-8", newline="")
            _write(open_files[split], record, format, writers, split)
            counts[split] += 1
    except OSError as error:
        raise Unavailable(f"Nothing can be written to {out}: {error.strerror}. Name another folder.") from error
    finally:
        for file in open_files.values():
            file.close()
    return {"format": format, "out": str(out), "written": dict(counts), "judgements": rows.counts["judgements"]}


def _write(file: TextIO, record: Record, format: str, writers: dict[str, Any], split: str) -> None:
    if format != "csv":
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    if split not in writers:
        writers[split] = csv.DictWriter(file, fieldnames=list(record))
        writers[split].writeheader()
    writers[split].writerow(record)


def bring_in(store: Store, path: Path, format: str = "") -> dict[str, Any]:
    """Turn a file's records into judgements. Raises `UsageError` on a file that is none of ours.

    Returns `format`, `read`, `imported` (by kind) and `skipped` (by reason).
    """
    if format and format not in READERS:
        raise UsageError(f"There is no import format called {format}. Formats: {', '.join(READERS)}.")
    imported: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    read = 0
    person = _importer(store)
    known = {conversation.title for conversation in store.talk.conversations(person.id, PURPOSE)}
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                record = parse_line(line, number, str(path))
                format = format or detect(record)
                read += 1
                try:
                    one = checked(_read(record, format))
                    title = hashlib.sha256(repr(one).encode()).hexdigest()[:32]
                    if title in known:
                        raise Skip("imported before")
                    imported[_judge(store, person, one, title)] += 1
                    known.add(title)
                except Skip as reason:
                    skipped[str(reason)] += 1
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text. The file must be JSONL: one JSON object a line.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. Name a JSONL file.") from error
    if not read:
        raise UsageError(f"{path} is empty. The file must be JSONL: one JSON object a line.")
    return {"format": format, "read": read, "imported": dict(imported), "skipped": dict(skipped)}


def _read(record: Record, format: str) -> Imported:
    try:
        return READERS[format](record)
    except (KeyError, TypeError, AttributeError) as error:
        raise Skip("a key is missing or of another kind") from error


def _importer(store: Store) -> Person:
    from feedback_app.collect.people import Role

    found = store.people.by_name(IMPORTER)
    if found is not None:
        return found
    try:
        return store.people.add(IMPORTER, Role.ANNOTATOR, "")
    except Conflict:  # another import was first
        return store.people.by_name(IMPORTER)  # type: ignore[return-value]


def _judge(store: Store, person: Person, one: Imported, title: str) -> str:
    """One record as conversation, task, ticket and verdict; its kind."""
    from feedback_app.collect.judge import judge

    conversation = store.talk.add_conversation(person.id, PURPOSE, title)
    turns: list[Message] = []
    for turn in one.prompt:  # never empty: `checked` saw a question
        parent_id = turns[-1].id if turns else None
        turns.append(store.talk.add_message(conversation.id, parent_id, turn.role, turn.content))
    texts = [one.completion] if one.label is not None else [one.chosen, one.rejected]
    answers = [_answer(store, conversation.id, turns, text) for text in texts]
    kind = "like" if one.label is not None else "compare"
    task = store.tasks.add(kind, turns[-1].id, [answer.id for answer in answers])
    ticket = store.tasks.issue(task.id, person.id, task.candidates, store.now() + 60.0)
    verdict: dict[str, Any]
    if one.label is not None:
        verdict = {"marks": {answers[0].id: "good" if one.label else "bad"}}
    else:
        verdict = {"ranks": {answers[0].id: 1, answers[1].id: 2}}
    judge(store, person, ticket.id, verdict)
    return kind


def _answer(store: Store, conversation_id: str, turns: Sequence[Message], text: str) -> Message:
    from feedback_app.store.tables import Completion

    completion = Completion(
        message_id="",
        version=IMPORTER,
        sampling={},
        finish_reason="stop",
        sent=[turn.id for turn in turns],
        created_at=store.now(),
    )
    return store.talk.add_reply(conversation_id, turns[-1].id, text, completion)
