"""Who people are and how far they reach: passwords, sessions, keys, roles.

Passwords are hashed with Argon2id; of tokens and API keys only SHA-256 is stored (they are 256 random
bits, so a fast hash is enough). Synchronous: a password takes tens of milliseconds and 19 MiB, so servers
call these in few threads. What is not done here: cookies and headers, and how guessers wait (`guessing`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from feedback_app.collect.guessing import (
    DEVICE_S,
    MEMORY_S,
    address_mark,
    device_mark,
    name_mark,
    session_mark,
    wait_s,
)
from feedback_app.domain.people import Role
from feedback_app.errors import Conflict, NotAllowed, NotFound, NotSignedIn, SlowDown, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person

SESSION_S = 30 * 24 * 3600.0
SHORTEST_PASSWORD = 8
LONGEST_NAME = 64
FIRST_OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A new person with what is shown once. Scripted people have neither password nor key."""

    person: Person
    password: str
    api_key: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session and its device: both tokens go into cookies and are not stored."""

    token: str
    device: str
    person: Person


class Passwords:
    """Argon2id at the cost that OWASP's Password Storage Cheat Sheet asks for: 19 MiB, two passes, one lane.

    The library's own default takes five times as much of a machine that may be training beside us.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

    def hash(self, password: str) -> str:
        """The encoded hash, salt and cost included."""
        return self._hasher.hash(password)

    def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is right. An empty hash is never right, but takes as long to refuse."""
        try:
            given = password.encode("utf-8", "replace")
            return self._hasher.verify(password_hash or self._nobody, given) and bool(password_hash)
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe(16))


PASSWORDS = Passwords()


def require(person: Person, role: Role) -> None:
    """Raise `NotAllowed` unless the person's role reaches `role`."""
    if not Role(person.role).reaches(role):
        who = "an operator" if role is Role.OPERATOR else f"{'an' if role is Role.ANNOTATOR else 'a'} {role}"
        raise NotAllowed(f"Only {who} may do this, and {person.name} is {person.role}. Ask an operator for the role.")


def add_person(store: Store, name: str, role: str, *, password: str | None = None, scripted: bool = False) -> NewPerson:
    """Add a person, with a generated password unless one is given. Raises `UsageError` or `Conflict`."""
    name = _name(name)
    role = _role(role)
    if scripted:
        return NewPerson(store.people.add(name, role, "", scripted=True), "", "")
    password = secrets.token_urlsafe(12) if password is None else _password(password)
    person = store.people.add(name, role, PASSWORDS.hash(password))
    return NewPerson(person, password, new_key(store, person))


def ensure_operator(store: Store, password: str | None = None) -> NewPerson | None:
    """The first operator, made when there is no operator yet; None when there is one already."""
    if any(person.role == Role.OPERATOR for person in store.people.listing()):
        return None
    try:
        return add_person(store, FIRST_OPERATOR, Role.OPERATOR, password=password)
    except Conflict:  # another process that started at the same time was first
        return None


def new_key(store: Store, person: Person) -> str:
    """A new API key for the door; earlier ones stop working. It is shown once."""
    key = "al-" + secrets.token_urlsafe(32)
    store.people.replace_key(_digest(key), person.id)
    return key


def check_password(store: Store, name: str, password: str, sources: Sequence[str]) -> Person:
    """The person of this name, if the password is right. Raises `SlowDown` or `NotSignedIn`.

    `sources` say where the try comes from (`guessing`); it counts on the first that need not wait.
    """
    name = name.strip()
    mark = name_mark(name)
    booked = store.guesses.book(mark, sources, wait_s, MEMORY_S)
    if booked.wait_s > 0:
        raise SlowDown(booked.wait_s)
    person = store.people.by_name(name) if _may_be_a_name(name) else None
    right = PASSWORDS.verify(person.password_hash if person else "", password)
    if person is None or not right:
        raise NotSignedIn("The name or the password is wrong. Try again, or ask an operator to reset it.")
    store.guesses.forget(mark, booked.source)
    if person.disabled:
        raise NotSignedIn(f"{person.name} is disabled. Ask an operator.")
    if PASSWORDS.outdated(person.password_hash):
        fresh, seen = PASSWORDS.hash(password), person.password_hash
        person.password_hash = fresh
        store.people.rehash_password(person.id, fresh, seen)
    return person


def sign_in(
    store: Store, name: str, password: str, address: str, ttl_s: float = SESSION_S, *, device: str | None = None
) -> SignedIn:
    """Begin a session, and know this browser as the person's. `device` is the token that its cookie holds.

    Raises `SlowDown` after too many wrong passwords, else `NotSignedIn` on a wrong one.
    """
    known = knows_device(store, name, device)
    sources = [*([device_mark(device)] if known and device else []), address_mark(address)]
    person = check_password(store, name, password, sources)
    return _begin(store, person, ttl_s, device)


