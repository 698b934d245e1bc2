"""What a verdict may say, and who may say it.

The client sends a ticket's id and a verdict; everything that is judged is read from the server's ticket.
What is not done here: deciding what a verdict is worth for training (`alignment.dataset.compile`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from feedback_app.collect.people import require
from feedback_app.collect.text import clean
from feedback_app.domain.judging import Kind, Mark
from feedback_app.domain.people import Role
from feedback_app.domain.verdicts import WITHDRAWN, StoredVerdict
from feedback_app.errors import Conflict, NotFound, UsageError
from feedback_app.store.database import Store
from feedback_app.store.judgements import verdict_hash
from feedback_app.store.tables import Person, Task, Ticket

Text = Annotated[str, AfterValidator(clean)]
Choice = Literal["a_clearly", "a_slightly", "tie", "b_slightly", "b_clearly", "both_bad", "cant"]


class Verdict(BaseModel):
    """One verdict on one ticket. Keys of the maps are candidates' message ids.

    `ranks` count from 1, the best; equal numbers are ties. `corrections` hold answers that the person rewrote.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    marks: dict[str, Mark] = Field(default_factory=dict, max_length=16)
    ranks: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(default_factory=dict, max_length=16)
    strength: Literal["clearly", "slightly"] | None = None
    cannot_judge: bool = False
    reasons: list[Annotated[Text, Field(max_length=100)]] = Field(default_factory=list, max_length=20)
    comment: Annotated[Text, Field(max_length=4000)] = ""
    corrections: dict[str, Annotated[Text, Field(min_length=1, max_length=20000)]] = Field(
        default_factory=dict, max_length=16
    )

    def stored(self) -> StoredVerdict:
        """Every field as JSON, the defaults too: equal verdicts are kept, and hashed, as the same text."""
        return cast(StoredVerdict, self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that is stored; the judgement's id undoes or changes it."""

    judgement_id: str
    ticket_id: str


def read_verdict(raw: Any) -> Verdict:
    """A verdict from JSON. Raises `UsageError` that names the field that is wrong."""
    if isinstance(raw, Verdict):
        return raw
    try:
        return Verdict.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "verdict"
        raise UsageError(f"The verdict cannot be read: {where}: {first['msg']}.") from error


def judge(
    store: Store,
    person: Person,
    ticket_id: str,
    verdict: Verdict | Mapping[str, Any],
    supersedes: str | None = None,
) -> Judged:
    """Store a person's verdict on their ticket; it is committed when this returns.

    Raises `NotFound` on an unknown ticket and on another person's, `NotAllowed` below the ticket's role,
    `UsageError` on a verdict that does not fit the ticket, `Conflict` on an expired ticket, and `VerdictStands`
    when another verdict stands than the one that `supersedes` names.
    """
    ticket, task = _own_ticket(store, person, ticket_id)
    require(person, Role.CHATTER if task.kind == Kind.LIKE else Role.ANNOTATOR)
    content = fitting(read_verdict(verdict), task.kind, task.candidates).stored()
    now = store.now()
    if now >= ticket.expires_at:
        live = store.judgements.live(ticket.id)
        if live is None or live.verdict_hash != verdict_hash(content):
            when = datetime.fromtimestamp(ticket.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            raise Conflict(f"This ticket could be judged until {when}. Reload the page to get a new one.")
    seconds = max(0.0, now - (ticket.shown_at or ticket.created_at))
    row = store.judgements.record(ticket.id, person.id, content, supersedes, seconds)
    return Judged(row.id, ticket.id)


def undo(store: Store, person: Person, judgement_id: str) -> Judged:
    """Take one's own judgement back, also after the ticket has expired; twice is the same undo.

    Raises `NotFound` on another person's, and `VerdictStands` when it is no longer the one in force.
    """
    row = store.judgements.get(judgement_id)
    if row is None or row.person_id != person.id:
        raise NotFound("There is no such judgement of yours.")
    undone = store.judgements.record(row.ticket_id, person.id, WITHDRAWN, judgement_id)
    return Judged(undone.id, row.ticket_id)


def fitting(verdict: Verdict, kind: str, shown: Sequence[str]) -> Verdict:
    """The verdict as it is kept: checked against its task's kind and candidates, ranks counted 1, 2, 3 without gaps,
    no reason twice.

    Raises `UsageError` on other candidates than those and on a verdict that says nothing.
    """
    candidates = set(shown)
    if not {*verdict.marks, *verdict.ranks, *verdict.corrections} <= candidates:
        raise UsageError("The verdict names an answer that this ticket does not show. Reload the page.")
    if verdict.cannot_judge:
        if verdict.marks or verdict.ranks or verdict.strength:
            raise UsageError("A verdict that cannot judge has no marks, ranks or strength.")
    elif kind == Kind.LIKE:
        if verdict.ranks or verdict.strength:
            raise UsageError("One answer cannot be ranked: mark it good or bad, or correct it.")
        if not verdict.marks and not verdict.corrections:
            raise UsageError("This verdict says nothing: mark the answer good or bad, or correct it.")
    else:
        both_bad = set(verdict.marks) == candidates and set(verdict.marks.values()) == {Mark.BAD}
        if set(verdict.ranks) != candidates and not (kind == Kind.COMPARE and not verdict.ranks and both_bad):
            raise UsageError("Rank every answer of the ticket, or say that you cannot judge.")
        if verdict.strength and len(set(verdict.ranks.values())) < 2:
            raise UsageError("A tie has no strength.")
    places = {rank: place for place, rank in enumerate(sorted(set(verdict.ranks.values())), 1)}
    ranks = {id: places[rank] for id, rank in verdict.ranks.items()}
    return verdict.model_copy(update={"ranks": ranks, "reasons": list(dict.fromkeys(verdict.reasons))})


def like(
    ticket: Ticket,
    mark: Mark | None,
    *,
    reasons: Sequence[str] = (),
    comment: str = "",
    correction: str | None = None,
) -> Verdict:
    """The verdict of a like (`good`), a dislike (`bad`) or an edit on a ticket with one answer."""
    (candidate,) = ticket.order
    return read_verdict(
        {
            "marks": {candidate: mark} if mark else {},
            "reasons": list(reasons),
            "comment": comment,
            "corrections": {candidate: correction} if correction else {},
        }
    )


def compare_verdict(
    order: Sequence[str],
    choice: Choice,
    *,
    a_mark: Mark | None = None,
    b_mark: Mark | None = None,
    reasons: Sequence[str] = (),
    comment: str = "",
    corrections: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict of one key on a pair. `order` is the ticket's: A (left) first, then B."""
    if choice not in get_args(Choice):
        raise UsageError(f"There is no choice {choice}. Use one of: {', '.join(get_args(Choice))}.")
    a, b = order
    side, _, strength = choice.partition("_")
    marks = {id: mark for id, mark in ((a, a_mark), (b, b_mark)) if mark}
    ranks: dict[str, int] = {}
    if choice == "both_bad":
        marks = {a: Mark.BAD, b: Mark.BAD}
    elif choice == "tie":
        ranks = {a: 1, b: 1}
    elif choice == "cant":
        marks = {}
    else:
        ranks = {a: 1, b: 2} if side == "a" else {a: 2, b: 1}
    return read_verdict(
        {
            "marks": marks,
            "ranks": ranks,
            "strength": strength if side in ("a", "b") else None,
            "cannot_judge": choice == "cant",
            "reasons": list(reasons),
            "comment": comment,
            "corrections": dict(corrections or {}),
        }
    )


def rank_verdict(
    order: Sequence[str], ranks: Sequence[int], *, reasons: Sequence[str] = (), comment: str = ""
) -> Verdict:
    """The verdict of a ranking: `ranks[i]` is the rank of the i-th answer shown, 1 is best, equal is a tie."""
    if len(ranks) != len(order):
        raise UsageError(f"This ticket shows {len(order)} answers and {len(ranks)} were ranked.")
    return read_verdict({"ranks": dict(zip(order, ranks, strict=True)), "reasons": list(reasons), "comment": comment})


def _own_ticket(store: Store, person: Person, ticket_id: str) -> tuple[Ticket, Task]:
    found = store.tasks.ticket(ticket_id)
    if found is None or found[0].person_id != person.id:
        raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
    return found
