"""People, their sessions and keys. Hashing and rules live in `collect.people`.

Whatever begins, ends or rests on a password takes the lock `ACCOUNTS`, so that nothing begun with an old password
or by somebody disabled meanwhile outlives that.
"""

from __future__ import annotations

from sqlalchemy import CursorResult, update
from sqlmodel import Session, col, func, select

from feedback_app.domain.people import Role
from feedback_app.errors import Conflict, NotFound
from feedback_app.store.engine import Database
from feedback_app.store.guesses import forget_devices, remember_device
from feedback_app.store.tables import ApiKey, Person, SignIn

ACCOUNTS = "accounts"
_OPERATORS = "operators"  # lock: who may be the last operator is decided by one writer at a time


class People:
    """Queries about people. Tokens and keys come and go as hashes only."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, name: str, role: str, password_hash: str, scripted: bool = False) -> Person:
        """A new person. Raises `Conflict` when the name is taken."""
        with self._db.write("people") as session:
            if session.exec(select(Person.id).where(Person.name == name)).first():
                raise Conflict(f"There is already a person called {name}. Choose another name.")
            person = Person(
                name=name, role=role, password_hash=password_hash, scripted=scripted, created_at=self._db.now()
            )
            session.add(person)
        return person

    def by_name(self, name: str) -> Person | None:
        """The person of this name, disabled or not."""
        with self._db.read() as session:
            return session.exec(select(Person).where(Person.name == name)).first()

    def by_id(self, person_id: str) -> Person | None:
        """The person of this id, disabled or not."""
        with self._db.read() as session:
            return session.get(Person, person_id)

    def listing(self) -> list[Person]:
        """Everybody, in the order they came."""
        with self._db.read() as session:
            return list(session.exec(select(Person).order_by(col(Person.created_at), col(Person.name))))

    def set_role(self, person_id: str, role: str) -> Person:
        """Give a role. Raises `Conflict` when it would leave no operator."""
        with self._db.write(_OPERATORS) as session:
            person = person_of(session, person_id)
            if role != Role.OPERATOR:
                keep_an_operator(session, person)
            person.role = role
        return person

    def rehash_password(self, person_id: str, password_hash: str, seen: str) -> None:
        """Store the same password's hash at another cost, unless `seen` is no longer the hash."""
        with self._db.write(ACCOUNTS) as session:
            person = person_of(session, person_id)
            if person.password_hash == seen:
                person.password_hash = password_hash

    def replace_password(
        self,
        person_id: str,
        password_hash: str,
        *,
        seen: str | None = None,
        revoke_keys: bool = False,
        keep_device: str | None = None,
    ) -> Person:
        """Store another password; every session ends, every device but one is forgotten, keys go where asked.

        Raises `Conflict` when `seen`, the hash that was verified, is no longer the person's.
        """
        with self._db.write(ACCOUNTS) as session:
            person = person_of(session, person_id)
            if seen is not None:  # an operator resets whatever it was
                _check_seen(person, seen)
            person.password_hash = password_hash
            now = self._db.now()
            _revoke_sign_ins(session, person_id, now)
            forget_devices(session, person_id, keep=keep_device)
            if revoke_keys:
                _revoke_keys(session, person_id, now)
        return person

    def set_disabled(self, person_id: str, disabled: bool) -> Person:
        """Disable or enable; disabling ends every session, device and key for good.

        Raises `Conflict` when it would leave no operator.
        """
        with self._db.write(_OPERATORS, ACCOUNTS) as session:
            person = person_of(session, person_id)
            if disabled:
                keep_an_operator(session, person)
                now = self._db.now()
                _revoke_sign_ins(session, person_id, now)
                _revoke_keys(session, person_id, now)
                forget_devices(session, person_id)
            person.disabled = disabled
        return person

    def set_consented(self, person_id: str) -> Person:
        """Note that this person has seen and accepted what is kept; the first time counts."""
        with self._db.write() as session:
            person = person_of(session, person_id)
            person.consented_at = person.consented_at or self._db.now()
        return person

    def set_trusted(self, person_id: str, trusted: bool) -> Person:
        """Trust a person's corrections at once, or no longer; the first time counts."""
        with self._db.write() as session:
            person = person_of(session, person_id)
            person.trusted_at = (person.trusted_at or self._db.now()) if trusted else None
        return person

    def set_aside(self, person_id: str, aside: bool) -> Person:
        """Set a person's judgements aside, or take them back in; the first time counts, and nothing is removed."""
        with self._db.write() as session:
            person = person_of(session, person_id)
            person.set_aside_at = (person.set_aside_at or self._db.now()) if aside else None
        return person

    def add_sign_in(
        self,
        token_hash: str,
        person_id: str,
        expires_at: float,
        *,
        seen: str | None = None,
        device: str | None = None,
        replaces: str | None = None,
    ) -> SignIn:
        """A new session row, and the browser's `device` in place of the one that it had.

        Raises `Conflict` when the person is disabled, or `seen`, the hash that was verified, is no longer theirs.
        """
        now = self._db.now()
        with self._db.write(ACCOUNTS) as session:
            _check_seen(person_of(session, person_id), seen)
            sign_in = SignIn(token_hash=token_hash, person_id=person_id, created_at=now, expires_at=expires_at)
            session.add(sign_in)
            if device is not None:
                remember_device(session, device, person_id, replaces, now)
        return sign_in

    def person_by_sign_in(self, token_hash: str) -> Person | None:
        """The session's person, unless it has expired or was revoked, or the person is disabled."""
        statement = (
            select(Person)
            .join(SignIn, col(SignIn.person_id) == Person.id)
            .where(
                SignIn.token_hash == token_hash,
                SignIn.expires_at > self._db.now(),
                col(SignIn.revoked_at).is_(None),
                col(Person.disabled).is_(False),
            )
        )
        with self._db.read() as session:
            return session.exec(statement).first()

    def revoke_sign_in(self, token_hash: str) -> None:
        """End one session."""
        with self._db.write() as session:
            row = session.get(SignIn, token_hash)
            if row is not None and row.revoked_at is None:
                row.revoked_at = self._db.now()

    def revoke_all(self, person_id: str) -> None:
        """End every session of a person."""
        with self._db.write(ACCOUNTS) as session:
            _revoke_sign_ins(session, person_id, self._db.now())

    def replace_key(self, key_hash: str, person_id: str) -> ApiKey:
        """A new API key row in place of every earlier one. Raises `Conflict` when the person is disabled."""
        now = self._db.now()
        with self._db.write(ACCOUNTS) as session:
            _check_seen(person_of(session, person_id), None)
            _revoke_keys(session, person_id, now)
            key = ApiKey(key_hash=key_hash, person_id=person_id, created_at=now)
            session.add(key)
        return key

    def person_by_key(self, key_hash: str) -> Person | None:
        """The key's person, unless the key was revoked or the person is disabled."""
        statement = (
            select(Person)
            .join(ApiKey, col(ApiKey.person_id) == Person.id)
            .where(ApiKey.key_hash == key_hash, col(ApiKey.revoked_at).is_(None), col(Person.disabled).is_(False))
        )
        with self._db.read() as session:
            return session.exec(statement).first()

    def revoke_keys(self, person_id: str) -> int:
        """Revoke every API key of a person; returns how many there were."""
        with self._db.write(ACCOUNTS) as session:
            return _revoke_keys(session, person_id, self._db.now())


