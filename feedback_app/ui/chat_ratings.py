"""What people say about an answer in passing: each click changes one thing about the verdict that stands.

The verdict that stands is read from the server's ticket, never from the page. Synchronous: one look at the
store and one judgement; called in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from feedback_app.collect.judge import judge, undo
from feedback_app.errors import NotFound, UsageError

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person


def rate(store: Store, person: Person, act: Mapping[str, Any]) -> None:
    """Apply a mark, a reason, a comment or a correction to this person's like-ticket.

    Raises what `collect.judge` raises, and `NotFound` on a ticket that is not this person's.
    """
    found = store.tasks.ticket(str(act["ticket"]))
    if found is None or found[0].person_id != person.id or found[1].kind != "like":
        raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
    ticket = found[0]
    (candidate,) = ticket.order
    live = store.judgements.live(ticket.id)
    answer = store.talk.message(candidate)
    changed = change(live.verdict if live else {}, candidate, answer.content if answer else "", act)
    if changed is not None:
        judge(store, person, ticket.id, changed, live.id if live else None)
    elif live is not None:
        undo(store, person, live.id)


def change(stands: Mapping[str, Any], candidate: str, answer: str, act: Mapping[str, Any]) -> dict[str, Any] | None:
    """The verdict after one click, given the one that stands (empty when none does); None takes it back.

    The same thumb again takes a mark back, and with it what was said about it; a correction stays. The other
    thumb keeps comment and correction, but not the reasons, which were about the first.
    """
    verdict = dict(stands)
    match act.get("do"):
        case "mark":
            mark = "good" if act.get("mark") == "good" else "bad"
            taken_back = verdict.get("marks", {}).get(candidate) == mark
            verdict["marks"] = {} if taken_back else {candidate: mark}
            verdict["reasons"] = []
            if taken_back:
                verdict["comment"] = ""
        case "reason":
            _needs_a_mark(stands)
            said, reason = list(verdict.get("reasons", [])), str(act["reason"])
            verdict["reasons"] = [other for other in said if other != reason] if reason in said else [*said, reason]
        case "comment":
            _needs_a_mark(stands)
            verdict["comment"] = str(act.get("comment", "")).strip()
        case "correct":
            text = str(act.get("correction", "")).strip()
            if not text or text == answer.strip():
                raise UsageError("The correction says the same as the answer. Change the text, then save it.")
            verdict["corrections"] = {candidate: text}
        case _:
            raise UsageError("There is no such rating. Reload the page.")
    return verdict if verdict.get("marks") or verdict.get("corrections") else None


def _needs_a_mark(stands: Mapping[str, Any]) -> None:
    if not stands.get("marks"):
        raise UsageError("There is no rating to say more about. Like or dislike the answer first.")
