"""Prompts of several turns and with a system text, from the draw to the row that a stage reads."""

from __future__ import annotations

import random
from typing import Any

import pytest

from alignment.dataset.judgement import Message
from alignment.dataset.reading.prompts import Prompt, plain
from feedback_app.collect.answer import Answers
from feedback_app.collect.judge import compare_verdict, judge
from feedback_app.collect.prompts import PromptOrder
from feedback_app.collect.tasks import Comparing, PairReady, PairStarted, Turn
from feedback_app.errors import TooLong
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import FakeVllm, Reply

PIRATE = Message("system", "Talk like a pirate.")
TALK = (Message("user", "Who are you?"), Message("assistant", "Ahoy."), Message("user", "And your ship?"))
LONG = "word " * 200


async def pair(comparing: Comparing, person: Person) -> tuple[PairStarted, PairReady]:
    events = [event async for event in comparing.next_pair(person)]
    started, ready = events[0], events[-1]
    assert isinstance(started, PairStarted)
    assert isinstance(ready, PairReady)
    return started, ready


@pytest.mark.parametrize("messages", [(PIRATE, *TALK), TALK, (PIRATE, TALK[0])])
@pytest.mark.parametrize("operators", ["", "Be brief."])
async def test_earlier_turns_are_shown_sent_and_kept(
    served_store: Store,
    vllm: FakeVllm,
    settings: Settings,
    facts: Any,
    ada: Person,
    messages: tuple[Message, ...],
    operators: str,
) -> None:
    answers = Answers(served_store, vllm, settings.model_copy(update={"system_prompt": operators}), facts)  # type: ignore[arg-type]
    comparing = Comparing(answers, [Prompt(messages)], random.Random(2))
    started, ready = await pair(comparing, ada)
    assert started.prompt == messages[-1].content
    assert started.earlier == tuple(Turn(message.role, message.content) for message in messages[:-1])
    head = "\n\n".join(text for text in (operators, PIRATE.content * (messages[0] == PIRATE)) if text)
    turns = messages[messages[0] == PIRATE :]
    sent = ((Message("system", head),) if head else ()) + turns
    assert [(each["role"], each["content"]) for each in vllm.requests[0]["messages"]] == [
        (each.role, each.content) for each in sent
    ]
    again, same = await pair(comparing, ada)  # after a reload it is read from the store
    assert (again.prompt, again.earlier, same) == (started.prompt, started.earlier, ready)
    found = served_store.tasks.ticket(ready.ticket_id)
    assert found is not None
    judge(served_store, ada, ready.ticket_id, compare_verdict(found[0].order, "a_clearly"))
    (judged,) = served_store.judgements.export()
    assert judged.context == sent
    assert {candidate.excluded for candidate in judged.candidates} == {None}


async def test_a_ranking_shows_them_too(answers: Answers, ada: Person) -> None:
    shown = await Comparing(answers, [Prompt((PIRATE, *TALK))], random.Random(2)).next_ranking(ada, 3)
    assert shown.prompt == "And your ship?"
    assert [turn.role for turn in shown.earlier] == ["system", "user", "assistant"]


async def test_turns_that_do_not_fit_are_shown_and_not_claimed_as_read(
    served_store: Store, answers: Answers, vllm: FakeVllm, ada: Person
) -> None:
    old = (Message("user", "word " * 60), Message("assistant", "word " * 60))
    _, ready = await pair(Comparing(answers, [Prompt((*old, *TALK[2:]))], random.Random(2)), ada)
    assert [each["content"] for each in vllm.requests[0]["messages"]] == ["And your ship?"]
    found = served_store.tasks.ticket(ready.ticket_id)
    assert found is not None
    judge(served_store, ada, ready.ticket_id, compare_verdict(found[0].order, "a_clearly"))
    (judged,) = served_store.judgements.export()
    assert judged.context == (Message("user", "And your ship?"),)


async def test_a_drawn_prompt_that_is_too_long_is_passed_over(answers: Answers, ada: Person) -> None:
    with pytest.raises(TooLong):
        await pair(Comparing(answers, [LONG], random.Random(2)), ada)
    with pytest.raises(TooLong):
        await Comparing(answers, [LONG], random.Random(2)).next_ranking(ada, 3)
    with pytest.raises(TooLong):  # one's own words are never exchanged for others
        [event async for event in Comparing(answers, ["And your ship?"], random.Random(2)).next_pair(ada, LONG)]
    comparing = Comparing(answers, [f"{LONG}{number}" for number in range(4)] + ["And your ship?"], random.Random(2))
    assert (await pair(comparing, ada))[0].prompt == "And your ship?"
    assert (await comparing.next_ranking(ada, 3)).prompt == "And your ship?"


async def test_who_judges_is_told_which_answer_was_cut(answers: Answers, vllm: FakeVllm, ada: Person) -> None:
    comparing = Comparing(answers, ["Hello"], random.Random(2))
    vllm.queue(Reply("one", finish_reason="length"), Reply("two"))
    _, ready = await pair(comparing, ada)
    assert {(ready.a_text, ready.a_cut), (ready.b_text, ready.b_cut)} == {("one", True), ("two", False)}
    assert (await pair(comparing, ada))[1] == ready


def test_everybody_meets_every_prompt_before_one_returns(sqlite_store: Store, ada: Person) -> None:
    prompts: list[Prompt | str] = [Prompt((PIRATE, *TALK)), Prompt(TALK), "a", plain("b")]
    order = PromptOrder(sqlite_store, prompts)
    drawn = [order.draw(ada) for _ in range(8)]
    assert {*drawn[:4]} == {*drawn[4:]} == {Prompt((PIRATE, *TALK)), Prompt(TALK), plain("a"), plain("b")}
