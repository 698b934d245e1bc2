"""The chat page while an answer waits for its turn, and at the moment it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feedback_app.collect.admission import Admission, Load
from tests.fakes import Reply
from tests.waiting import until

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.ui.chat_events import ChatEvents
    from tests.browser.stage import TalkingVllm

pytestmark = pytest.mark.slow  # imports Gradio


@pytest.fixture
def vllm() -> TalkingVllm:
    from tests.browser.stage import TalkingVllm

    return TalkingVllm()


@pytest.fixture
def parts(tmp_path: Path, vllm: TalkingVllm) -> Parts:
    from tests.browser.stage import make_parts

    return make_parts(tmp_path, vllm)


@pytest.fixture
def page(parts: Parts) -> ChatEvents:
    from feedback_app.ui.chat_events import ChatEvents

    return ChatEvents(parts)


async def send(page: ChatEvents, parts: Parts) -> dict[str, Any]:
    """A first message; the act that asks about its conversation."""
    person = parts.store.people.by_name("charlie")
    assert person is not None
    answer = await page.act(person, {"do": "send", "text": "Hello?", "conversation": ""})
    assert answer.state["busy"]
    return {"person": person, "act": {"do": "show", "conversation": answer.state["conversation"]}}


async def test_the_page_tells_the_place_and_then_why_no_answer_came(page: ChatEvents, parts: Parts) -> None:
    answers = parts.answers
    answers.admission = Admission(1)
    answers.settings = answers.settings.model_copy(update={"request_deadline_s": 3})
    with answers.admission.claim("somebody", Load(1, 1), 100):
        asked = await send(page, parts)
        seen = [live async for live in page.listen(asked["person"], asked["act"])]
    assert seen[0]["waiting"] == "Waiting for a free place: you are next"
    assert seen[-1]["done"]
    assert "Try again in a moment" in seen[-1]["error"]
    shown = await page.act(asked["person"], asked["act"])
    assert not shown.state["busy"]
    assert 'id="unanswered"' in shown.regions["thread"]  # with its button to ask again


async def test_an_answer_that_ends_while_the_page_looks_is_not_shown_as_missing(
    page: ChatEvents, parts: Parts, vllm: TalkingVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feedback_app.ui import chat_events

    reply = Reply("Here I am.", pause_at=1)
    vllm.queue(reply)
    asked = await send(page, parts)
    stream = page.streams.get(asked["act"]["conversation"])
    assert stream is not None
    read, loop, looked = chat_events.read_conversation, asyncio.get_running_loop(), []

    def slow(*arguments: Any) -> Any:
        found = read(*arguments)
        if not looked:
            loop.call_soon_threadsafe(reply.go.set)
            asyncio.run_coroutine_threadsafe(stream.done.wait(), loop).result(10)
        looked.append(found)
        return found

    monkeypatch.setattr(chat_events, "read_conversation", slow)
    await until(lambda: reply.reached.is_set())
    shown = await page.act(asked["person"], asked["act"])
    assert "Here I am." in shown.regions["thread"]
    assert 'id="unanswered"' not in shown.regions["thread"]
    assert not shown.state["busy"]
