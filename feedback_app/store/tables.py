"""Every table. Only values and constraints: queries live in the files beside this one.

Ids are opaque random strings (`new_id`), except rounds and progress, which people count. Times are
seconds since the epoch as floats (UTC). JSON columns hold plain lists and objects.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from alignment.dataset.judgement import Excluded as Excluded  # what `Completion.excluded` may hold
from feedback_app.domain.conversations import Purpose
from feedback_app.domain.versions import VersionState, served_name


def new_id() -> str:
    """128 random bits, URL-safe."""
    return secrets.token_urlsafe(16)


def _json(empty: Callable[[], Any] = dict) -> Any:
    return Field(default_factory=empty, sa_column=Column(JSON, nullable=False))


class Person(SQLModel, table=True):
    """A chatter, annotator or operator; `scripted` people are counted apart everywhere."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(unique=True, index=True)
    role: str  # a `Role`
    password_hash: str = ""
    scripted: bool = False
    disabled: bool = False
    consented_at: float | None = None
    trusted_at: float | None = None  # corrections train without a second person; operators are trusted anyway
    set_aside_at: float | None = None  # compilations leave their judgements out until an operator takes them back in
    withdrawn_at: float | None = None  # no judgement of theirs is live, nor will be
    erased_at: float | None = None  # and their texts are gone
    created_at: float


