"""`POST /v1/feedback {ticket, verdict}`: how other products say what their people thought of an answer.

A verdict is `"good"`, `"bad"` or `"withdrawn"`; or the object of `collect.judge.Verdict`. In the object,
candidates may be named by message id or, as lists, by their order in the reply: `{"ranks": [2, 1]}` says
that the second choice is better. For one answer, `mark` and `correction` are short for the maps. What is
judged is read from the server's ticket; no rules here.

The same verdict again is the same judgement, so a request that got no answer can be sent again. A different one
names the judgement that it `supersedes`, or is refused with 409; so is one that names another than what
stands. That answer says in `standing` what does: the judgement's id and its verdict, or null. `"withdrawn"`
takes back the judgement that `supersedes` names, and without a name whichever stands. The minimum time of the
pages (`collect.on_page`) is not for programs, which hold no key and know no order before somebody chose one.

`{ticket, signal}` instead says what somebody did with the one answer without being asked: retry, copy, stop, edit
(with `amount`, the share of the text that changed), abandoned or thanks. Refused where the settings keep none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from feedback_app.api.json_body import read_json
from feedback_app.api.keys import person_of_request
from feedback_app.api.openai_errors import OpenAIRoute, error_body
from feedback_app.collect.judge import Judged, judge, undo
from feedback_app.collect.reserving import written
from feedback_app.collect.signals import Signals
from feedback_app.collect.text import clean
from feedback_app.domain.judging import Mark, Signal
from feedback_app.errors import NotFound, UsageError, VerdictStands
from feedback_app.store.database import Store
from feedback_app.store.tables import Person

WITHDRAWN = "withdrawn"
NO_TICKET = "There is no such ticket for this key. Send the id from the header x-alignloop-ticket."
BY_CANDIDATE = ("marks", "ranks", "corrections")


def build_feedback(*, store: Store, kept: frozenset[Signal] = frozenset()) -> APIRouter:
    """The route, to be included in the app at its root. `kept` are the kinds of signals that are."""
    router = APIRouter(route_class=OpenAIRoute)

    @router.post("/v1/feedback")
    async def feedback(request: Request) -> Response:
        authorization = request.headers.get("authorization")
        person = await asyncio.to_thread(person_of_request, store, authorization)
        body = await request.body()
        done = read_signal(body)
        if done is not None:
            await written(store, person, done[0])
            await asyncio.to_thread(_signal, store, kept, person, *done)
            return JSONResponse({"signal": done[1].value, "ticket": done[0]})
        ticket, verdict, supersedes = read_feedback(body)
        await written(store, person, ticket)
        try:
            judged = await asyncio.to_thread(_take, store, person, ticket, verdict, supersedes)
        except VerdictStands as error:
            standing = await asyncio.to_thread(_standing, store, error)
            return JSONResponse(error_body(error.http_status, str(error)) | {"standing": standing}, error.http_status)
        return JSONResponse({"judgement": judged.judgement_id, "ticket": judged.ticket_id})

    return router


def read_feedback(body: bytes) -> tuple[str, Any, str | None]:
    """Ticket, verdict and the judgement it replaces. Raises `UsageError` that names what is wrong."""
    said = read_json(body, "Send {ticket, verdict}.")
    if not isinstance(said, dict) or not isinstance(said.get("ticket"), str) or "verdict" not in said:
        raise UsageError("Send an object with ticket, the id from the header x-alignloop-ticket, and verdict.")
    unknown = sorted(said.keys() - {"ticket", "verdict", "supersedes"})
    if unknown:
        raise UsageError(f"{unknown[0]} is not a field of feedback. Send ticket, verdict and, to change, supersedes.")
    supersedes = said.get("supersedes")
    if supersedes is not None and not isinstance(supersedes, str):
        raise UsageError("supersedes must be the id of the judgement that this verdict replaces.")
    return clean(said["ticket"]), said["verdict"], None if supersedes is None else clean(supersedes)


def read_signal(body: bytes) -> tuple[str, Signal, float] | None:
    """Ticket, signal and amount; None where the body says no signal. Raises `UsageError` that names what is wrong."""
    said = read_json(body, "Send {ticket, verdict}.")
    if not isinstance(said, dict) or "signal" not in said:
        return None
    unknown = sorted(said.keys() - {"ticket", "signal", "amount"})
    amount = said.get("amount", 1.0)
    if unknown or not isinstance(said.get("ticket"), str):
        raise UsageError("Send ticket and signal, and with an edit amount; nothing else beside them.")
    if said["signal"] not in tuple(Signal):
        raise UsageError(f"signal must be one of: {', '.join(Signal)}.")
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= 1:
        raise UsageError("amount must be a number from 0 to 1: the share of the text that changed.")
    return clean(said["ticket"]), Signal(said["signal"]), float(amount)


def full_verdict(verdict: Any, order: Sequence[str]) -> Mapping[str, Any]:
    """A verdict with its candidates named by id; `order` is the ticket's. Raises `UsageError`."""
    if verdict in tuple(Mark):
        verdict = {"mark": verdict}
    if not isinstance(verdict, dict):
        raise UsageError('A verdict is "good", "bad", "withdrawn" or an object with marks, ranks or corrections.')
    full = dict(verdict)
    for short, long in (("mark", "marks"), ("correction", "corrections")):
        if short in full:
            if len(order) != 1:
                raise UsageError(f"This ticket has {len(order)} answers: send {long} as a list, one for each.")
            full[long] = [full.pop(short)]
    for name in BY_CANDIDATE:
        if isinstance(full.get(name), list):
            if len(full[name]) != len(order):
                raise UsageError(f"This ticket has {len(order)} answers and {name} has {len(full[name])} entries.")
            pairs = zip(order, full[name], strict=True)
            full[name] = {candidate: value for candidate, value in pairs if value is not None}
    return full


def _signal(
    store: Store, kept: frozenset[Signal], person: Person, ticket_id: str, signal: Signal, amount: float
) -> None:
    found = store.tasks.ticket(ticket_id)
    if found is None or found[0].person_id != person.id:
        raise NotFound(NO_TICKET)
    if len(found[0].order) != 1:
        raise UsageError("A signal is about one answer, and this ticket has several.")
    Signals(store, kept).given(person, signal, found[0].order[0], amount)


def _take(store: Store, person: Person, ticket_id: str, verdict: Any, supersedes: str | None) -> Judged:
    found = store.tasks.ticket(ticket_id)
    if found is None or found[0].person_id != person.id:
        raise NotFound(NO_TICKET)
    if verdict == WITHDRAWN:
        if supersedes is not None:
            named = store.judgements.get(supersedes)
            if named is None or named.ticket_id != ticket_id:
                raise NotFound("supersedes names no judgement on this ticket.")
            return undo(store, person, supersedes)
        live = store.judgements.live(ticket_id)
        if live is None:
            raise NotFound("There is no verdict on this ticket to withdraw.")
        return undo(store, person, live.id)
    return judge(store, person, ticket_id, full_verdict(verdict, found[0].order), supersedes)


def _standing(store: Store, error: VerdictStands) -> dict[str, Any] | None:
    row = store.judgements.get(error.judgement_id) if error.judgement_id else None
    return None if row is None else {"judgement": row.id, "verdict": row.verdict}
