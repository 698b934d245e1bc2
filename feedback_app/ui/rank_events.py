"""What happens on the rank page: an order of answers, sent as ranks of the ticket's own order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from feedback_app.collect.judge import Verdict, rank_verdict, read_verdict
from feedback_app.collect.tasks import RankTicket
from feedback_app.domain.judging import Kind
from feedback_app.errors import UsageError
from feedback_app.ui.island import Act, Answer
from feedback_app.ui.judging_events import JudgingEvents, earlier_turns, why
from feedback_app.ui.markup import button, html, icon, prose
from feedback_app.ui.waiting import waiting_line

if TYPE_CHECKING:
    from feedback_app.store.tables import Person


def cards(ticket: RankTicket) -> Markup:
    """The answers as cards that can be taken, moved and tied; `data-index` is their place on the ticket."""
    items = []
    for index, candidate in enumerate(ticket.candidates):
        tools = (
            button("move", symbol="up", label="Move up", by="-1")
            + button("move", symbol="down", label="Move down", by="1")
            + button("tie", "=", label="Tie with the one above", kind="quiet tie")
        )
        items.append(
            html(
                '<li class="rank-card" id="r-{index}-{ticket_id}" data-index="{index}" tabindex="0" '
                'aria-label="Answer {number}" aria-roledescription="card that can be moved"><span class="grip" '
                'data-grip title="Drag to move">{icon}</span><span class="place" data-place></span><div class="md '
                'folded">{prose}</div><span class="tools">{tools}</span></li>',
                index=index,
                ticket_id=ticket.ticket_id,
                number=index + 1,
                icon=icon("grip"),
                prose=prose(candidate.text),
                tools=tools,
            )
        )
    ours = ticket.ticket_id
    return html('<ol class="ranking" data-ticket="{}" data-keep="{}">{}</ol>', ours, ours, Markup().join(items))


class RankEvents(JudgingEvents):
    """Acts of the rank page, for every annotator and tab."""

    kind = Kind.RANK

    async def act(self, person: Person, act: Act) -> Answer:
        """One act of the page: next, the place of what comes next while it waits, and what every judging page knows."""
        match act.get("do"):
            case "next":
                return await self._next(person, act)
            case "place":
                place = self._parts.comparing.ranking_place(person, _size(act))
                return Answer(state={"waiting": "" if place is None else waiting_line(place)})
        return await super().act(person, act)

    async def _next(self, person: Person, act: Act) -> Answer:
        size = _size(act)
        ticket = await self._parts.comparing.next_ranking(person, size)
        self.prepare(self._parts.comparing.prepare_ranking(person, size))
        asked = earlier_turns(ticket.earlier) + html("<p>{}</p>", ticket.prompt)
        return Answer(
            {"prompt": asked, "cards": cards(ticket)},
            {"ticket": ticket.ticket_id},
        )

    def read(self, act: Act, order: list[str]) -> Verdict:
        """Ranks in the ticket's order, or that it cannot be judged."""
        reasons, comment = why(act)
        if act.get("cannot_judge"):
            return read_verdict({"cannot_judge": True, "reasons": reasons, "comment": comment})
        ranks = [int(rank) for rank in act.get("ranks") or []]
        return rank_verdict(order, ranks, reasons=reasons, comment=comment)

    def words(self, verdict: Verdict, order: list[str]) -> str:
        """That there is an order, or that there is none."""
        return "cannot judge" if verdict.cannot_judge else "your order"


def _size(act: Act) -> int:
    try:
        return int(act.get("size") or 4)
    except ValueError as error:
        raise UsageError("A ranking has 3, 4 or 5 answers.") from error
