"""What people say about an answer in passing: each click changes one thing about the verdict that the page showed.

The page names the judgement that it showed as standing (`saw`); what that one says is read from the store,
never from the page. Where another stands by now, a click that asks for what stands already is done, and any
other changes nothing (`VerdictStands`). Synchronous: called in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedback_app.collect.judge import Verdict, judge, read_verdict, undo
from feedback_app.domain.judging import Kind, Mark
from feedback_app.errors import NotFound, UsageError, VerdictStands
from feedback_app.ui.acts import Act

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person


def rate(store: Store, person: Person, act: Act) -> None:
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
    changed = change(
        read_verdict(seen.verdict) if seen else Verdict(), candidate, answer.content if answer else "", act
    )
    if changed is not None:
        judge(store, person, ticket.id, changed, saw)
    elif saw is not None:
        undo(store, person, saw)
    elif (live := store.judgements.live(ticket.id)) is not None:
        raise VerdictStands("Another rating stands on this answer. Reload the page to see it.", ticket.id, live.id)


def change(stands: Verdict, candidate: str, answer: str, act: Act) -> Verdict | None:
    """The verdict after one click, given the one that was shown (empty when none was); None takes it back.

    An empty mark takes a mark back, and with it what was said about it; a correction stays. The other thumb keeps
    comment and correction, but not the reasons, which were about the first; the same thumb changes nothing.
    """
    said = stands.model_dump()
    match act.get("do"):
        case "mark":
            mark = act.get("mark")
            if mark not in (*Mark, ""):
                raise UsageError("An answer is marked good or bad, or its mark is taken back. Reload the page.")
            if stands.marks.get(candidate, "") != mark:
                said |= {"marks": {candidate: mark} if mark else {}, "reasons": []}
                if not mark:
                    said["comment"] = ""
        case "reason":
            _needs_a_mark(stands)
            reason = str(act["reason"])
            others = [other for other in stands.reasons if other != reason]
            said["reasons"] = others if reason in stands.reasons else [*others, reason]
        case "comment":
            _needs_a_mark(stands)
            said["comment"] = str(act.get("comment", "")).strip()
        case "correct":
            text = str(act.get("correction", "")).strip()
            if not text or text == answer.strip():
                raise UsageError("The correction says the same as the answer. Change the text, then save it.")
            said["corrections"] = {candidate: text}
        case _:
            raise UsageError("There is no such rating. Reload the page.")
    return read_verdict(said) if said["marks"] or said["corrections"] else None


def _needs_a_mark(stands: Verdict) -> None:
    if not stands.marks:
        raise UsageError("There is no rating to say more about. Like or dislike the answer first.")
