"""What happens on the rank page: an order of answers, sent as ranks of the ticket's own order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from feedback_app.collect.judge import judge, rank_verdict, read_verdict, undo
from feedback_app.collect.tasks import RankTicket
from feedback_app.errors import AlignloopError, NotFound, UsageError
from feedback_app.parts import Parts
from feedback_app.ui import look
from feedback_app.ui.island import Act, Answer
from feedback_app.ui.markup import button, esc, icon, prose
from feedback_app.ui.model_watch import ModelWatch
from feedback_app.ui.sitting import confirmation, progress_line

if TYPE_CHECKING:
    from feedback_app.store.tables import Person


def cards(ticket: RankTicket) -> str:
    """The answers as cards that can be taken, moved and tied; `data-index` is their place on the ticket."""
    items = []
    for index, candidate in enumerate(ticket.candidates):
        tools = (
            button("move", symbol="up", label="Move up", by="-1")
            + button("move", symbol="down", label="Move down", by="1")
            + button("tie", "=", label="Tie with the one above", kind="quiet tie")
        )
        items.append(
            f'<li class="rank-card" id="r-{index}-{esc(ticket.ticket_id)}" data-index="{index}" tabindex="0" '
            f'aria-label="Answer {index + 1}" aria-roledescription="card that can be moved">'
            f'<span class="grip" data-grip title="Drag to move">{icon("grip")}</span>'
            '<span class="place" data-place></span>'
            f'<div class="md folded">{prose(candidate.text)}</div><span class="tools">{tools}</span></li>'
        )
    ours = esc(ticket.ticket_id)
    return f'<ol class="ranking" data-ticket="{ours}" data-keep="{ours}">{"".join(items)}</ol>'


class RankEvents:
    """Acts of the rank page, for every annotator and tab."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._watch = ModelWatch(parts)

    async def act(self, person: Person, act: Act) -> Answer:
        """One act of the page: start, pulse, next, verdict or undo."""
        match act.get("do"):
            case "start" | "pulse":
                return await self._frame(person)
            case "next":
                return await self._next(person, act)
            case "verdict":
                return await self._verdict(person, act)
            case "undo":
                await asyncio.to_thread(undo, self._store, person, str(act["judgement"]))
                answer = await self._frame(person)
                answer.regions["said"] = ""
                return answer
        raise NotFound("This page is older than the server. Reload it.")

    async def _next(self, person: Person, act: Act) -> Answer:
        try:
            size = int(act.get("size") or 4)
        except ValueError as error:
            raise UsageError("A ranking has 3, 4 or 5 answers.") from error
        ticket = await self._parts.comparing.next_ranking(person, size)
        return Answer({"prompt": f"<p>{esc(ticket.prompt)}</p>", "cards": cards(ticket)}, {"ticket": ticket.ticket_id})

    async def _verdict(self, person: Person, act: Act) -> Answer:
        def work() -> str:
            ticket_id = str(act["ticket"])
            found = self._store.tasks.ticket(ticket_id)
            if found is None or found[0].person_id != person.id or found[1].kind != "rank":
                raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
            more = {
                "reasons": [str(reason) for reason in act.get("reasons") or []],
                "comment": str(act.get("comment") or "").strip(),
            }
            if act.get("cannot_judge"):
                verdict, words = read_verdict({"cannot_judge": True, **more}), "cannot judge"
            else:
                ranks = [int(rank) for rank in act.get("ranks") or []]
                verdict, words = rank_verdict(found[0].order, ranks, **more), "your order"
            live = self._store.judgements.live(ticket_id)
            judged = judge(self._store, person, ticket_id, verdict, live.id if live else None)
            return confirmation(words, judged.judgement_id)

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
        progress = await asyncio.to_thread(progress_line, self._store, person, "rank")
        return Answer(
            {
                "top": look.top_bar("/rank", person.name, person.role),
                "model": look.loading_model(state, self._store.now()),
                "progress": progress,
            },
            {"person": person.id, "ready": state["name"] == "ready"},
        )
