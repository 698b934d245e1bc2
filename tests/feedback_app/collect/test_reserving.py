"""Promised tickets: written together, asked for before a page samples, and gone once they are stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import pytest

from feedback_app.collect.answer import Answers, Finished
from feedback_app.collect.reserving import Reserving
from feedback_app.collect.tasks import Comparing
from feedback_app.errors import Unavailable
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import FakeVllm, collected

SPARED = "feedback_app.store.reservations.SPARE_BYTES"
MORE_THAN_ANY_DISK = 2**70


async def test_promises_that_come_together_are_one_commit(
    served_store: Store, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, begun, go = served_store.reservations.add, threading.Event(), threading.Event()
    commits: list[int] = []

    def slow(promised: Iterable[tuple[str, str]], lifetime_s: float) -> None:
        begun.set()
        assert go.wait(10)
        commits.append(len(together := list(promised)))
        add(together, lifetime_s)

    monkeypatch.setattr(served_store.reservations, "add", slow)
    reserving = Reserving(served_store, 5)
    first = reserving.begin(ada, "0")
    assert await asyncio.to_thread(begun.wait, 10)
    others = [reserving.begin(ada, str(number)) for number in range(1, 33)]
    assert not first.done()
    go.set()
    await asyncio.gather(first, *others)
    assert commits == [1, 32]
    assert len(served_store.reservations.listing()) == 33


async def test_a_refused_promise_refuses_those_beside_it_and_none_that_come_later(
    served_store: Store, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserving = Reserving(served_store, 5)
    with monkeypatch.context() as full:
        full.setattr(SPARED, MORE_THAN_ANY_DISK)
        for refused in [reserving.begin(ada, "a"), reserving.begin(ada, "b")]:
            with pytest.raises(Unavailable, match="The disk of the database is full"):
                await refused
    await reserving.begin(ada, "c")
    assert [promise.ticket_id for promise in served_store.reservations.listing()] == ["c"]


async def test_a_page_samples_nothing_and_stores_nothing_while_nothing_can_be_stored(
    answers: Answers,
    comparing: Comparing,
    served_store: Store,
    vllm: FakeVllm,
    ada: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversation = served_store.conversations.add_conversation(ada.id, "chat")
    done = (await collected(answers.reply(ada, conversation.id, "Hello")))[-1]
    assert isinstance(done, Finished)
    asked = len(vllm.requests)
    monkeypatch.setattr(SPARED, MORE_THAN_ANY_DISK)
    for events in (
        answers.reply(ada, conversation.id, "And again?"),
        answers.retry(ada, done.message_id),
        comparing.next_pair(ada),
        comparing.next_pair(ada, "My own prompt"),
    ):
        with pytest.raises(Unavailable, match="Make room in"):
            await anext(events)
    with pytest.raises(Unavailable, match="Make room in"):
        await comparing.next_ranking(ada, 3)
    assert len(vllm.requests) == asked
    assert len(served_store.conversations.thread(conversation.id)) == 2


async def test_what_is_stored_is_no_longer_promised(
    answers: Answers, comparing: Comparing, served_store: Store, ada: Person
) -> None:
    conversation = served_store.conversations.add_conversation(ada.id, "chat")
    done = (await collected(answers.reply(ada, conversation.id, "Hello")))[-1]
    assert isinstance(done, Finished)
    await collected(answers.retry(ada, done.message_id))
    await collected(comparing.next_pair(ada))
    await comparing.next_ranking(ada, 3)
    assert served_store.reservations.listing() == []
