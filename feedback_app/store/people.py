"""People, their sessions, keys and wrong passwords. Hashing and rules live in `collect.people`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import delete, or_, update
from sqlmodel import Session, col, func, select

from feedback_app.errors import Conflict, NotFound
from feedback_app.store.engine import Database
from feedback_app.store.tables import ApiKey, Person, SignIn, WrongPassword

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
            if role != "operator":
                keep_an_operator(session, person)
            person.role = role
        return person

    def set_password(self, person_id: str, password_hash: str) -> Person:
        """Store another password hash."""
        with self._db.write() as session:
            person = person_of(session, person_id)
            person.password_hash = password_hash
        return person

    def set_disabled(self, person_id: str, disabled: bool) -> Person:
        """Disable or enable; disabling ends every session. Raises `Conflict` when it would leave no operator."""
        with self._db.write(_OPERATORS) as session:
            person = person_of(session, person_id)
            if disabled:
                keep_an_operator(session, person)
                _revoke_sign_ins(session, person_id, self._db.now())
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

    def add_sign_in(self, token_hash: str, person_id: str, expires_at: float) -> SignIn:
        """A new session row."""
        sign_in = SignIn(token_hash=token_hash, person_id=person_id, created_at=self._db.now(), expires_at=expires_at)
        with self._db.write() as session:
            session.add(sign_in)
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

    def revoke_all(self, person_id: str, keep: str | None = None) -> None:
        """End every session of a person, but the one whose token hash is `keep`."""
        with self._db.write() as session:
            _revoke_sign_ins(session, person_id, self._db.now(), keep)

    def add_key(self, key_hash: str, person_id: str) -> ApiKey:
        """A new API key row."""
        key = ApiKey(key_hash=key_hash, person_id=person_id, created_at=self._db.now())
        with self._db.write() as session:
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

    def revoke_keys(self, person_id: str) -> None:
        """Revoke every API key of a person."""
        with self._db.write() as session:
            session.execute(
                update(ApiKey)
                .where(col(ApiKey.person_id) == person_id, col(ApiKey.revoked_at).is_(None))
                .values(revoked_at=self._db.now())
            )

    def add_wrong_password(self, name: str, address: str) -> None:
        """Remember one wrong password."""
        with self._db.write() as session:
            session.add(WrongPassword(name=name, address=address, at=self._db.now()))

    def wrong_passwords(self, name: str | None, address: str | None, since: float) -> list[float]:
        """Times of wrong passwords for this name or from this address, oldest first; None leaves one out."""
        with self._db.read() as session:
            return _wrong_times(session, name, address, since)

    def try_password(
        self, name: str, address: str, since: float, wait: Callable[[Sequence[float], Sequence[float]], float]
    ) -> float:
        """Book one try before the password is looked at, so that parallel guesses cannot slip past the count.

        `wait` gets the times of earlier wrong passwords by name and by address and says for how many seconds
        the next try must wait. Returns that; only when it is 0 is the try booked, as a wrong password until
        `forget_wrong_passwords` says otherwise.
        """
        with self._db.write("wrong_password") as session:
            times = _wrong_times(session, name, None, since), _wrong_times(session, None, address, since)
            delay_s = wait(*times)
            if delay_s <= 0:
                session.add(WrongPassword(name=name, address=address, at=self._db.now()))
        return max(0.0, delay_s)

    def forget_wrong_passwords(self, name: str, address: str) -> None:
        """After a right password: this name's tries from this address no longer count."""
        with self._db.write() as session:
            session.execute(
                delete(WrongPassword).where(col(WrongPassword.name) == name, col(WrongPassword.address) == address)
            )


def person_of(session: Session, person_id: str) -> Person:
    """The person of this id. Raises `NotFound`."""
    person = session.get(Person, person_id)
    if person is None:
        raise NotFound("There is no such person.")
    return person


def is_trusted(person: Person) -> bool:
    """Whether a person's corrections train at once: operators' do anyway."""
    return person.role == "operator" or person.trusted_at is not None


def keep_an_operator(session: Session, person: Person) -> None:
    """Raise `Conflict` when this person is the last operator."""
    if person.role != "operator" or person.disabled:
        return
    others = session.exec(
        select(func.count())
        .select_from(Person)
        .where(Person.role == "operator", col(Person.disabled).is_(False), Person.id != person.id)
    ).one()
    if not others:
        raise Conflict(f"{person.name} is the last operator. Make somebody else an operator first.")


def _revoke_sign_ins(session: Session, person_id: str, now: float, keep: str | None = None) -> None:
    statement = update(SignIn).where(col(SignIn.person_id) == person_id, col(SignIn.revoked_at).is_(None))
    if keep is not None:
        statement = statement.where(col(SignIn.token_hash) != keep)
    session.execute(statement.values(revoked_at=now))


def _wrong_times(session: Session, name: str | None, address: str | None, since: float) -> list[float]:
    statement = select(WrongPassword.at).where(
        or_(col(WrongPassword.name) == name, col(WrongPassword.address) == address), WrongPassword.at >= since
    )
    return list(session.exec(statement.order_by(col(WrongPassword.at))))
