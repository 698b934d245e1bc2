"""Wrong passwords by guesser, and the browsers that are known from earlier sign-ins.

A guesser is a name and a source, both given as short hashes; how long one waits is decided by the caller.
Rows are few: old ones go with every new one, and at `MOST` an eighth, those with the fewest wrong passwords.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, or_, tuple_
from sqlmodel import Session, col, func, select

from feedback_app.store.engine import Database
from feedback_app.store.tables import Device, Person, WrongPassword

MOST = 4096
MOST_DEVICES = 16  # of one person
_LOCK = "wrong_password"
Wait = Callable[[int, float], float]


@dataclass(frozen=True, slots=True)
class Booked:
    """One try: `wait_s` until it is allowed, or 0 and the source that it was booked on."""

    wait_s: float
    source: str = ""


class Guesses:
    """Queries about who may try a password now."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def book(self, name: str, sources: Sequence[str], wait: Wait, memory_s: float) -> Booked:
        """Book one try before the password is looked at, so that parallel guesses cannot slip past the count.

        `wait` says for how long a source waits, given its wrong passwords and the seconds since the last. The
        try counts on the first source that need not wait, as a wrong password until `forget` says otherwise.
        A refused try writes nothing. A row from the future (the clock was set back) counts from now on.
        """
        now = self._db.now()
        with self._db.read() as session:
            rows = _rows(session, name, sources, now - memory_s)
        if len(rows) == len(sources) and all(row.at <= now for row in rows.values()):
            delays = [wait(row.wrong, now - row.at) for row in rows.values()]
            if min(delays) > 0:
                return Booked(min(delays))
        with self._db.write(_LOCK) as session:
            rows = _rows(session, name, sources, now - memory_s)
            delays = []
            for source in sources:
                row = rows.get(source)
                if row is not None and row.at > now:
                    row.at = now
                delay_s = 0.0 if row is None else wait(row.wrong, now - row.at)
                delays.append(delay_s)
                if delay_s <= 0:
                    if row is None:
                        _prune(session, now, memory_s)
                        session.add(WrongPassword(name=name, source=source, wrong=1, at=now))
                    else:
                        row.wrong, row.at = row.wrong + 1, now
                    return Booked(0.0, source)
        return Booked(min(delays))

    def forget(self, name: str, source: str) -> None:
        """After a right password: this guesser was none."""
        with self._db.write(_LOCK) as session:
            session.execute(
                delete(WrongPassword).where(col(WrongPassword.name) == name, col(WrongPassword.source) == source)
            )

    def forget_name(self, name: str) -> None:
        """After an operator's reset: nobody waits for this name any more."""
        with self._db.write(_LOCK) as session:
            session.execute(delete(WrongPassword).where(col(WrongPassword.name) == name))

    def count(self) -> int:
        """How many guessers are remembered."""
        with self._db.read() as session:
            return session.exec(select(func.count()).select_from(WrongPassword)).one()

    def knows(self, token_hash: str, name: str, since: float) -> bool:
        """Whether the person of this name has signed in in this browser since then."""
        statement = (
            select(Device.person_id)
            .join(Person, col(Person.id) == Device.person_id)
            .where(Device.token_hash == token_hash, Person.name == name, Device.used_at >= since)
        )
        with self._db.read() as session:
            return session.exec(statement).first() is not None


def remember_device(session: Session, token_hash: str, person_id: str, replaces: str | None, now: float) -> None:
    """Know this browser under a new token: whoever copied the old one has nothing."""
    if replaces is not None:
        for row in session.exec(select(Device).where(Device.token_hash == replaces)).all():
            session.delete(row)
            if row.person_id != person_id:  # somebody else who uses the same browser
                session.add(Device(token_hash=token_hash, person_id=row.person_id, used_at=row.used_at))
    session.add(Device(token_hash=token_hash, person_id=person_id, used_at=now))
    session.flush()
    newest = select(Device.token_hash).where(Device.person_id == person_id).order_by(col(Device.used_at).desc())
    for stale in session.exec(newest.offset(MOST_DEVICES)).all():
        forget_devices(session, person_id, only=stale)


def forget_devices(session: Session, person_id: str, *, only: str | None = None, keep: str | None = None) -> None:
    """Know a person's browsers no longer: all of them, `only` one, or all but `keep`."""
    statement = delete(Device).where(col(Device.person_id) == person_id)
    if only is not None:
        statement = statement.where(col(Device.token_hash) == only)
    if keep is not None:
        statement = statement.where(col(Device.token_hash) != keep)
    session.execute(statement)


def _rows(session: Session, name: str, sources: Sequence[str], since: float) -> dict[str, WrongPassword]:
    statement = select(WrongPassword).where(WrongPassword.name == name, col(WrongPassword.source).in_(sources))
    return {row.source: row for row in session.exec(statement) if row.at >= since}


def _prune(session: Session, now: float, memory_s: float) -> None:
    """Drop what is older than the memory, what lies as far ahead (a clock that jumped), and what is too much.

    Guessers with the fewest wrong passwords go first, so that nobody frees themselves by trying many names.
    """
    at = col(WrongPassword.at)
    statement = delete(WrongPassword).where(or_(at < now - memory_s, at > now + memory_s))
    session.execute(statement, execution_options={"synchronize_session": False})
    if session.exec(select(func.count()).select_from(WrongPassword)).one() >= MOST:
        key = tuple_(col(WrongPassword.name), col(WrongPassword.source))
        weakest = select(WrongPassword.name, WrongPassword.source).order_by(col(WrongPassword.wrong), at)
        statement = delete(WrongPassword).where(key.in_(weakest.limit(MOST // 8)))
        session.execute(statement, execution_options={"synchronize_session": False})
