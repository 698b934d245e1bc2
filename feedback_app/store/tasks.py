"""Tasks (what may be judged) and tickets (one showing of a task to one person)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Dialect, FromClause, exists, or_, true
from sqlalchemy import func as sql
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from feedback_app.domain.judging import Kind
from feedback_app.errors import NotFound
from feedback_app.store.engine import Database
from feedback_app.store.reservations import redeem
from feedback_app.store.reviews import may_review
from feedback_app.store.tables import Completion, JudgementRow, Person, Task, Ticket, new_id

REPEATABLE = 200  # comparisons of one person that are looked at for one to show again


class Tasks:
    """Queries about tasks and tickets."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(
        self,
        kind: str,
        context_id: str | None,
        candidates: Sequence[str],
        wanted: int = 1,
        challenger: str | None = None,
        incumbent: str | None = None,
        scripted: bool = False,
    ) -> Task:
        """A task. `context_id` is the message before the candidates, `candidates` are message ids."""
        with self._db.write() as session:
            task = Task(
                kind=kind,
                context_id=context_id,
                candidates=list(candidates),
                wanted=wanted,
                challenger=challenger,
                incumbent=incumbent,
                scripted=scripted,
                created_at=self._db.now(),
            )
            session.add(task)
        return task

    def offer(
        self, task: Task, person_id: str, order: Sequence[str], expires_at: float, ticket_id: str | None = None
    ) -> tuple[Ticket, Task]:
        """Store a new task and its first ticket in one transaction; `ticket_id` where it was promised before."""
        with self._db.write() as session:
            session.add(task)
            session.flush()
            ticket = _new_ticket(session, task.id, person_id, order, expires_at, self._db.now(), ticket_id)
        return ticket, task

    def issue(self, task_id: str, person_id: str, order: Sequence[str], expires_at: float) -> Ticket:
        """This person's ticket for a task: the one that exists, or a new one. Raises `NotFound`."""
        with self._db.write() as session:
            # The row lock makes two requests of one person share a ticket on PostgreSQL too.
            if session.exec(select(Task).where(Task.id == task_id).with_for_update()).first() is None:
                raise NotFound("There is no such task.")
            statement = select(Ticket).where(Ticket.task_id == task_id, Ticket.person_id == person_id)
            return session.exec(statement).first() or _new_ticket(
                session, task_id, person_id, order, expires_at, self._db.now()
            )

    def show(self, ticket_id: str) -> None:
        """Note that the person sees this ticket now; the first time counts."""
        with self._db.write() as session:
            ticket = session.get(Ticket, ticket_id)
            if ticket is not None and ticket.shown_at is None:
                ticket.shown_at = self._db.now()

    def ticket(self, ticket_id: str) -> tuple[Ticket, Task] | None:
        """A ticket and its task."""
        statement = select(Ticket, Task).join(Task, col(Task.id) == Ticket.task_id).where(Ticket.id == ticket_id)
        with self._db.read() as session:
            row = session.exec(statement).first()
        return None if row is None else (row[0], row[1])

    def ticket_for(self, candidate_id: str, person_id: str) -> tuple[Ticket, Task] | None:
        """A person's ticket of the like-task whose only candidate is this message."""
        return self.tickets_for([candidate_id], person_id).get(candidate_id)

    def tickets_for(self, candidate_ids: Sequence[str], person_id: str) -> dict[str, tuple[Ticket, Task]]:
        """A person's like-tickets by the message they are about; messages without one are left out."""
        with self._db.read() as session:
            candidate = candidates_of(session.get_bind().dialect)
            statement = (
                select(Ticket, Task)
                .join(Task, col(Task.id) == Ticket.task_id)
                .join(candidate, true())
                .where(
                    Task.kind == Kind.LIKE, Ticket.person_id == person_id, candidate.c.value.in_(list(candidate_ids))
                )
            )
            return {task.candidates[0]: (ticket, task) for ticket, task in session.exec(statement)}

    def open_for(self, person_id: str, kind: str, now: float) -> list[tuple[Ticket, Task]]:
        """A person's tickets that wait for a verdict: those shown before, in that order, then the oldest."""
        statement = (
            select(Ticket, Task)
            .join(Task, col(Task.id) == Ticket.task_id)
            .where(Ticket.person_id == person_id, Task.kind == kind, Ticket.expires_at > now, ~_judged())
            .order_by(col(Ticket.shown_at).is_(None), col(Ticket.shown_at), col(Ticket.created_at), col(Ticket.id))
        )
        with self._db.read() as session:
            return [(ticket, task) for ticket, task in session.exec(statement)]

    def waiting(self, person: Person, kind: str, now: float, challenger: str | None) -> Task | None:
        """The oldest task that still wants people and that this person has never been shown.

        A ticket takes a place while it is judged or may still be judged. Scripted and other people never
        share a task. `challenger` None asks for tasks without one.
        """
        taken = (
            select(func.count())
            .select_from(Ticket)
            .where(Ticket.task_id == Task.id, (col(Ticket.expires_at) > now) | _judged())
            .correlate(Task)
            .scalar_subquery()
        )
        seen = exists().where(col(Ticket.task_id) == Task.id, col(Ticket.person_id) == person.id)
        statement = (
            select(Task)
            .where(
                Task.kind == kind,
                Task.challenger == challenger,
                Task.scripted == person.scripted,
                Task.wanted > taken,
                col(Task.gold).is_(None),
                col(Task.repeat_of).is_(None),
                ~seen,
                may_review(person.id),
            )
            .order_by(col(Task.created_at), col(Task.id))
            .limit(1)
        )
        with self._db.read() as session:
            return session.exec(statement).first()

    def gold_unseen(self, person_id: str) -> list[Task]:
        """The tasks with a known answer that this person has never been shown, in order of id."""
        seen = exists().where(col(Ticket.task_id) == Task.id, col(Ticket.person_id) == person_id)
        statement = select(Task).where(col(Task.gold).is_not(None), ~seen).order_by(col(Task.id))
        with self._db.read() as session:
            return list(session.exec(statement))

    def repeatable(self, person_id: str, before: float, later: int) -> list[str]:
        """Comparisons that this person put in an order and that may be shown to them once more: the newest ones' ids.

        Given before time `before`, or with at least `later` comparisons of theirs after it; neither gold nor a repeat
        itself, and never shown again yet.
        """
        again, shown = aliased(Task), aliased(Ticket)
        repeated = exists().where(
            col(again.repeat_of) == Task.id, col(shown.task_id) == again.id, col(shown.person_id) == person_id
        )
        theirs = (
            JudgementRow.person_id == person_id,
            JudgementRow.kind == Kind.COMPARE,
            col(JudgementRow.live).is_(True),
        )
        newest = col(JudgementRow.serial).desc()
        with self._db.read() as session:
            place = session.exec(select(JudgementRow.serial).where(*theirs).order_by(newest).offset(later)).first() or 0
            statement = (
                select(Task.id, JudgementRow.verdict)
                .join(Ticket, col(Ticket.task_id) == Task.id)
                .join(JudgementRow, col(JudgementRow.ticket_id) == Ticket.id)
                .where(
                    *theirs,
                    or_(col(JudgementRow.at) < before, col(JudgementRow.serial) <= place),
                    col(Task.gold).is_(None),
                    col(Task.repeat_of).is_(None),
                    ~repeated,
                )
                .order_by(newest)
                .limit(REPEATABLE)
            )
            rows = session.exec(statement).all()
        # A tie says nothing about how steady somebody is.
        return [id for id, verdict in rows if len(set((verdict.get("ranks") or {}).values())) > 1]

    def repeat(self, task_id: str) -> Task:
        """The task that shows this one's answers again: the one that there is, or a new one. Raises `NotFound`."""
        with self._db.write() as session:
            # The row lock makes two people who repeat the same comparison share the task on PostgreSQL too.
            first = session.exec(select(Task).where(Task.id == task_id).with_for_update()).first()
            if first is None:
                raise NotFound("There is no such task.")
            task = session.exec(select(Task).where(Task.repeat_of == task_id)).first()
            if task is None:
                task = Task(
                    kind=first.kind,
                    context_id=first.context_id,
                    candidates=list(first.candidates),
                    scripted=first.scripted,
                    repeat_of=task_id,
                    created_at=self._db.now(),
                )
                session.add(task)
        return task

    def versions_in_open_tickets(self, now: float) -> set[str]:
        """The versions that wrote a candidate of any ticket that may still be judged."""
        with self._db.read() as session:
            candidate = candidates_of(session.get_bind().dialect)
            statement = (
                select(Completion.version)
                .distinct()
                .select_from(Ticket)
                .join(Task, col(Task.id) == Ticket.task_id)
                .join(candidate, true())
                .join(Completion, col(Completion.message_id) == candidate.c.value)
                .where(Ticket.expires_at > now, ~_judged())
            )
            return set(session.exec(statement))


def candidates_of(dialect: Dialect) -> FromClause:
    """The elements of `Task.candidates` as rows with one column, `value`; join it after `Task`."""
    unnest = sql.json_each if dialect.name == "sqlite" else sql.json_array_elements_text
    return unnest(col(Task.candidates)).table_valued("value", name="candidate")


def _judged() -> ColumnElement[bool]:
    return exists().where(col(JudgementRow.ticket_id) == Ticket.id, col(JudgementRow.live).is_(True))


def _new_ticket(
    session: Session,
    task_id: str,
    person_id: str,
    order: Sequence[str],
    expires_at: float,
    now: float,
    ticket_id: str | None = None,
) -> Ticket:
    ticket = Ticket(
        id=ticket_id or new_id(),
        task_id=task_id,
        person_id=person_id,
        order=list(order),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(ticket)
    session.flush()
    if ticket_id is not None:
        redeem(session, ticket_id)
    return ticket