def knows_device(store: Store, name: str, device: str | None) -> bool:
    """Whether the person of this name has signed in in the browser that holds this token."""
    name = name.strip()
    if not device or not _may_be_a_name(name):
        return False
    return store.guesses.knows(_digest(device), name, store.now() - DEVICE_S)


def _begin(store: Store, person: Person, ttl_s: float, device: str | None) -> SignedIn:
    """A session for whoever proved `person`'s present password; the device gets a new token."""
    token, fresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    store.people.add_sign_in(
        _digest(token),
        person.id,
        store.now() + ttl_s,
        seen=person.password_hash,
        device=_digest(fresh),
        replaces=_digest(device) if device else None,
    )
    return SignedIn(token, fresh, person)


def person_of_token(store: Store, token: str | None) -> Person | None:
    """The person of a session token, or None when it is not valid (any more)."""
    return store.people.person_by_sign_in(_digest(token)) if token else None


def person_of_key(store: Store, key: str | None) -> Person | None:
    """The person of an API key, or None when it is not valid (any more)."""
    return store.people.person_by_key(_digest(key)) if key else None


def sign_out(store: Store, token: str) -> None:
    """End one session."""
    store.people.revoke_sign_in(_digest(token))


def reset_password(store: Store, by: Person, name: str, *, revoke_keys: bool = False) -> str:
    """A new generated password for somebody, whose sessions all end, and keys where asked. Operators only."""
    require(by, Role.OPERATOR)
    return renew_password(store, named(store, name), revoke_keys=revoke_keys)


def renew_password(store: Store, person: Person, *, revoke_keys: bool = False) -> str:
    """`reset_password` by whoever has the command line. Raises `UsageError` for scripted people."""
    if person.scripted:
        raise UsageError(f"{person.name} is scripted and does not sign in.")
    password = secrets.token_urlsafe(12)
    store.people.replace_password(person.id, PASSWORDS.hash(password), revoke_keys=revoke_keys)
    store.guesses.forget_name(name_mark(person.name))
    return password


def change_password(
    store: Store,
    person: Person,
    old: str,
    new: str,
    *,
    token: str,
    ttl_s: float = SESSION_S,
    device: str | None = None,
    revoke_keys: bool = False,
) -> SignedIn:
    """Change one's own password. Every session ends, that of `token` too, which gets a new one.

    Every other device than `device` is forgotten. Raises `SlowDown` or `NotSignedIn` when `old` is wrong,
    `UsageError` when `new` is too short, `Conflict` when the password was changed at the same moment.
    """
    new = _password(new)
    # Whoever is signed in waits for their own mistakes alone, and a stolen session is no free pass.
    proved = check_password(store, person.name, old, [session_mark(token)])
    person = store.people.replace_password(
        person.id,
        PASSWORDS.hash(new),
        seen=proved.password_hash,
        revoke_keys=revoke_keys,
        keep_device=_digest(device) if device else None,
    )
    return _begin(store, person, ttl_s, device)


def revoke_key(store: Store, by: Person, name: str) -> int:
    """End somebody's API key; returns how many there were. Operators only."""
    require(by, Role.OPERATOR)
    return store.people.revoke_keys(named(store, name).id)


def set_disabled(store: Store, by: Person, name: str, disabled: bool) -> Person:
    """Disable or enable somebody. Operators only; raises `Conflict` on the last operator."""
    require(by, Role.OPERATOR)
    return store.people.set_disabled(named(store, name).id, disabled)


def set_role(store: Store, by: Person, name: str, role: str) -> Person:
    """Give somebody another role. Operators only; raises `Conflict` on the last operator."""
    require(by, Role.OPERATOR)
    return store.people.set_role(named(store, name).id, _role(role))


def set_aside(store: Store, by: Person, name: str, aside: bool) -> Person:
    """Set somebody's judgements aside, or take them back in. Operators only."""
    require(by, Role.OPERATOR)
    return store.people.set_aside(named(store, name).id, aside)


def named(store: Store, name: str) -> Person:
    """The person of this name. Raises `NotFound`."""
    person = store.people.by_name(name.strip())
    if person is None:
        raise NotFound(f"There is no person called {name}.")
    return person


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _name(name: str) -> str:
    name = name.strip()
    if not _may_be_a_name(name):
        raise UsageError(f"A name has 1 to {LONGEST_NAME} printable characters. Choose another one.")
    return name


def _may_be_a_name(name: str) -> bool:
    return 1 <= len(name) <= LONGEST_NAME and name.isprintable()


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError as error:
        raise UsageError(f"There is no role {role}. Use one of: {', '.join(Role)}.") from error


def _password(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise UsageError(f"A password has at least {SHORTEST_PASSWORD} characters. Choose a longer one.")
    return password