def person_of(session: Session, person_id: str) -> Person:
    """The person of this id. Raises `NotFound`."""
    person = session.get(Person, person_id)
    if person is None:
        raise NotFound("There is no such person.")
    return person


def is_trusted(person: Person) -> bool:
    """Whether a person's corrections train at once: operators' do anyway."""
    return person.role == Role.OPERATOR or person.trusted_at is not None


def keep_an_operator(session: Session, person: Person) -> None:
    """Raise `Conflict` when this person is the last operator."""
    if person.role != Role.OPERATOR or person.disabled:
        return
    others = session.exec(
        select(func.count())
        .select_from(Person)
        .where(Person.role == Role.OPERATOR, col(Person.disabled).is_(False), Person.id != person.id)
    ).one()
    if not others:
        raise Conflict(f"{person.name} is the last operator. Make somebody else an operator first.")


def _check_seen(person: Person, seen: str | None) -> None:
    if person.disabled:
        raise Conflict(f"{person.name} is disabled. Ask an operator.")
    if seen is not None and person.password_hash != seen:
        raise Conflict("The password was changed at the same moment. Sign in with the new one.")


def _revoke_sign_ins(session: Session, person_id: str, now: float) -> None:
    statement = update(SignIn).where(col(SignIn.person_id) == person_id, col(SignIn.revoked_at).is_(None))
    session.execute(statement.values(revoked_at=now))


def _revoke_keys(session: Session, person_id: str, now: float) -> int:
    statement = update(ApiKey).where(col(ApiKey.person_id) == person_id, col(ApiKey.revoked_at).is_(None))
    result = session.execute(statement.values(revoked_at=now))
    assert isinstance(result, CursorResult)
    return result.rowcount
