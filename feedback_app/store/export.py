"""Live judgements as plain values for `alignment`, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlmodel import Session, col, select

from alignment.dataset import judgement as values
from feedback_app.domain.conversations import FinishReason
from feedback_app.domain.verdicts import StoredVerdict
from feedback_app.store.conversations import load_completions, load_messages, load_path
from feedback_app.store.tables import Completion, JudgementRow, Message, Task, Ticket

PAGE = 200


def judgement_values(session: Session, up_to: int | None) -> Iterator[values.Judgement]:
    """Live judgements with serial at most `up_to`, in serial order; holds one page in memory.

    A verdict on a task with a known answer says whether it was right, and is left out where it ranked nothing. A
    repeat bears the task that it repeats, and is left out where what its person said first no longer stands.
    """
    last = 0
    while True:
        statement = (
            select(JudgementRow, Ticket, Task)
            .join(Ticket, col(Ticket.id) == JudgementRow.ticket_id)
            .join(Task, col(Task.id) == Ticket.task_id)
            .where(col(JudgementRow.live).is_(True), JudgementRow.serial > last)
            .order_by(col(JudgementRow.serial))
            .limit(PAGE)
        )
        if up_to is not None:
            statement = statement.where(JudgementRow.serial <= up_to)
        rows = session.exec(statement).all()
        if not rows:
            return
        candidates = [id for _, _, task in rows for id in task.candidates]
        completions = load_completions(session, candidates)
        sent = [id for completion in completions.values() for id in completion.sent if isinstance(id, str)]
        messages = load_messages(session, candidates + sent)
        firsts = _first_verdicts(session, [(row.person_id, task.repeat_of) for row, _, task in rows if task.repeat_of])
        for row, ticket, task in rows:
            if task.repeat_of is not None and (row.person_id, task.repeat_of) not in firsts:
                continue  # compared with nothing
            if task.gold is not None and not row.verdict.get("ranks"):
                continue  # neither right nor wrong about what is known
            yield _value(session, row, ticket, task, messages, completions)
        last = rows[-1][0].serial
        session.expunge_all()


def stored(row: JudgementRow) -> StoredVerdict:
    """What a row's verdict says."""
    return cast(StoredVerdict, row.verdict)


def _value(
    session: Session,
    row: JudgementRow,
    ticket: Ticket,
    task: Task,
    messages: Mapping[str, Message],
    completions: Mapping[str, Completion],
) -> values.Judgement:
    verdict = stored(row)
    conversation, strength = messages[task.candidates[0]].conversation_id, verdict.get("strength")
    return values.Judgement(
        id=row.id,
        task=task.repeat_of or task.id,
        person=row.person_id,
        kind=values.Kind(row.kind),
        context=context_of(session, task.context_id, messages, completions.get(task.candidates[0])),
        candidates=tuple(
            _candidate(messages[id], completions.get(id), ticket.order.index(id), verdict) for id in task.candidates
        ),
        conversation=conversation,
        strength=values.Strength(strength) if strength else None,
        cannot_judge=bool(verdict.get("cannot_judge")),
        scripted=row.scripted,
        at=row.at,
        reasons=tuple(verdict.get("reasons") or ()),
        comment=verdict.get("comment") or "",
        gold=None if task.gold is None else _right(verdict["ranks"], task.gold),
        repeat=task.repeat_of is not None,
    )


def _first_verdicts(session: Session, wanted: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of these people have a live judgement on these tasks."""
    if not wanted:
        return set()
    statement = (
        select(JudgementRow.person_id, Ticket.task_id)
        .join(Ticket, col(Ticket.id) == JudgementRow.ticket_id)
        .where(col(JudgementRow.live).is_(True), col(Ticket.task_id).in_([task for _, task in wanted]))
    )
    return set(session.exec(statement))


def _right(ranks: Mapping[str, int], better: str) -> bool:
    """Whether a verdict put the known better answer alone before every other; a tie does not."""
    return all(ranks[better] < rank for id, rank in ranks.items() if id != better)


def context_of(
    session: Session, context_id: str | None, messages: Mapping[str, Message], completion: Completion | None
) -> tuple[values.Message, ...]:
    """What the model read, as it was sent; for an answer that no model wrote, the whole path to `context_id`.

    `messages` holds at least those that the completion names.
    """
    if completion is not None:
        parts: list[Any] = completion.sent
        return tuple(
            values.Message(messages[part].role, messages[part].content)
            if isinstance(part, str)
            else values.Message(part["role"], part["content"])
            for part in parts
        )
    if context_id is None:
        return ()
    return tuple(values.Message(message.role, message.content) for message in load_path(session, context_id))


def excluded_of(completion: Completion | None) -> values.Excluded | None:
    """Why an answer never trains; None where it may."""
    return values.Excluded(completion.excluded) if completion is not None and completion.excluded else None


def _candidate(
    message: Message, completion: Completion | None, position: int, verdict: StoredVerdict
) -> values.Candidate:
    mark = (verdict.get("marks") or {}).get(message.id)
    return values.Candidate(
        id=message.id,
        text=message.content,
        version=completion.version if completion else "",
        position=position,
        finish_reason=completion.finish_reason if completion else FinishReason.STOP.value,
        rank=(verdict.get("ranks") or {}).get(message.id),
        mark=values.Mark(mark) if mark else None,
        correction=(verdict.get("corrections") or {}).get(message.id),
        excluded=excluded_of(completion),
    )