class SignIn(SQLModel, table=True):
    """One signed-in session; only the token's SHA-256 is kept."""

    __tablename__ = "sign_in"
    token_hash: str = Field(primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    created_at: float
    expires_at: float
    revoked_at: float | None = None


class ApiKey(SQLModel, table=True):
    """A key for the door; only its SHA-256 is kept."""

    __tablename__ = "api_key"
    key_hash: str = Field(primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    created_at: float
    revoked_at: float | None = None


class WrongPassword(SQLModel, table=True):
    """How many wrong passwords one guesser gave for one name; both are short hashes, forgotten within hours."""

    __tablename__ = "wrong_password"
    name: str = Field(primary_key=True)
    source: str = Field(primary_key=True)  # an address, a device or a session
    wrong: int
    at: float = Field(index=True)  # of the last one


class Device(SQLModel, table=True):
    """A browser in which this person has signed in before; only the SHA-256 of its cookie is kept."""

    token_hash: str = Field(primary_key=True)
    person_id: str = Field(foreign_key="person.id", primary_key=True, index=True)
    used_at: float


class Conversation(SQLModel, table=True):
    """A tree of messages that belongs to one person."""

    id: str = Field(default_factory=new_id, primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    title: str = ""
    purpose: str = Purpose.CHAT
    head_id: str | None = None  # the message the page shows as the last one
    created_at: float
    updated_at: float
    deleted_at: float | None = None


class Message(SQLModel, table=True):
    """One turn, stored once. Siblings share a parent: a retry or an edit is a sibling."""

    id: str = Field(default_factory=new_id, primary_key=True)
    conversation_id: str = Field(foreign_key="conversation.id", index=True)
    parent_id: str | None = Field(default=None, foreign_key="message.id", index=True)
    role: str
    content: str
    created_at: float


class Completion(SQLModel, table=True):
    """How an assistant message came to be: version, hashes, settings, tokens and time."""

    message_id: str = Field(primary_key=True, foreign_key="message.id")
    version: str = Field(index=True)
    adapter_hash: str = ""
    template_hash: str = ""
    sampling: dict[str, Any] = _json()
    seed: int | None = Field(default=None, sa_type=BigInteger)  # a client of the door may send any 64-bit seed
    finish_reason: str  # a `FinishReason`
    excluded: str | None = None  # why it never trains (a value of `Excluded`); null where it may
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_s: float | None = None
    seconds: float = 0.0
    # the messages the model read, oldest first: ids, or {"role", "content"} for a system prompt
    sent: list[Any] = _json(list)
    created_at: float


class Task(SQLModel, table=True):
    """What may be judged: a context and one to k candidates."""

    id: str = Field(default_factory=new_id, primary_key=True)
    kind: str = Field(index=True)  # a `Kind`
    context_id: str | None = Field(default=None, foreign_key="message.id", index=True)
    candidates: list[str] = _json(list)  # message ids
    wanted: int = 1  # how many people shall judge it
    challenger: str | None = Field(default=None, index=True)  # on a blind vote, the challenger or milestone it is about
    incumbent: str | None = None
    scripted: bool = False  # made for a scripted person: never shown to others
    gold: str | None = None  # the candidate that is known to be the better one: verdicts tell who can be relied on
    # the task whose answers these are: shown once more to those who judged them, to learn how steady they are
    repeat_of: str | None = Field(default=None, index=True, unique=True)
    # the ticket on which somebody wrote the second candidate, a correction of the first
    correction_of: str | None = Field(default=None, index=True)
    created_at: float


class Ticket(SQLModel, table=True):
    """One showing of a task to one person: the order the server drew, time, expiry."""

    id: str = Field(default_factory=new_id, primary_key=True)
    task_id: str = Field(foreign_key="task.id", index=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    order: list[str] = _json(list)  # candidate message ids as shown, left or top first
    created_at: float
    expires_at: float
    shown_at: float | None = None  # first put before the person; a prepared ticket waits for that
    __table_args__ = (UniqueConstraint("task_id", "person_id"),)


class Reservation(SQLModel, table=True):
    """A ticket that is promised to somebody whose answer is on its way; gone once both are stored."""

    ticket_id: str = Field(primary_key=True)
    person_id: str = Field(foreign_key="person.id")
    expires_at: float  # no answer takes that long: the promise was not kept


class JudgementRow(SQLModel, table=True):
    """One verdict. Undo and change are new rows; one live row per ticket is held by the database."""

    __tablename__ = "judgement"
    id: str = Field(default_factory=new_id, primary_key=True)
    ticket_id: str = Field(foreign_key="ticket.id", index=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    kind: str = Field(index=True)
    verdict: dict[str, Any] = _json()
    verdict_hash: str
    supersedes: str | None = Field(default=None, foreign_key="judgement.id", unique=True)
    live: bool = True  # False once superseded; an undo is a row with an empty verdict that is not live
    scripted: bool = False
    challenger: str | None = Field(default=None, index=True)
    seconds: float | None = None  # from showing to verdict
    at: float = Field(index=True)
    serial: int = Field(index=True, unique=True)  # grows with every row: a snapshot's watermark
    __table_args__ = (
        Index(
            "one_live_judgement_per_ticket",
            "ticket_id",
            unique=True,
            sqlite_where=text("live = 1"),
            postgresql_where=text("live"),
        ),
    )


class SignalRow(SQLModel, table=True):
    """One thing that a person did with an answer without being asked: retry, copy, stop, edit, abandoned, thanks."""

    __tablename__ = "signal"
    id: str = Field(default_factory=new_id, primary_key=True)
    person_id: str = Field(foreign_key="person.id")
    message_id: str = Field(foreign_key="message.id", index=True)
    kind: str
    amount: float = 1.0  # an edit's distance as a share of the text
    live: bool = True  # False once its person withdrew, or it turned out not to be so
    at: float
    __table_args__ = (UniqueConstraint("person_id", "message_id", "kind"),)


class Version(SQLModel, table=True):
    """A model that can be served. Its files never change."""

    name: str = Field(primary_key=True)  # base names, or policy-0001 …
    kind: str  # a `VersionKind`
    form: str  # a `VersionForm`
    path: str  # folder or hub name
    base_hash: str
    artifact_hash: str = ""
    template_hash: str = ""
    parent: str | None = None
    round_id: int | None = Field(default=None, index=True)
    state: str = VersionState.READY
    created_at: float

    @property
    def served_name(self) -> str:
        """The model name to ask vLLM for: `domain.versions.served_name`."""
        return served_name(
            name=self.name,
            form=self.form,
            base_hash=self.base_hash,
            artifact_hash=self.artifact_hash,
            path=self.path,
        )


class FingerprintRow(SQLModel, table=True):
    """Log-probabilities that a version gave when it was first loaded, by which it is known again at later loads."""

    __tablename__ = "fingerprint"
    version: str = Field(primary_key=True, foreign_key="version.name")
    engine: str = Field(
        primary_key=True
    )  # vLLM's version, device and number format: each computes a little differently
    marks: list[Any] = _json(list)  # see `loop.fingerprint`
    taken_at: float


class Publication(SQLModel, table=True):
    """One flip of the alias `policy`; the newest row is what `policy` means now."""

    id: int | None = Field(default=None, primary_key=True)
    version: str = Field(foreign_key="version.name")
    previous: str | None = None
    reason: str  # a `PublicationReason`
    person_id: str | None = None
    note: str = ""
    at: float


class Round(SQLModel, table=True):
    """One turn of the loop."""

    id: int | None = Field(default=None, primary_key=True)
    method: str
    status: str = Field(index=True)  # a `RoundStatus`
    seed: int = Field(default=0, sa_type=BigInteger)
    settings: dict[str, Any] = _json()
    requested_by: str | None = None
    incumbent: str | None = None
    version: str | None = None
    verdict: str | None = None
    reasons: list[str] = _json(list)
    rows: dict[str, Any] = _json()
    evaluation: dict[str, Any] = _json()
    samples: list[Any] = _json(list)  # before and after, for people to read
    snapshot_id: str | None = None
    watermark: int = 0  # the newest judgement serial the snapshot saw
    cancel_requested: bool = False
    lease_owner: str | None = None
    lease_until: float | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None


class Stage(SQLModel, table=True):
    """One step of a round."""

    id: int | None = Field(default=None, primary_key=True)
    round_id: int = Field(foreign_key="round.id", index=True)
    name: str
    status: str  # a `StageStatus`
    started_at: float | None = None
    finished_at: float | None = None
    counted_attempt: int | None = None
    error: str = ""
    __table_args__ = (UniqueConstraint("round_id", "name"),)


class Attempt(SQLModel, table=True):
    """One try at a stage, with a folder of its own."""

    id: int | None = Field(default=None, primary_key=True)
    stage_id: int = Field(foreign_key="stage.id", index=True)
    folder: str
    pid: int | None = None
    status: str  # an `AttemptStatus`
    started_at: float


class Progress(SQLModel, table=True):
    """One numbered progress record, copied from an attempt's folder."""

    id: int | None = Field(default=None, primary_key=True)
    attempt_id: int = Field(foreign_key="attempt.id", index=True)
    number: int
    record: dict[str, Any] = _json()
    at: float
    __table_args__ = (UniqueConstraint("attempt_id", "number"),)


class Snapshot(SQLModel, table=True):
    """A frozen, hashed dataset."""

    id: str = Field(default_factory=new_id, primary_key=True)
    folder: str
    hash: str
    manifest: dict[str, Any] = _json()
    created_at: float


class SnapshotPerson(SQLModel, table=True):
    """How many judgements (and signals, where any are used) of one person a snapshot was compiled from."""

    __tablename__ = "snapshot_person"
    snapshot_id: str = Field(primary_key=True, foreign_key="snapshot.id")
    person_id: str = Field(primary_key=True, foreign_key="person.id", index=True)
    judgements: int


class Schedule(SQLModel, table=True):
    """When the worker starts rounds by itself. One row, id 1."""

    id: int | None = Field(default=1, primary_key=True)
    enabled: bool = False
    method: str = "dpo"
    every_judgements: int | None = None
    every_hours: float | None = None
    last_started_at: float | None = None


class Beat(SQLModel, table=True):
    """A process saying that it lives, and what it sees (vLLM's state, loaded adapters)."""

    name: str = Field(primary_key=True)  # app, worker, vllm
    at: float
    state: dict[str, Any] = _json()
