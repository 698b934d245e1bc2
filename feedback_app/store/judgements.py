"""Judgements: one live verdict per ticket; undo and change are new rows, nothing is ever removed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import true
from sqlmodel import Session, col, func, select

from alignment.dataset.judgement import Judgement
from feedback_app.domain.judging import Kind
from feedback_app.domain.reports import JudgementCounts
from feedback_app.domain.verdicts import WITHDRAWN, StoredVerdict
from feedback_app.domain.votes import Outcome, Vote
from feedback_app.errors import Conflict, NotFound, VerdictStands
from feedback_app.store.conversations import load_completions
from feedback_app.store.engine import Database
from feedback_app.store.export import judgement_values, stored
from feedback_app.store.reviews import offer_corrections
from feedback_app.store.tables import Completion, JudgementRow, Person, Task, Ticket
from feedback_app.store.tasks import candidates_of

_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


class Judgements:
    """Queries about verdicts. What a verdict may say is `collect.judge`'s business."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(
        self,
        ticket_id: str,
        person_id: str,
        verdict: StoredVerdict,
        supersedes: str | None = None,
        seconds: float | None = None,
    ) -> JudgementRow:
        """Store one verdict and return its row; when this returns, it is committed.

        The same verdict as the live one is the same judgement. A different one must name the live judgement in
        `supersedes`, or it raises `VerdictStands`. `WITHDRAWN` is an undo: it leaves no live judgement, and sent
        twice it is the same undo. Raises `NotFound` when the ticket is not this person's, and `Conflict` when the
        person has withdrawn.
        """
        digest = verdict_hash(verdict)
        withdrawn = verdict == WITHDRAWN
        # One writer at a time: a serial is visible only when every smaller one is, so a watermark skips nothing.
        with self._db.write("judgement") as session:
            ticket, task, person = _ticket(session, ticket_id, person_id)
            if person.withdrawn_at is not None:
                raise Conflict("You have withdrawn your judgements, so no new one is kept. Ask an operator.")
            live = _live(session, ticket.id)
            if live is not None and live.verdict_hash == digest:
                return live
            if supersedes is not None:
                done = session.exec(select(JudgementRow).where(JudgementRow.supersedes == supersedes)).first()
                if done is not None and done.ticket_id == ticket.id and done.verdict_hash == digest and live is None:
                    return done
            if supersedes != (live.id if live else None) or (withdrawn and live is None):
                raise _stands(ticket.id, live, supersedes)
            if live is not None:
                live.live = False
                session.flush()  # the old one steps down before the new one may be live
            row = JudgementRow(
                ticket_id=ticket.id,
                person_id=person.id,
                kind=task.kind,
                verdict=dict(verdict),
                verdict_hash=digest,
                supersedes=supersedes,
                live=not withdrawn,
                scripted=person.scripted,
                challenger=task.challenger,
                seconds=seconds,
                at=self._db.now(),
                serial=1 + (session.exec(select(func.max(JudgementRow.serial))).one() or 0),
            )
            session.add(row)
            offer_corrections(session, row, ticket, task, person)
        return row

    def live(self, ticket_id: str) -> JudgementRow | None:
        """The ticket's live judgement."""
        with self._db.read() as session:
            return _live(session, ticket_id)

    def live_for(self, ticket_ids: list[str]) -> dict[str, JudgementRow]:
        """Live judgements by ticket id, for a page of tickets."""
        statement = select(JudgementRow).where(
            col(JudgementRow.ticket_id).in_(ticket_ids), col(JudgementRow.live).is_(True)
        )
        with self._db.read() as session:
            return {row.ticket_id: row for row in session.exec(statement)}

    def get(self, judgement_id: str) -> JudgementRow | None:
        """One row, live or not."""
        with self._db.read() as session:
            return session.get(JudgementRow, judgement_id)

    def export(self, up_to: int | None = None) -> Iterator[Judgement]:
        """Every judgement that is live now and not newer than serial `up_to`, in serial order.

        One moment of the database, a page at a time: memory does not grow with the number of judgements.
        Scripted ones are included and say so.
        """
        with self._db.frozen() as session:
            yield from judgement_values(session, up_to)

    def seconds_taken(self, person_id: str, kind: str, since: float) -> list[float]:
        """Seconds from showing to verdict of a person's live judgements of one kind, given after time `since`."""
        statement = select(JudgementRow.seconds).where(
            JudgementRow.person_id == person_id,
            JudgementRow.kind == kind,
            JudgementRow.at >= since,
            col(JudgementRow.live).is_(True),
        )
        with self._db.read() as session:
            return [seconds or 0.0 for seconds in session.exec(statement)]

    def live_of(self, person_id: str) -> int:
        """How many live judgements a person has."""
        statement = select(func.count()).where(JudgementRow.person_id == person_id, col(JudgementRow.live).is_(True))
        with self._db.read() as session:
            return session.exec(statement).one()

    def watermark(self) -> int:
        """The newest serial; 0 when there is none. Every judgement up to it is committed."""
        with self._db.read() as session:
            return session.exec(select(func.max(JudgementRow.serial))).one() or 0

    def counts(self, since: int = 0) -> JudgementCounts:
        """How many live judgements are newer than serial `since`; a repeat is nothing new and is not counted.

        `total` counts everybody and `scripted` those of scripted people; so do `by_kind` and
        `scripted_by_kind`, `by_version` and `scripted_by_version`. A judgement counts once for each version
        among its candidates. `by_person` lists name, scripted and count, the most first.
        """
        repeats = select(Ticket.id).join(Task, col(Task.id) == Ticket.task_id).where(col(Task.repeat_of).is_not(None))
        fresh = (
            col(JudgementRow.live).is_(True),
            JudgementRow.serial > since,
            col(JudgementRow.ticket_id).not_in(repeats),
        )
        scripted = col(JudgementRow.scripted)
        with self._db.read() as session:
            kinds = session.exec(
                select(JudgementRow.kind, scripted, func.count())
                .where(*fresh)
                .group_by(col(JudgementRow.kind), scripted)
            ).all()
            people = session.exec(
                select(Person.name, Person.scripted, func.count())
                .join(JudgementRow, col(JudgementRow.person_id) == Person.id)
                .where(*fresh)
                .group_by(col(Person.name), col(Person.scripted))
                .order_by(func.count().desc(), Person.name)
            ).all()
            candidate = candidates_of(session.get_bind().dialect)
            versions = session.exec(
                select(Completion.version, scripted, func.count(func.distinct(JudgementRow.id)))
                .select_from(JudgementRow)
                .join(Ticket, col(Ticket.id) == JudgementRow.ticket_id)
                .join(Task, col(Task.id) == Ticket.task_id)
                .join(candidate, true())
                .join(Completion, col(Completion.message_id) == candidate.c.value)
                .where(*fresh)
                .group_by(col(Completion.version), scripted)
            ).all()
        return {
            "total": sum(count for _, _, count in kinds),
            "scripted": sum(count for _, is_scripted, count in kinds if is_scripted),
            "by_kind": _summed(kinds),
            "scripted_by_kind": _summed([row for row in kinds if row[1]]),
            "by_person": [
                {"name": name, "scripted": is_scripted, "count": count} for name, is_scripted, count in people
            ],
            "by_version": _summed(versions),
            "scripted_by_version": _summed([row for row in versions if row[1]]),
        }

    def votes(self, challenger: str) -> list[Vote]:
        """Every live vote on a challenger or milestone, oldest first."""
        statement = (
            select(JudgementRow, Task)
            .join(Ticket, col(Ticket.id) == JudgementRow.ticket_id)
            .join(Task, col(Task.id) == Ticket.task_id)
            .where(JudgementRow.challenger == challenger, col(JudgementRow.live).is_(True), Task.kind == Kind.COMPARE)
            .order_by(col(JudgementRow.serial))
        )
        with self._db.read() as session:
            rows = session.exec(statement).all()
            completions = load_completions(session, [id for _, task in rows for id in task.candidates])
        return [
            Vote(
                outcome_for(challenger, stored(row), {id: completions[id].version for id in task.candidates}),
                row.scripted,
            )
            for row, task in rows
        ]


