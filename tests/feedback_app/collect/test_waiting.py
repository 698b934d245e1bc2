"""Answers, pairs and rankings when every place is taken: what is said meanwhile, and how waiting ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from feedback_app.collect.admission import Admission, Claim, Load
from feedback_app.collect.answer import Answers, Delta, Failed, Finished, Started, Waiting
from feedback_app.collect.tasks import Comparing, PairReady, PairStarted, PairWaiting
from feedback_app.errors import Busy, TooLong, TooMany
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from feedback_app.ui.waiting import waiting_line
from tests.fakes import FakeVllm, Reply, collected
from tests.waiting import until

PLACES = 4
FAR = "word " * 1000  # 5000 bytes; no more than 100 tokens of at most 16 bytes can be read


@pytest.fixture
def taken(answers: Answers) -> Iterator[list[Claim]]:
    """Every place, held by other people."""
    answers.admission = Admission(PLACES)
    claims = [answers.admission.claim(f"p{number}", Load(1, 1), 100) for number in range(PLACES)]
    yield claims
    for claim in claims:
        claim.release()
    assert answers.admission.counts() == {"weight": 0, "running": 0, "waiting": 0}


def chat_of(store: Store, person: Person) -> str:
    return store.conversations.add_conversation(person.id, "chat").id


async def test_an_answer_that_waits_says_its_place_and_then_comes(
    answers: Answers, taken: list[Claim], served_store: Store, vllm: FakeVllm, ben: Person
) -> None:
    ahead = answers.admission.claim("somebody", Load(1, 1), 100)
    vllm.queue("It is Paris.")
    events = []
    async for event in answers.reply(ben, chat_of(served_store, ben), "What is the capital of France?"):
        events.append(event)
        if isinstance(event, Waiting):
            assert not vllm.requests
            taken[event.place].release()
            ahead.release()
    assert [type(event) for event in events[:2]] == [Started, Waiting]
    assert events[1] == Waiting(1)
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "It is Paris."


async def test_who_waits_in_vain_gets_a_sentence_and_may_ask_again(
    answers: Answers, taken: list[Claim], served_store: Store, vllm: FakeVllm, ben: Person
) -> None:
    answers.settings = answers.settings.model_copy(update={"request_deadline_s": 0.4})
    chat = chat_of(served_store, ben)
    events = await collected(answers.reply(ben, chat, "Hello?"))
    assert isinstance(events[-1], Failed)
    assert "waited 0 s for its turn" in events[-1].sentence
    assert not vllm.requests
    for claim in taken:
        claim.release()
    answers.settings = answers.settings.model_copy(update={"request_deadline_s": 5})
    started = events[0]
    assert isinstance(started, Started)
    again = await collected(answers.retry(ben, started.user_message_id))
    assert isinstance(again[-1], Finished)


async def test_a_page_that_stops_while_it_waits_gives_up_its_turn(
    answers: Answers, taken: list[Claim], served_store: Store, ben: Person
) -> None:
    events = answers.reply(ben, chat_of(served_store, ben), "Hello?")
    async for event in events:
        if isinstance(event, Waiting):
            break
    assert answers.admission.counts()["waiting"] == 1
    await events.aclose()
    assert answers.admission.counts()["waiting"] == 0


async def test_too_many_at_once_is_refused_before_anything_is_stored(
    answers: Answers, taken: list[Claim], served_store: Store, ben: Person
) -> None:
    answers.admission.in_all = PLACES
    chat = chat_of(served_store, ben)
    with pytest.raises(TooMany):
        await collected(answers.reply(ben, chat, "Hello?"))
    conversation = served_store.conversations.conversation(chat)
    assert conversation is not None
    assert conversation.head_id is None


@pytest.mark.parametrize("how", ["stop", "break", "refuse"])
async def test_however_an_answer_ends_its_place_is_free(
    answers: Answers, served_store: Store, vllm: FakeVllm, ben: Person, how: str
) -> None:
    from serving.client import VllmError

    vllm.queue(
        {
            "stop": Reply("one two three"),
            "break": Reply("one two", break_at=1),
            "refuse": Reply("", error=VllmError(500, "no")),
        }[how]
    )
    events = answers.reply(ben, chat_of(served_store, ben), "Hello?")
    async for event in events:
        if isinstance(event, Delta):
            assert answers.admission.counts()["running"] == 1
            if how == "stop":
                break
    await events.aclose()
    assert answers.admission.counts() == {"weight": 0, "running": 0, "waiting": 0}


async def test_a_pair_weighs_two_waits_with_its_place_and_comes(
    answers: Answers, taken: list[Claim], comparing: Comparing, ada: Person
) -> None:
    events = []
    async for event in comparing.next_pair(ada):
        events.append(event)
        if isinstance(event, PairWaiting):
            taken[0].release()
            await asyncio.sleep(0)
            assert answers.admission.counts()["waiting"] == 1  # one place is not enough for two answers
            taken[1].release()
    assert [type(event) for event in events[:2]] == [PairWaiting, PairStarted]
    assert isinstance(events[-1], PairReady)


async def test_a_pair_that_waits_in_vain_says_so_and_closing_gives_up_what_waits(
    answers: Answers, taken: list[Claim], comparing: Comparing, ada: Person
) -> None:
    answers.settings = answers.settings.model_copy(update={"request_deadline_s": 0.4})
    with pytest.raises(Busy):
        await collected(comparing.next_pair(ada))
    answers.settings = answers.settings.model_copy(update={"request_deadline_s": 100})
    await comparing.prepare(ada)
    await comparing.prepare_ranking(ada, 3)
    await until(lambda: answers.admission.counts()["waiting"] == 2)
    await comparing.close()
    assert answers.admission.counts()["waiting"] == 0


async def test_a_ranking_that_waits_knows_its_place(
    answers: Answers, taken: list[Claim], comparing: Comparing, ada: Person, ben: Person
) -> None:
    assert comparing.ranking_place(ada, 3) is None
    asking = asyncio.create_task(comparing.next_ranking(ada, 3))
    await until(lambda: comparing.ranking_place(ada, 3) is not None)
    assert comparing.ranking_place(ada, 3) == 0
    assert comparing.ranking_place(ben, 3) is None
    for claim in taken:
        claim.release()
    assert len((await asking).candidates) == 3
    assert comparing.ranking_place(ada, 3) is None


@pytest.mark.parametrize("page", ["chat", "compare"])
async def test_what_cannot_fit_is_refused_in_a_sentence_without_asking_vllm(
    answers: Answers,
    comparing: Comparing,
    served_store: Store,
    vllm: FakeVllm,
    ada: Person,
    page: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def count(*_: Any, **__: Any) -> int:
        raise AssertionError("vLLM was asked to count")

    monkeypatch.setattr(vllm, "tokenize", count)
    events = answers.reply(ada, chat_of(served_store, ada), FAR) if page == "chat" else comparing.next_pair(ada, FAR)
    with pytest.raises(TooLong, match="at least 313 tokens long and the model reads at most 100"):
        await collected(events)


async def test_old_turns_that_cannot_fit_are_left_out_without_being_counted(
    answers: Answers, served_store: Store, vllm: FakeVllm, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = chat_of(served_store, ben)
    parent = None
    for number in range(200):
        role = "assistant" if number % 2 else "user"
        parent = served_store.conversations.add_message(chat, parent, role, "x" * 400).id
    counted: list[int] = []
    count = vllm.tokenize

    async def tokenize(messages: Any, model: str = "base") -> int:
        counted.append(sum(len(message["content"]) for message in messages))
        return await count(messages, model)

    monkeypatch.setattr(vllm, "tokenize", tokenize)
    events = await collected(answers.reply(ben, chat, "And now?"))
    assert isinstance(events[-1], Finished)
    assert max(counted) <= 100 * 16


@pytest.mark.parametrize(("place", "words"), [(0, "you are next"), (1, "1 request goes before"), (7, "7 requests go")])
def test_the_place_in_words(place: int, words: str) -> None:
    assert words in waiting_line(place)
