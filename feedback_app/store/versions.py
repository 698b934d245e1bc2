"""Versions and what the alias `policy` means: the newest publication."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from feedback_app.domain.rounds import RoundStatus
from feedback_app.domain.versions import PublicationReason, VersionKind, VersionState
from feedback_app.errors import Conflict, NotFound
from feedback_app.store.engine import Database
from feedback_app.store.tables import FingerprintRow, Publication, Round, Version

_ALIAS = "publication"  # lock: flips of the alias follow one another


class Versions:
    """Queries about versions and publications."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, version: Version) -> Version:
        """Register a version. Raises `Conflict` when the name is taken: a version never changes."""
        with self._db.write("version") as session:
            if session.get(Version, version.name) is not None:
                raise Conflict(f"There is already a version called {version.name}.")
            session.add(version)
        return version

    def get(self, name: str) -> Version | None:
        """The version of this name."""
        with self._db.read() as session:
            return session.get(Version, name)

    def listing(self, *, milestones: bool = False) -> list[Version]:
        """Every version that can be served, oldest first; `milestones` of rounds too only where asked for."""
        statement = select(Version).order_by(col(Version.created_at), col(Version.name))
        with self._db.read() as session:
            return list(
                session.exec(statement if milestones else statement.where(Version.kind != VersionKind.MILESTONE))
            )

    def set_state(self, name: str, state: VersionState) -> Version:
        """Say what may be done with a version; a new challenger makes an older one ready again.

        Raises `NotFound`.
        """
        with self._db.write("version") as session:
            version = _version(session, name)
            if state == VersionState.CHALLENGER:
                _step_down(session)
            version.state = state
        return version

    def next_name(self) -> str:
        """The next free name: policy-0001, policy-0002, …"""
        with self._db.read() as session:
            names = session.exec(select(Version.name).where(col(Version.name).like("policy-%"))).all()
        numbers = [int(found[1]) for name in names if (found := re.fullmatch(r"policy-(\d+)", name))]
        return f"policy-{1 + max(numbers, default=0):04d}"

    def published(self) -> Publication | None:
        """What `policy` means now; None before the first publication."""
        with self._db.read() as session:
            return _published(session)

    def publish(
        self,
        name: str,
        reason: PublicationReason,
        person_id: str | None = None,
        note: str = "",
        *,
        instead_of: str | None = None,
    ) -> Publication:
        """Point `policy` at a version, in one transaction; it is no longer challenger or dropped.

        Publishing what is published already changes nothing, unless the worker had to fall back on it: then it is
        kept on purpose from now on. With `instead_of` nothing changes unless `policy` still means that version.
        Raises `NotFound`, and `Conflict` on a version that cannot be loaded.
        """
        with self._db.write(_ALIAS) as session:
            version = _version(session, name)
            if version.state == VersionState.UNLOADABLE:
                raise Conflict(f"{name} belongs to another base model and cannot be served with this one.")
            if version.kind == VersionKind.MILESTONE:
                raise Conflict(f"{name} is a milestone: it is judged on the way of a round and never served.")
            now = _published(session)
            if now is not None and instead_of not in (None, now.version):
                return now
            version.state = VersionState.READY
            if (
                now is not None
                and now.version == name
                and (now.reason != PublicationReason.DAMAGED or reason == PublicationReason.DAMAGED)
            ):
                return now
            publication = Publication(
                version=name,
                previous=now.version if now else None,
                reason=reason,
                person_id=person_id,
                note=note,
                at=self._db.now(),
            )
            session.add(publication)
            session.flush()
        return publication

    def history(self) -> list[Publication]:
        """Every publication, newest first."""
        with self._db.read() as session:
            return list(session.exec(select(Publication).order_by(col(Publication.id).desc())))

    def fingerprint(self, name: str, engine: str) -> list[Any] | None:
        """What was kept to know this version again by, as this engine computes; None when there is nothing."""
        with self._db.read() as session:
            row = session.get(FingerprintRow, (name, engine))
            return None if row is None else list(row.marks)

    def keep_fingerprint(self, name: str, engine: str, marks: Sequence[Any]) -> list[Any]:
        """Keep it, unless there is one already: the one that is kept."""
        with self._db.write(_ALIAS) as session:
            row = session.get(FingerprintRow, (name, engine))
            if row is None:
                row = FingerprintRow(version=name, engine=engine, marks=list(marks), taken_at=self._db.now())
                session.add(row)
            return list(row.marks)

    def watched(self, states: Sequence[str] = (VersionState.WATCHED,)) -> list[Version]:
        """The milestones in these states that the running round waits for, the newest first: one, as a rule."""
        statement = (
            select(Version)
            .join(Round, col(Round.id) == Version.round_id)
            .where(
                Version.kind == VersionKind.MILESTONE,
                col(Version.state).in_(states),
                Round.status == RoundStatus.RUNNING,
            )
            .order_by(col(Version.created_at).desc())
        )
        with self._db.read() as session:
            return list(session.exec(statement))

    def challenger(self) -> Version | None:
        """The version that people compare with the incumbent now, if any."""
        with self._db.read() as session:
            return next(iter(_challengers(session)), None)


def _challengers(session: Session) -> list[Version]:
    statement = select(Version).where(Version.state == VersionState.CHALLENGER).order_by(col(Version.created_at).desc())
    return list(session.exec(statement))


def _step_down(session: Session) -> None:
    for version in _challengers(session):
        version.state = VersionState.READY


def _published(session: Session) -> Publication | None:
    return session.exec(select(Publication).order_by(col(Publication.id).desc()).limit(1)).first()


def _version(session: Session, name: str) -> Version:
    version = session.get(Version, name)
    if version is None:
        raise NotFound(f"There is no version called {name}. `alignloop version list` names them.")
    return version
