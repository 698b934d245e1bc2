"""What comparing and ranking share: start and pulse, the frame around what is judged, undo, and a verdict's way.

A page says what its verdict is (`read`); that the ticket is this person's, of this page's kind, and read
from the server alone, is held here for both. A page names the judgement that it showed as standing on the
ticket: where another stands by now (another tab, an answer that was lost), nothing is changed and the page
is told what does.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, ClassVar

from markupsafe import Markup

from feedback_app.collect.judge import Verdict, undo
from feedback_app.collect.on_page import judge_on_page
from feedback_app.collect.tasks import Turn
from feedback_app.domain.conversations import Speaker
from feedback_app.errors import AlignloopError, NotFound, VerdictStands
from feedback_app.parts import Parts
from feedback_app.ui import theme
from feedback_app.ui.island import Act, Answer
from feedback_app.ui.markup import html
from feedback_app.ui.model_status import ModelWatch
from feedback_app.ui.sitting import confirmation, progress_line, standing

if TYPE_CHECKING:
    from feedback_app.store.tables import Person

SPEAKERS: dict[str, str] = {Speaker.SYSTEM: "Instruction", Speaker.USER: "Person", Speaker.ASSISTANT: "Model"}


class JudgingEvents(ABC):
    """Acts of a page on which answers are judged, for every annotator and tab."""

    kind: ClassVar[str]  # of its tasks, and the page's own path

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._watch = ModelWatch(parts)
        self.preparing: set[asyncio.Task[None]] = set()

    @abstractmethod
    def read(self, act: Act, order: list[str]) -> Verdict:
        """The verdict that an act asks for on candidates in this order."""

    @abstractmethod
    def words(self, verdict: Verdict, order: list[str]) -> str:
        """A verdict on candidates in this order, in the words that confirm it."""

    async def act(self, person: Person, act: Act) -> Answer:
        """One act of the page: start, pulse, verdict or undo. Raises `NotFound` for an act it does not know."""
        match act.get("do"):
            case "start" | "pulse":
                return await self._frame(person)
            case "verdict":
                return await self._verdict(person, act)
            case "undo":
                return await self._undo(person, act)
        raise NotFound("This page is older than the server. Reload it.")

    def prepare(self, work: Coroutine[None, None, None]) -> None:
        """Let what comes after this task be made while the person reads it."""
        task = asyncio.create_task(work)
        self.preparing.add(task)
        task.add_done_callback(self.preparing.discard)

    async def _verdict(self, person: Person, act: Act) -> Answer:
        def work() -> Markup:
            found = self._store.tasks.ticket(str(act["ticket"]))
            if found is None or found[0].person_id != person.id or found[1].kind != self.kind:
                raise NotFound("There is no such ticket for you. Reload the page to get a new one.")
            order = found[0].order
            verdict = self.read(act, order)
            saw, chosen = str(act.get("saw") or "") or None, bool(act.get("chosen"))
            judged = judge_on_page(self._store, person, found, verdict, saw=saw, chosen=chosen)
            return confirmation(self.words(verdict, order), judged.judgement_id)

        try:
            said = await asyncio.to_thread(work)
        except VerdictStands as error:
            return await self._stands(person, error)
        except AlignloopError as error:
            return Answer(error=error.outside, where="verdict")
        answer = await self._frame(person, said=said)
        answer.state["judged"] = str(act["ticket"])
        return answer

    async def _undo(self, person: Person, act: Act) -> Answer:
        try:
            undone = await asyncio.to_thread(undo, self._store, person, str(act["judgement"]))
        except VerdictStands as error:
            return await self._stands(person, error)
        answer = await self._frame(person, said=Markup())
        answer.state["undone"] = undone.ticket_id
        return answer

    async def _stands(self, person: Person, error: VerdictStands) -> Answer:
        """Nothing was changed: what does stand on the ticket, and what can be done about it."""
        found = await asyncio.to_thread(self._store.tasks.ticket, error.ticket_id)
        row = await asyncio.to_thread(self._store.judgements.get, error.judgement_id) if error.judgement_id else None
        if found is None or row is None:
            said, sentence = (
                Markup(),
                "Your earlier verdict was taken back elsewhere, and this changed nothing. Choose again.",
            )
        else:
            words = self.words(Verdict.model_validate(row.verdict), found[0].order)
            said = standing(words, row.id)
            sentence = (
                f"You have judged these answers elsewhere: {words}. That stands, and this changed nothing. "
                "Choose again to replace it, or go on."
            )
        answer = await self._frame(person, said=said)
        answer.error, answer.where = sentence, "verdict"
        answer.state["stands"] = {"ticket": error.ticket_id, "judgement": row.id if row else ""}
        return answer

    async def _frame(self, person: Person, **more: Markup) -> Answer:
        state = await self._watch.state()
        progress = await asyncio.to_thread(progress_line, self._store, person, self.kind)
        regions = {
            "top": theme.top_bar(f"/{self.kind}", person.name, person.role),
            "model": theme.loading_model(state, self._store.now()),
            "progress": progress,
        }
        return Answer({**regions, **more}, {"person": person.id, "ready": state.ready})


def why(act: Act) -> tuple[list[str], str]:
    """The reasons and the comment that an act carries."""
    return [str(reason) for reason in act.get("reasons") or []], str(act.get("comment") or "").strip()


def earlier_turns(turns: Sequence[Turn]) -> Markup:
    """The messages before a prompt as a list, oldest first; nothing where there are none."""
    if not turns:
        return Markup()
    items = (html("<li><b>{}</b> {}</li>", SPEAKERS.get(turn.role, turn.role), turn.text) for turn in turns)
    return html('<ol class="earlier" aria-label="Earlier in this conversation">{}</ol>', Markup().join(items))