def verdict_hash(verdict: StoredVerdict) -> str:
    """SHA-256 of the verdict as JSON with sorted keys: equal verdicts have equal hashes."""
    return hashlib.sha256(_canonical(verdict).encode()).hexdigest()


def outcome_for(challenger: str, verdict: StoredVerdict, versions: Mapping[str, str]) -> Outcome:
    """How the challenger fared against the other candidate. `versions` maps candidate ids to versions.

    Equal ranks are a tie, and so is a verdict without ranks (both bad); "can't judge" is none.
    """
    if verdict.get("cannot_judge"):
        return Outcome.NONE
    ranks = verdict.get("ranks") or {}
    ours = [rank for id, rank in ranks.items() if versions.get(id) == challenger]
    theirs = [rank for id, rank in ranks.items() if versions.get(id) != challenger]
    if not ours or not theirs or min(ours) == min(theirs):
        return Outcome.TIE
    return Outcome.WIN if min(ours) < min(theirs) else Outcome.LOSS


def _summed(rows: Any) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, _, count in rows:
        sums[name] += count
    return dict(sorted(sums.items()))


def _ticket(session: Session, ticket_id: str, person_id: str) -> tuple[Ticket, Task, Person]:
    statement = (
        select(Ticket, Task, Person)
        .join(Task, col(Task.id) == Ticket.task_id)
        .join(Person, col(Person.id) == Ticket.person_id)
        .where(Ticket.id == ticket_id, Ticket.person_id == person_id)
    )
    row = session.exec(statement).first()
    if row is None:
        raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
    return row[0], row[1], row[2]


def _live(session: Session, ticket_id: str) -> JudgementRow | None:
    statement = select(JudgementRow).where(JudgementRow.ticket_id == ticket_id, col(JudgementRow.live).is_(True))
    return session.exec(statement).first()


def _stands(ticket_id: str, live: JudgementRow | None, supersedes: str | None) -> VerdictStands:
    if live is None:
        what = "There is nothing to undo" if supersedes is None else "What you want to change is no longer in force"
        return VerdictStands(f"{what} on this ticket. Reload the page to see what stands.", ticket_id, None)
    sentence = f"This ticket already has another verdict, {live.id}. Name it to change it."
    return VerdictStands(sentence, ticket_id, live.id)
