"""What the chat page's acts leave behind as signals: nothing by default, each kind where it is turned on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import Reply
from tests.waiting import until

if TYPE_CHECKING:
    from feedback_app.store.tables import Person
    from feedback_app.ui.island import Answer

pytestmark = pytest.mark.slow  # imports Gradio
KINDS = ("retry", "copy", "stop", "edit", "abandoned", "thanks")


class Chatter:
    """Somebody at the chat page."""

    def __init__(self, home: Path, signals: str) -> None:
        from feedback_app.ui.chat_events import ChatEvents
        from tests.browser.stage import TalkingVllm, make_parts

        self.vllm = TalkingVllm()
        self.parts = make_parts(home, self.vllm, signals=signals)
        self.store = self.parts.store
        self.events = ChatEvents(self.parts)
        self.conversation = ""

    @property
    def person(self) -> Person:
        found = self.store.people.by_name("charlie")
        assert found is not None
        return found

    async def act(self, do: str, **more: Any) -> Answer:
        """One act in the conversation that is open."""
        answer = await self.events.act(self.person, {"do": do, "conversation": self.conversation, **more})
        assert answer.error == ""
        self.conversation = answer.state.get("conversation", self.conversation)
        return answer

    async def settled(self) -> str:
        """The message that the conversation ends with, once no answer is being written."""
        while (stream := self.events.streams.get(self.conversation)) is not None:
            await stream.done.wait()
            await asyncio.sleep(0)
        conversation = self.store.conversations.conversation(self.conversation)
        assert conversation is not None
        assert conversation.head_id is not None
        return conversation.head_id

    async def walk(self) -> None:
        """A chat in which everything is done once."""
        self.vllm.queue("First.", "Second.", Reply("Third and more", pause_at=1))
        await self.act("send", text="Hello?")
        first = await self.settled()
        await self.act("copied", message=first)
        await self.act("retry", message=first)
        second = await self.settled()
        ticket, _ = self.store.tasks.tickets_for([second], self.person.id)[second]
        await self.act("correct", message=second, ticket=ticket.id, correction="Second thoughts.")
        await self.act("send", text="Thanks!")
        stream = self.events.streams.get(self.conversation)
        assert stream is not None
        await until(lambda: bool(stream.text))
        await self.act("stop")
        await self.act("new")
        assert self.conversation == ""

    def kept(self) -> dict[str, list[str]]:
        """The texts of the answers by the signals on them."""
        found: dict[str, list[str]] = {}
        for signal in self.store.signals.export(KINDS):
            found.setdefault(signal.kind, []).append(signal.text)
        return found


async def test_each_act_leaves_its_signal_where_signals_are_on(tmp_path: Path) -> None:
    chatter = Chatter(tmp_path, "all")
    welcome = await chatter.act("start")
    assert "copying, stopping" in welcome.regions["thread"]
    assert welcome.state["copies"]
    await chatter.walk()
    kept = chatter.kept()
    (stopped,) = kept.pop("stop")
    assert "Third and more".startswith(stopped)
    assert kept.pop("abandoned") == [stopped]
    assert kept == {"copy": ["First."], "retry": ["First."], "edit": ["Second."], "thanks": ["Second."]}
    chatter.store.close()


async def test_by_default_nothing_is_left_and_nothing_is_said(tmp_path: Path) -> None:
    chatter = Chatter(tmp_path, "")
    welcome = await chatter.act("start")
    assert "without being asked" not in welcome.regions["thread"]
    assert not welcome.state["copies"]
    await chatter.walk()
    assert chatter.kept() == {}
    chatter.store.close()
