"""Rounds, their stages, attempts, progress and snapshots.

A round belongs to the worker that holds its lease; a lease that ran out may be claimed by another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import and_, or_
from sqlmodel import Session, SQLModel, col, select

from alignment.records import SnapshotRecord, StepRecord
from alignment.terms import Setting
from feedback_app.domain.rounds import ACTIVE, AttemptStatus, RoundStatus, StageStatus
from feedback_app.errors import Conflict, NotFound
from feedback_app.store.engine import Database
from feedback_app.store.tables import Attempt, Person, Progress, Round, Snapshot, SnapshotPerson, Stage

_ROUNDS = "round"  # lock: never two rounds at once
Row = TypeVar("Row", bound=SQLModel)


class Rounds:
    """Queries about rounds."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, method: str, requested_by: str | None, seed: int, settings: Mapping[str, Setting]) -> Round:
        """Queue a round. Raises `Conflict` when one is queued or running."""
        with self._db.write(_ROUNDS) as session:
            active = _active(session)
            if active is not None:
                raise Conflict(f"Round {active.id} is {active.status}. Wait for it, or cancel it first.")
            row = Round(
                method=method,
                status=RoundStatus.QUEUED,
                seed=seed,
                settings=dict(settings),
                requested_by=requested_by,
                created_at=self._db.now(),
            )
            session.add(row)
            session.flush()
        return row

    def claim(self, owner: str, lease_s: float) -> Round | None:
        """Take the queued round, or a running one whose lease ran out; None when there is neither."""
        now = self._db.now()
        with self._db.write(_ROUNDS) as session:
            lapsed = or_(col(Round.lease_until).is_(None), col(Round.lease_until) < now)
            statement = (
                select(Round)
                .where(
                    or_(col(Round.status) == RoundStatus.QUEUED, and_(col(Round.status) == RoundStatus.RUNNING, lapsed))
                )
                .order_by(col(Round.id))
                .limit(1)
            )
            row = session.exec(statement).first()
            if row is None:
                return None
            row.status = RoundStatus.RUNNING
            row.lease_owner = owner
            row.lease_until = now + lease_s
            row.started_at = row.started_at or now
        return row

    def renew(self, round_id: int, owner: str, lease_s: float) -> bool:
        """Extend the lease. False when another worker holds it or the round has ended: stop then."""
        with self._db.write(_ROUNDS) as session:
            row = session.get(Round, round_id)
            if row is None or row.lease_owner != owner or row.status != RoundStatus.RUNNING:
                return False
            row.lease_until = self._db.now() + lease_s
        return True

    def update(self, round_id: int, *, owner: str | None = None, **columns: Any) -> Round:
        """Set columns; a status that ends the round also sets `finished_at` and frees the lease.

        With `owner`, raises `Conflict` unless that worker holds the lease. Raises `NotFound`.
        """
        with self._db.write(_ROUNDS) as session:
            row = _get(session, Round, round_id)
            if owner is not None and row.lease_owner != owner:
                raise Conflict(f"Round {round_id} now belongs to another worker.")
            _assign(row, columns)
            if row.status not in ACTIVE:
                row.finished_at = row.finished_at or self._db.now()
                row.lease_owner = row.lease_until = None
        return row

    def get(self, round_id: int) -> Round | None:
        """One round."""
        with self._db.read() as session:
            return session.get(Round, round_id)

    def listing(self) -> list[Round]:
        """Every round, newest first."""
        with self._db.read() as session:
            return list(session.exec(select(Round).order_by(col(Round.id).desc())))

    def active(self) -> Round | None:
        """The round that is queued or running, if any."""
        with self._db.read() as session:
            return _active(session)

    def held(self) -> list[Round]:
        """Rounds that wait for votes or for an operator, newest first."""
        with self._db.read() as session:
            return list(
                session.exec(select(Round).where(Round.status == RoundStatus.HELD).order_by(col(Round.id).desc()))
            )

    def request_cancel(self, round_id: int) -> Round:
        """Ask for an end: a queued round ends at once, a running one when its worker sees it.

        Raises `NotFound`, and `Conflict` when the round has ended.
        """
        with self._db.write(_ROUNDS) as session:
            row = _get(session, Round, round_id)
            if row.status not in ACTIVE:
                raise Conflict(f"Round {round_id} has ended as {row.status}; there is nothing to cancel.")
            row.cancel_requested = True
            if row.status == RoundStatus.QUEUED:
                row.status = RoundStatus.CANCELLED
                row.finished_at = self._db.now()
        return row

    def begin_stage(self, round_id: int, name: str) -> Stage:
        """The round's stage of this name, running from now; a stage that is tried again keeps its first start."""
        with self._db.write("stage") as session:
            stage = session.exec(select(Stage).where(Stage.round_id == round_id, Stage.name == name)).first()
            if stage is None:
                stage = Stage(round_id=round_id, name=name, status=StageStatus.RUNNING, started_at=self._db.now())
                session.add(stage)
                session.flush()
            else:
                stage.status, stage.error, stage.finished_at = StageStatus.RUNNING, "", None
                stage.started_at = stage.started_at or self._db.now()
        return stage

    def finish_stage(self, stage_id: int, status: str, error: str = "", attempt: int | None = None) -> Stage:
        """End a stage as done, failed or cancelled, and say which attempt counts."""
        with self._db.write() as session:
            stage = _get(session, Stage, stage_id)
            stage.status, stage.error, stage.finished_at = status, error, self._db.now()
            stage.counted_attempt = attempt
        return stage

    def stages(self, round_id: int) -> list[Stage]:
        """A round's stages in the order they began."""
        with self._db.read() as session:
            return list(session.exec(select(Stage).where(Stage.round_id == round_id).order_by(col(Stage.id))))

    def add_attempt(self, stage_id: int, folder: str) -> Attempt:
        """A new try; earlier ones that still say running were left by a worker that died."""
        with self._db.write("attempt") as session:
            for left in session.exec(
                select(Attempt).where(Attempt.stage_id == stage_id, Attempt.status == AttemptStatus.RUNNING)
            ):
                left.status = AttemptStatus.ABANDONED
            attempt = Attempt(stage_id=stage_id, folder=folder, status=AttemptStatus.RUNNING, started_at=self._db.now())
            session.add(attempt)
            session.flush()
        return attempt

    def update_attempt(self, attempt_id: int, **columns: Any) -> Attempt:
        """Set columns of an attempt. Raises `NotFound`."""
        with self._db.write() as session:
            attempt = _get(session, Attempt, attempt_id)
            _assign(attempt, columns)
        return attempt

    def attempts(self, stage_id: int) -> list[Attempt]:
        """A stage's attempts, oldest first."""
        with self._db.read() as session:
            return list(session.exec(select(Attempt).where(Attempt.stage_id == stage_id).order_by(col(Attempt.id))))

    def add_progress(self, attempt_id: int, number: int, record: StepRecord) -> None:
        """Keep one numbered record; the same number again changes nothing."""
        with self._db.write("progress") as session:
            known = select(Progress.id).where(Progress.attempt_id == attempt_id, Progress.number == number)
            if session.exec(known).first() is None:
                session.add(Progress(attempt_id=attempt_id, number=number, record=dict(record), at=self._db.now()))

    def progress(self, attempt_id: int | None = None, *, stage_id: int | None = None, after: int = 0) -> list[Progress]:
        """Records with a number above `after`, in order, of an attempt or of a stage's newest attempt."""
        with self._db.read() as session:
            if attempt_id is None:
                newest = select(Attempt.id).where(Attempt.stage_id == stage_id).order_by(col(Attempt.id).desc())
                attempt_id = session.exec(newest.limit(1)).first()
            statement = select(Progress).where(Progress.attempt_id == attempt_id, Progress.number > after)
            return list(session.exec(statement.order_by(col(Progress.number))))

    def add_snapshot(
        self, folder: str, hash: str, manifest: SnapshotRecord, people: Mapping[str, int] | None = None
    ) -> Snapshot:
        """Register a snapshot that lies complete in its folder; `people` counts judgements by person."""
        snapshot = Snapshot(folder=folder, hash=hash, manifest=dict(manifest), created_at=self._db.now())
        with self._db.write() as session:
            session.add(snapshot)
            session.flush()
            session.add_all(
                SnapshotPerson(snapshot_id=snapshot.id, person_id=person, judgements=count)
                for person, count in (people or {}).items()
            )
        return snapshot

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot, oldest first."""
        with self._db.read() as session:
            return list(session.exec(select(Snapshot).order_by(col(Snapshot.created_at), col(Snapshot.id))))

    def set_snapshot(self, snapshot_id: str, hash: str, manifest: SnapshotRecord) -> Snapshot:
        """Name a snapshot anew after texts were erased from it. Raises `NotFound`."""
        with self._db.write() as session:
            snapshot = session.get(Snapshot, snapshot_id)
            if snapshot is None:
                raise NotFound(f"There is no snapshot {snapshot_id}.")
            snapshot.hash, snapshot.manifest = hash, dict(manifest)
        return snapshot

    def people_in(self, snapshot_id: str) -> list[tuple[Person, int]]:
        """Whose judgements a snapshot was compiled from, and how many; the most first."""
        statement = (
            select(Person, SnapshotPerson.judgements)
            .join(SnapshotPerson, col(SnapshotPerson.person_id) == Person.id)
            .where(SnapshotPerson.snapshot_id == snapshot_id)
            .order_by(col(SnapshotPerson.judgements).desc(), col(Person.name))
        )
        with self._db.read() as session:
            return [(person, count) for person, count in session.exec(statement)]

    def snapshots_of(self, person_id: str) -> list[tuple[Snapshot, int]]:
        """The snapshots that a person's judgements went into, and how many; oldest first."""
        statement = (
            select(Snapshot, SnapshotPerson.judgements)
            .join(SnapshotPerson, col(SnapshotPerson.snapshot_id) == Snapshot.id)
            .where(SnapshotPerson.person_id == person_id)
            .order_by(col(Snapshot.created_at), col(Snapshot.id))
        )
        with self._db.read() as session:
            return [(snapshot, count) for snapshot, count in session.exec(statement)]

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """One snapshot."""
        with self._db.read() as session:
            return session.get(Snapshot, snapshot_id)


def _active(session: Session) -> Round | None:
    return session.exec(select(Round).where(col(Round.status).in_(ACTIVE)).order_by(col(Round.id)).limit(1)).first()


def _get(session: Session, table: type[Row], id: int) -> Row:
    row = session.get(table, id)
    if row is None:
        raise NotFound(f"There is no {table.__name__.lower()} {id}.")
    return row


def _assign(row: SQLModel, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if name not in type(row).model_fields or name == "id":
            raise ValueError(f"{type(row).__name__} has no column {name} that may be set")
        setattr(row, name, value)
