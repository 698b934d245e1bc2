"""What people say about an answer in passing: each click changes one thing about the verdict that the page showed.

The page names the judgement that it showed as standing (`saw`); what that one says is read from the store,
never from the page. Where another stands by now, a click that asks for what stands already is done, and any
other changes nothing (`VerdictStands`). Synchronous: called in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from feedback_app.collect.judge import judge, undo
from feedback_app.domain.judging import Kind, Mark
from feedback_app.errors import NotFound, UsageError, VerdictStands

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person


def rate(store: Store, person: Person, act: Mapping[str, Any]) -> None:
    """Apply a mark, a reason, a comment or a correction to this person's like-ticket.

    Raises what `collect.judge` raises, `NotFound` on a ticket that is not this person's, and `VerdictStands` when
    the page did not show what stands.
    """
    found = store.tasks.ticket(str(act["ticket"]))
    if found is None or found[0].person_id != person.id or found[1].kind != Kind.LIKE:
        raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
    ticket = found[0]
    (candidate,) = ticket.order
    saw = str(act.get("saw") or "") or None
    seen = store.judgements.get(saw) if saw else None
    if seen is not None and seen.ticket_id != ticket.id:
        raise NotFound("This rating is about another answer. Reload the page.")
    answer = store.conversations.message(candidate)
    changed = change(seen.verdict if seen else {}, candidate, answer.content if answer else "", act)
    if changed is not None:
        judge(store, person, ticket.id, changed, saw)
    elif saw is not None:
        undo(store, person, saw)
    elif (live := store.judgements.live(ticket.id)) is not None:
        raise VerdictStands("Another rating stands on this answer. Reload the page to see it.", ticket.id, live.id)


def change(stands: Mapping[str, Any], candidate: str, answer: str, act: Mapping[str, Any]) -> dict[str, Any] | None:
    """The verdict after one click, given the one that was shown (empty when none was); None takes it back.

    An empty mark takes a mark back, and with it what was said about it; a correction stays. The other thumb keeps
    comment and correction, but not the reasons, which were about the first; the same thumb changes nothing.
    """
    verdict = dict(stands)
    match act.get("do"):
        case "mark":
            mark = act.get("mark")
            if mark not in (*Mark, ""):
                raise UsageError("An answer is marked good or bad, or its mark is taken back. Reload the page.")
            if verdict.get("marks", {}).get(candidate, "") != mark:
                verdict["marks"] = {candidate: mark} if mark else {}
                verdict["reasons"] = []
                if not mark:
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
