"""A ticket that is told before its answer is stored: a verdict waits for the answer, and only for one that comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from sqlalchemy import event, text
from sqlmodel import select

from feedback_app.collect import reserving
from feedback_app.errors import Conflict
from feedback_app.store.tables import Conversation, Message
from tests.feedback_app.builders import completion
from tests.waiting import until

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from tests.fakes import Clock
    from tests.feedback_app.api.conftest import Site

pytestmark = pytest.mark.slow

Ask = Callable[[str], AsyncOpenAI]
HELLO: Any = [{"role": "user", "content": "hello there"}]


def make_read_only(store: Store) -> None:
    """Only reading from now on: what a standby does after a failover, and a managed database on a full disk."""
    engine = store.database.engine
    if store.database.is_sqlite:

        @event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA query_only=ON")

    else:
        with engine.begin() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar()
            connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    engine.dispose()


async def verdict(site: Site, name: str, ticket_id: str, **said: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.post(
            f"{site.url}/v1/feedback",
            json={"ticket": ticket_id, **(said or {"verdict": "good"})},
            headers={"Authorization": f"Bearer {site.keys[name]}"},
        )


async def begun(site: Site, ask: Ask) -> tuple[Any, str]:
    """A stream that stops after its first word, and its ticket."""
    site.fake.hold = asyncio.Event()
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, stream=True)
    return raw.parse(), raw.headers["x-alignloop-ticket"]


async def test_who_is_told_a_ticket_has_it_promised_and_nobody_can_judge_it_yet(
    site: Site, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserving, "WAIT_S", 0.2)
    stream, ticket_id = await begun(site, ask)
    assert [promise.ticket_id for promise in site.store.reservations.listing()] == [ticket_id]
    assert site.store.tasks.ticket(ticket_id) is None
    for said in ({"verdict": "good"}, {"signal": "edit"}):
        refused = await verdict(site, "chi", ticket_id, **said)
        assert refused.status_code == 409
        assert "still being written" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) > 0
    assert (await verdict(site, "ann", ticket_id)).status_code == 404  # it is not theirs: there is nothing to wait for
    assert site.fake.hold is not None
    site.fake.hold.set()
    [chunk async for chunk in stream]
    assert site.store.reservations.listing() == []
    assert (await verdict(site, "chi", ticket_id)).status_code == 200
    assert site.store.judgements.watermark() == 1


async def test_a_verdict_waits_for_its_answer(site: Site, ask: Ask) -> None:
    stream, ticket_id = await begun(site, ask)
    judging = asyncio.create_task(verdict(site, "chi", ticket_id))
    done, _ = await asyncio.wait({judging}, timeout=0.5)
    assert not done
    assert site.fake.hold is not None
    site.fake.hold.set()
    [chunk async for chunk in stream]
    assert (await judging).status_code == 200
    assert site.store.judgements.live(ticket_id) is not None


async def test_a_promise_whose_answer_never_came_is_never_judged_and_goes(
    site: Site, ask: Ask, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ope = site.store.people.by_name("ope")
    assert ope is not None
    site.store.reservations.add([("left-by-a-crash", ope.id)], lifetime_s=70)
    monkeypatch.setattr(reserving, "WAIT_S", 0.0)
    assert (await verdict(site, "ope", "left-by-a-crash")).status_code == 409
    clock.pass_s(70)
    assert (await verdict(site, "ope", "left-by-a-crash")).status_code == 404
    await ask("chi").chat.completions.create(model="policy", messages=HELLO)
    assert site.store.reservations.listing() == []
    assert list(site.store.judgements.export()) == []


async def test_an_answer_whose_reader_leaves_before_its_first_word_leaves_no_promise(site: Site, ask: Ask) -> None:
    site.fake.delay_s = 30
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, stream=True)
    assert len(site.store.reservations.listing()) == 1
    await raw.parse().close()
    await until(lambda: site.store.reservations.listing() == [])
    assert site.store.tasks.ticket(raw.headers["x-alignloop-ticket"]) is None


async def test_what_was_on_its_way_when_its_person_was_erased_is_not_kept(site: Site, ask: Ask) -> None:
    stream, ticket_id = await begun(site, ask)
    chi = site.store.people.by_name("chi")
    assert chi is not None
    talk = site.store.conversations
    chat = talk.add_conversation(chi.id, "chat")
    question = talk.add_message(chat.id, None, "user", "my name is Chi")
    site.store.withdrawals.erase(chi.id)
    assert site.fake.hold is not None
    site.fake.hold.set()
    with pytest.raises(openai.APIError, match="could not be stored"):
        [chunk async for chunk in stream]
    for write in (
        lambda: talk.add_reply(chat.id, question.id, "Hello Chi", completion("policy-0001")),
        lambda: talk.add_message(chat.id, question.id, "user", "I am Chi"),
        lambda: talk.add_candidates(chi.id, "typed", "Chi asks", [("a", completion("policy-0001"))]),
        lambda: talk.rename(chat.id, "Chi"),
    ):
        with pytest.raises(Conflict, match="was erased"):
            write()
    with site.store.database.read() as session:
        assert {message.content for message in session.exec(select(Message))} == {""}
        assert {conversation.title for conversation in session.exec(select(Conversation))} == {""}
    assert site.store.tasks.ticket(ticket_id) is None


async def test_where_the_database_can_only_be_read_nobody_is_answered(site: Site, ask: Ask) -> None:
    make_read_only(site.store)
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError, match=r"read-?only") as caught:
            await ask("chi").chat.completions.create(model="policy", messages=HELLO, stream=stream)
        assert caught.value.status_code == 503
        assert "x-alignloop-ticket" not in caught.value.response.headers
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(site.url + "/readyz")
    assert reply.status_code == 503
    assert reply.json()["waiting_for"].startswith("Nothing can be stored. ")
    assert [model.id async for model in ask("chi").models.list()] == ["policy"]
