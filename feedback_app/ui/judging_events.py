"""What comparing and ranking share: start and pulse, the frame around what is judged, undo, and a verdict's way.

A page says what its verdict is (`read`); that the ticket is this person's, of this page's kind, and read
from the server alone, is held here for both.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from feedback_app.collect.judge import Verdict, judge, undo
from feedback_app.errors import AlignloopError, NotFound
from feedback_app.parts import Parts
from feedback_app.ui import look
from feedback_app.ui.island import Act, Answer
from feedback_app.ui.model_watch import ModelWatch
from feedback_app.ui.sitting import confirmation, progress_line

if TYPE_CHECKING:
    from feedback_app.store.tables import Person


class JudgingEvents(ABC):
    """Acts of a page on which answers are judged, for every annotator and tab."""

    kind: ClassVar[str]  # of its tasks, and the page's own path

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._watch = ModelWatch(parts)
        self._preparing: set[asyncio.Task[None]] = set()

    @abstractmethod
    def read(self, act: Act, order: list[str]) -> tuple[Verdict, str]:
        """The verdict that an act asks for on candidates in this order, and the words that confirm it."""

    async def act(self, person: Person, act: Act) -> Answer:
        """One act of the page: start, pulse, verdict or undo. Raises `NotFound` for an act it does not know."""
        match act.get("do"):
            case "start" | "pulse":
                return await self._frame(person)
            case "verdict":
                return await self._verdict(person, act)
            case "undo":
                await asyncio.to_thread(undo, self._store, person, str(act["judgement"]))
                return await self._frame(person, said="")
        raise NotFound("This page is older than the server. Reload it.")

    def prepare(self, work: Coroutine[None, None, None]) -> None:
        """Let what comes after this task be made while the person reads it."""
        task = asyncio.create_task(work)
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def _verdict(self, person: Person, act: Act) -> Answer:
        def work() -> str:
            ticket_id = str(act["ticket"])
            found = self._store.tasks.ticket(ticket_id)
            if found is None or found[0].person_id != person.id or found[1].kind != self.kind:
                raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
            verdict, words = self.read(act, found[0].order)
            live = self._store.judgements.live(ticket_id)
            judged = judge(self._store, person, ticket_id, verdict, live.id if live else None)
            return confirmation(words, judged.judgement_id)

        try:
            said = await asyncio.to_thread(work)
        except AlignloopError as error:
            return Answer(error=error.outside, where="verdict")
        answer = await self._frame(person, said=said)
        answer.state["judged"] = str(act["ticket"])
        return answer

    async def _frame(self, person: Person, **more: str) -> Answer:
        state = await self._watch.state()
        progress = await asyncio.to_thread(progress_line, self._store, person, self.kind)
        regions = {
            "top": look.top_bar(f"/{self.kind}", person.name, person.role),
            "model": look.loading_model(state, self._store.now()),
            "progress": progress,
        }
        return Answer({**regions, **more}, {"person": person.id, "ready": state["name"] == "ready"})


def why(act: Mapping[str, Any]) -> dict[str, Any]:
    """The reasons and the comment that an act carries."""
    return {
        "reasons": [str(reason) for reason in act.get("reasons") or []],
        "comment": str(act.get("comment") or "").strip(),
    }
