"""Verdicts given on the pages that compare and rank: what keeps one there that nobody meant to give.

On these pages one key judges, and the next answers come under the same finger. So a verdict counts only
when its answers have been before the person for `MIN_SHOWN_S`, when an order was chosen and not merely
left as the server drew it, and when it names the judgement that the page showed as standing.

The rules stand at this door alone. A program that sends `POST /v1/feedback` says what it means in
words of its own: there is no key to hold and no order that is there before anybody has chosen one. A like comes
after an answer that was read while it was written, by a button of its own, and no next answer takes its
place. Scripted people and imported files have no page. All of them go to `judge` directly, as this does.
"""

from __future__ import annotations

from itertools import pairwise

from feedback_app.collect.judge import Judged, Verdict, judge
from feedback_app.domain.judging import Kind
from feedback_app.errors import UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task, Ticket

# The same number is the page's sleep and the server's minimum. Whoever chooses among several keys after looking needs
# longer (about half a second, before any reading: two answers of one word each take as long again at the 240
# words a minute of silent reading), so nobody who reads waits for it; a key repeats every 30 ms, and a
# double click is over in 500 ms at most, of which the way to the server and back is a part. The server's clock
# starts when it sends the answers, before they can be drawn, so what a page lets through is never refused here.
MIN_SHOWN_S = 0.4

TOO_SOON = "These answers have only just come, so this verdict was not kept. Read them, then choose again."
NOT_SHOWN = "These answers have not been shown to you yet. Reload the page to see them."
NO_ORDER_CHOSEN = (
    "This order was drawn by chance, and you have not changed it. Move or tie the answers; or send it once more "
    "to say that it is yours."
)


def judge_on_page(
    store: Store,
    person: Person,
    found: tuple[Ticket, Task],
    verdict: Verdict,
    *,
    saw: str | None = None,
    chosen: bool = False,
) -> Judged:
    """Store a verdict that came from the compare or rank page, on the person's own ticket.

    `saw` is the judgement that the page showed as standing on this ticket. `chosen` says that the person has moved
    or tied an answer, or was asked and wants to keep the order. Raises `UsageError` on a verdict that comes
    too soon or sends an order that nobody chose, and what `judge` raises.
    """
    ticket, task = found
    check_shown(ticket, store.now())
    if task.kind == Kind.RANK and not chosen and as_drawn(verdict, ticket):
        raise UsageError(NO_ORDER_CHOSEN)
    return judge(store, person, ticket.id, verdict, saw)


def check_shown(ticket: Ticket, now: float) -> None:
    """Raise `UsageError` unless the ticket has been before the person for `MIN_SHOWN_S`, by the server's clock.

    The first showing counts: after a reload the same answers were there before. A clock that was set back says
    nothing, and refuses nothing.
    """
    if ticket.shown_at is None:
        raise UsageError(NOT_SHOWN)
    if 0 <= now - ticket.shown_at < MIN_SHOWN_S:
        raise UsageError(TOO_SOON)


def as_drawn(verdict: Verdict, ticket: Ticket) -> bool:
    """Whether a verdict ranks the answers exactly as they were shown, without a tie."""
    ranks = [verdict.ranks.get(id, 0) for id in ticket.order]
    return bool(verdict.ranks) and all(above < below for above, below in pairwise(ranks))
