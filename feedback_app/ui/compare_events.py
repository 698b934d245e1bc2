"""What happens on the compare page. The pair comes from `collect.tasks`; the verdict goes to `collect.judge`.

The browser knows a ticket's id and two texts, and nothing that tells them apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypedDict, cast

from feedback_app.collect.judge import Choice, Verdict, compare_verdict
from feedback_app.collect.tasks import PairDelta, PairReady, PairStarted, PairWaiting
from feedback_app.domain.judging import Kind, Mark
from feedback_app.errors import AlignloopError
from feedback_app.ui.island import Act
from feedback_app.ui.judging_events import JudgingEvents, earlier_turns, why
from feedback_app.ui.markup import prose
from feedback_app.ui.waiting import waiting_line

if TYPE_CHECKING:
    from feedback_app.store.tables import Person

TICK_S = 0.1
WORDS = {
    "a_clearly": "A is clearly better",
    "a_slightly": "A is slightly better",
    "tie": "a tie",
    "b_slightly": "B is slightly better",
    "b_clearly": "B is clearly better",
    "both_bad": "both are bad",
    "cant": "cannot judge",
}


class LivePair(TypedDict, total=False):
    """A pair that is being written: both sides as HTML so far; with its `ticket`, as texts too, once it is whole.

    `earlier` is HTML of the messages before the prompt.
    """

    request: str | int | None
    prompt: str
    earlier: str
    a: str
    b: str
    ticket: str
    a_text: str
    b_text: str
    waiting: str
    error: str


class CompareEvents(JudgingEvents):
    """Acts of the compare page, for every annotator and tab."""

    kind = Kind.COMPARE

    async def listen(self, person: Person, act: Act) -> AsyncIterator[LivePair]:
        """The next pair while it is written: whole texts so far, ten times a second, then the ticket."""
        typed = str(act.get("prompt") or "").strip() or None
        shown: LivePair = {"request": act.get("request"), "prompt": "", "a": "", "b": "", "ticket": ""}
        texts = {"a": "", "b": ""}
        loop = asyncio.get_running_loop()
        last = 0.0
        try:
            async for event in self._parts.comparing.next_pair(person, typed):
                if isinstance(event, PairWaiting):
                    yield {**shown, "waiting": waiting_line(event.place)}
                elif isinstance(event, PairStarted):
                    texts = {"a": "", "b": ""}
                    shown |= {"prompt": event.prompt, "earlier": earlier_turns(event.earlier)}
                    yield {**shown}
                elif isinstance(event, PairDelta):
                    texts[event.side] += event.text
                    if loop.time() - last >= TICK_S:
                        last = loop.time()
                        yield {**shown, "a": prose(texts["a"]), "b": prose(texts["b"])}
                elif isinstance(event, PairReady):
                    a, b = prose(event.a_text), prose(event.b_text)
                    shown |= {"ticket": event.ticket_id, "a_text": event.a_text, "b_text": event.b_text}
                    yield {**shown, "a": a, "b": b}
        except AlignloopError as error:
            yield {**shown, "error": error.outside}
            return
        self.prepare(self._parts.comparing.prepare(person))

    def read(self, act: Act, order: list[str]) -> Verdict:
        """One of seven choices, perhaps with marks and corrected answers."""
        marks = {"a": _mark(act.get("a_mark")), "b": _mark(act.get("b_mark"))}
        choice = str(act.get("choice"))
        if choice == "tie" and marks == {"a": Mark.BAD, "b": Mark.BAD}:
            choice = "both_bad"
        if choice == "cant":
            marks = {"a": None, "b": None}
        corrections = act.get("corrections") or {}
        reasons, comment = why(act)
        return compare_verdict(
            order,
            cast(Choice, choice),
            a_mark=marks["a"],
            b_mark=marks["b"],
            corrections={order["ab".index(side)]: str(text) for side, text in corrections.items() if text},
            reasons=reasons,
            comment=comment,
        )

    def words(self, verdict: Verdict, order: list[str]) -> str:
        """One of seven, as the keys name them."""
        a, b = (verdict.ranks.get(id, 0) for id in order)
        if verdict.cannot_judge:
            choice = "cant"
        elif not verdict.ranks:
            choice = "both_bad"
        elif a == b:
            choice = "tie"
        else:
            choice = f"{'a' if a < b else 'b'}_{verdict.strength or 'slightly'}"
        return WORDS[choice]


def _mark(value: object) -> Mark | None:
    return next((mark for mark in Mark if mark == value), None)
