"""What happens on the compare page. The pair comes from `collect.tasks`; the verdict goes to `collect.judge`.

The browser knows a ticket's id and two texts, and nothing that tells them apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from feedback_app.collect.judge import Choice, MarkName, compare_verdict, judge, undo
from feedback_app.collect.tasks import PairDelta, PairReady, PairStarted
from feedback_app.errors import AlignloopError, NotFound
from feedback_app.parts import Parts
from feedback_app.ui import look
from feedback_app.ui.island import Act, Answer
from feedback_app.ui.markup import prose
from feedback_app.ui.model_watch import ModelWatch
from feedback_app.ui.sitting import confirmation, progress_line

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


class CompareEvents:
    """Acts of the compare page, for every annotator and tab."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._watch = ModelWatch(parts)
        self._preparing: set[asyncio.Task[None]] = set()

    async def act(self, person: Person, act: Act) -> Answer:
        """One act of the page: start, pulse, verdict or undo."""
        match act.get("do"):
            case "start" | "pulse":
                return await self._frame(person)
            case "verdict":
                return await self._verdict(person, act)
            case "undo":
                await asyncio.to_thread(undo, self._store, person, str(act["judgement"]))
                answer = await self._frame(person)
                answer.regions["said"] = ""
                return answer
        raise NotFound("This page is older than the server. Reload it.")

    async def listen(self, person: Person, act: Act) -> AsyncIterator[dict[str, Any]]:
        """The next pair while it is written: whole texts so far, ten times a second, then the ticket."""
        typed = str(act.get("prompt") or "").strip() or None
        shown: dict[str, Any] = {"request": act.get("request"), "prompt": "", "a": "", "b": "", "ticket": ""}
        texts = {"a": "", "b": ""}
        loop = asyncio.get_running_loop()
        last = 0.0
        try:
            async for event in self._parts.comparing.next_pair(person, typed):
                if isinstance(event, PairStarted):
                    texts = {"a": "", "b": ""}
                    shown["prompt"] = event.prompt
                    yield dict(shown)
                elif isinstance(event, PairDelta):
                    texts[event.side] += event.text
                    if loop.time() - last >= TICK_S:
                        last = loop.time()
                        yield {**shown, "a": prose(texts["a"]), "b": prose(texts["b"])}
                elif isinstance(event, PairReady):
                    ready = {"ticket": event.ticket_id, "a_text": event.a_text, "b_text": event.b_text}
                    yield {**shown, **ready, "a": prose(event.a_text), "b": prose(event.b_text)}
        except AlignloopError as error:
            yield {**shown, "error": str(error)}
            return
        self._prepare(person)

    def _prepare(self, person: Person) -> None:
        async def prepare() -> None:
            await self._parts.comparing.prepare(person)

        task = asyncio.create_task(prepare())
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def _verdict(self, person: Person, act: Act) -> Answer:
        def work() -> str:
            ticket_id = str(act["ticket"])
            found = self._store.tasks.ticket(ticket_id)
            if found is None or found[0].person_id != person.id or found[1].kind != "compare":
                raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
            order = found[0].order
            marks = {side: _mark(act.get(f"{side}_mark")) for side in ("a", "b")}
            choice = str(act.get("choice"))
            if choice == "tie" and marks == {"a": "bad", "b": "bad"}:
                choice = "both_bad"
            if choice == "cant":
                marks = {"a": None, "b": None}
            corrections = act.get("corrections") or {}
            verdict = compare_verdict(
                order,
                cast(Choice, choice),
                a_mark=marks["a"],
                b_mark=marks["b"],
                reasons=[str(reason) for reason in act.get("reasons") or []],
                comment=str(act.get("comment") or "").strip(),
                corrections={order["ab".index(side)]: str(text) for side, text in corrections.items() if text},
            )
            live = self._store.judgements.live(ticket_id)
            judged = judge(self._store, person, ticket_id, verdict, live.id if live else None)
            return confirmation(WORDS[choice], judged.judgement_id)

        try:
            said = await asyncio.to_thread(work)
        except AlignloopError as error:
            return Answer(error=str(error), where="verdict")
        answer = await self._frame(person)
        answer.regions["said"] = said
        answer.state["judged"] = str(act["ticket"])
        return answer

    async def _frame(self, person: Person) -> Answer:
        state = await self._watch.state()
        progress = await asyncio.to_thread(progress_line, self._store, person, "compare")
        return Answer(
            {
                "top": look.top_bar("/compare", person.name, person.role),
                "model": look.loading_model(state, self._store.now()),
                "progress": progress,
            },
            {"person": person.id, "ready": state["name"] == "ready"},
        )


def _mark(value: object) -> MarkName | None:
    return "good" if value == "good" else "bad" if value == "bad" else None
