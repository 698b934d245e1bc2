"""Pairs and rankings: blind, drawn by the server, made ahead, never the same twice."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from feedback_app.collect.answer import Answers
from feedback_app.collect.judge import compare_verdict, judge, rank_verdict, undo
from feedback_app.collect.tasks import Comparing, PairDelta, PairReady, PairStarted, RankTicket
from feedback_app.errors import NotAllowed, TooLong, Unavailable, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task, Ticket
from tests.fakes import Clock, FakeVllm, Reply, collected
from tests.feedback_app.builders import add_version
from tests.feedback_app.collect.conftest import PROMPTS


async def next_pair(comparing: Comparing, person: Person, prompt: str | None = None) -> tuple[PairStarted, PairReady]:
    events = await collected(comparing.next_pair(person, prompt))
    started, ready = events[0], events[-1]
    assert isinstance(started, PairStarted)
    assert isinstance(ready, PairReady)
    return started, ready


def ticket_of(store: Store, ticket_id: str) -> tuple[Ticket, Task]:
    found = store.tasks.ticket(ticket_id)
    assert found is not None
    return found


def texts_in_order(store: Store, ticket: Ticket) -> list[str]:
    messages = store.conversations.messages(ticket.order)
    return [messages[id].content for id in ticket.order]


async def vote(comparing: Comparing, store: Store, person: Person, choice: Any = "a_clearly") -> str:
    _, ready = await next_pair(comparing, person)
    ticket, _ = ticket_of(store, ready.ticket_id)
    return judge(store, person, ticket.id, compare_verdict(ticket.order, choice)).judgement_id


async def test_a_pair_is_streamed_and_its_ticket_knows_the_sides(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person, clock: Clock
) -> None:
    events = await collected(comparing.next_pair(ada))
    started, ready = events[0], events[-1]
    assert isinstance(started, PairStarted)
    assert isinstance(ready, PairReady)
    assert started.prompt in PROMPTS
    assert started.generated
    for side, text in (("a", ready.a_text), ("b", ready.b_text)):
        assert "".join(event.text for event in events if isinstance(event, PairDelta) and event.side == side) == text
    ticket, task = ticket_of(served_store, ready.ticket_id)
    assert texts_in_order(served_store, ticket) == [ready.a_text, ready.b_text]
    assert (task.kind, task.challenger, task.wanted) == ("compare", None, 1)
    assert set(task.candidates) == set(ticket.order)
    assert (ticket.shown_at, ticket.expires_at) == (clock.now, clock.now + 3600)
    first, second = vllm.requests
    assert first["seed"] != second["seed"]
    assert first["messages"] == second["messages"] == [{"role": "user", "content": started.prompt}]
    completions = served_store.conversations.completions(ticket.order)
    assert {completion.sent[0] for completion in completions.values()} == {task.context_id}


async def test_a_reload_shows_the_same_pair_until_it_is_judged(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person, clock: Clock
) -> None:
    started, ready = await next_pair(comparing, ada)
    clock.pass_s(1)
    again_started, again = await next_pair(comparing, ada)
    assert again == ready
    assert (again_started.prompt, again_started.generated) == (started.prompt, False)
    assert len(vllm.requests) == 2
    judgement = await vote(comparing, served_store, ada)
    _, other = await next_pair(comparing, ada)
    assert other.ticket_id != ready.ticket_id
    undo(served_store, ada, judgement)
    _, back = await next_pair(comparing, ada)
    assert back == ready


async def test_a_reload_in_the_middle_follows_the_pair_that_is_being_made(
    comparing: Comparing, vllm: FakeVllm, ada: Person
) -> None:
    vllm.queue(Reply("left one two", pause_at=2), "right one")
    stream = comparing.next_pair(ada)
    seen = [await anext(stream) for _ in range(3)]
    await stream.aclose()  # the page is gone; the pair is still being made
    vllm_replies = asyncio.create_task(collected(comparing.next_pair(ada)))
    await asyncio.sleep(0)
    for request in list(comparing.making.values()):
        assert request.events[:3] == seen
    assert not vllm_replies.done()
    await release(vllm, vllm_replies)
    events = vllm_replies.result()
    assert events[:3] == seen
    assert isinstance(events[-1], PairReady)
    assert len(vllm.requests) == 2


async def release(vllm: FakeVllm, waiting: asyncio.Task[Any]) -> None:
    """Let every paused answer go on, and wait for `waiting`."""
    for reply in vllm.given:
        reply.go.set()
    await asyncio.wait_for(asyncio.shield(waiting), 10)


async def test_the_next_pair_is_made_ahead_once(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person, clock: Clock
) -> None:
    await next_pair(comparing, ada)
    for _ in range(3):
        await comparing.prepare(ada)
    await comparing.idle()
    await comparing.prepare(ada)
    await comparing.idle()
    assert len(vllm.requests) == 4
    await vote(comparing, served_store, ada)
    clock.pass_s(100)
    started, ready = await next_pair(comparing, ada)
    assert not started.generated
    assert len(vllm.requests) == 4
    ticket, _ = ticket_of(served_store, ready.ticket_id)
    assert (ticket.created_at, ticket.shown_at) == (clock.now - 100, clock.now)
    clock.pass_s(7)
    judged = judge(served_store, ada, ticket.id, compare_verdict(ticket.order, "tie"))
    row = served_store.judgements.get(judged.judgement_id)
    assert row is not None
    assert row.seconds == 7  # from showing, not from making


async def test_a_pair_of_a_challenger_is_blind_and_against_the_incumbent(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person, clock: Clock
) -> None:
    _, stale = await next_pair(comparing, ada)  # made before there was a challenger
    clock.pass_s(1)
    version = add_version(served_store, "policy-0001", form="adapter", state="challenger")
    await vllm.load(version.served_name, "/x")
    left = []
    for _ in range(12):
        _, ready = await next_pair(comparing, ada)
        assert ready.ticket_id != stale.ticket_id
        ticket, task = ticket_of(served_store, ready.ticket_id)
        assert (task.challenger, task.incumbent) == ("policy-0001", "base")
        completions = served_store.conversations.completions(ticket.order)
        assert {completion.version for completion in completions.values()} == {"base", "policy-0001"}
        left.append(completions[ticket.order[0]].version)
        judge(served_store, ada, ticket.id, compare_verdict(ticket.order, "a_clearly"))
    assert 2 <= left.count("base") <= 10  # sides are drawn
    outcomes = [outcome for outcome, _ in served_store.judgements.votes("policy-0001")]
    assert outcomes == ["win" if version == "policy-0001" else "loss" for version in left]
    served_store.versions.set_state("policy-0001", "dropped")
    _, after = await next_pair(comparing, ada)
    assert after.ticket_id == stale.ticket_id


async def test_identical_answers_are_tried_again_with_another_seed(
    comparing: Comparing, vllm: FakeVllm, ada: Person
) -> None:
    vllm.queue("Paris.", "Paris.", "Paris.", "It is Paris.")
    _, ready = await next_pair(comparing, ada)
    assert {ready.a_text, ready.b_text} == {"Paris.", "It is Paris."}
    assert len({request["seed"] for request in vllm.requests}) == 4


async def test_a_prompt_with_one_answer_gives_way_to_another(comparing: Comparing, vllm: FakeVllm, ada: Person) -> None:
    vllm.queue(*["Four."] * 6)
    events = await collected(comparing.next_pair(ada))
    prompts = [event.prompt for event in events if isinstance(event, PairStarted)]
    assert len(prompts) == 2
    assert prompts[0] != prompts[1]
    assert isinstance(events[-1], PairReady)
    vllm.queue(*["Four."] * 6)
    with pytest.raises(UsageError, match="same answer every time"):
        await collected(comparing.next_pair(ada, "2 + 2?"))


async def test_a_typed_prompt_makes_a_new_pair(comparing: Comparing, served_store: Store, ada: Person) -> None:
    await next_pair(comparing, ada)
    started, ready = await next_pair(comparing, ada, "Tell me a story.")
    assert (started.prompt, started.generated) == ("Tell me a story.", True)
    _, task = ticket_of(served_store, ready.ticket_id)
    assert task.context_id is not None
    assert served_store.conversations.path(task.context_id)[-1].content == "Tell me a story."
    with pytest.raises(TooLong):
        await collected(comparing.next_pair(ada, "word " * 200))
    with pytest.raises(UsageError, match="Write a prompt"):
        await collected(comparing.next_pair(ada, "  "))


async def test_prompts_come_in_an_order_of_ones_own_and_none_twice_until_all_are_used(
    comparing: Comparing, answers: Answers, served_store: Store, ada: Person
) -> None:
    async def draw(person: Person, source: Comparing, count: int) -> list[str]:
        prompts = []
        for _ in range(count):
            started, ready = await next_pair(source, person)
            prompts.append(started.prompt)
            ticket, _ = ticket_of(served_store, ready.ticket_id)
            judge(served_store, person, ticket.id, compare_verdict(ticket.order, "tie"))
        return prompts

    first = await draw(ada, comparing, 4)
    after_restart = Comparing(answers, PROMPTS, random.Random(3))
    rest = await draw(ada, after_restart, 2)
    assert sorted(first + rest) == sorted(PROMPTS)
    assert await draw(ada, after_restart, 1) == first[:1]
    cem = served_store.people.add("cem", "annotator", "")
    assert await draw(cem, comparing, 6) != first + rest


async def test_a_task_that_wants_two_people_is_shown_to_a_second_one(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person
) -> None:
    _, ready = await next_pair(comparing, ada)
    ticket, task = ticket_of(served_store, ready.ticket_id)
    shared = served_store.tasks.add("compare", task.context_id, task.candidates, wanted=2)
    served_store.tasks.issue(shared.id, ada.id, ticket.order, ticket.expires_at)
    cem = served_store.people.add("cem", "annotator", "")
    _, second = await next_pair(comparing, cem)
    _, second_task = ticket_of(served_store, second.ticket_id)
    assert second_task.id == shared.id
    assert len(vllm.requests) == 2


async def test_scripted_people_get_tasks_of_their_own(comparing: Comparing, served_store: Store) -> None:
    bot = served_store.people.add("warm", "annotator", "", scripted=True)
    _, ready = await next_pair(comparing, bot)
    assert ticket_of(served_store, ready.ticket_id)[1].scripted


async def test_comparing_and_ranking_need_an_annotator(comparing: Comparing, vllm: FakeVllm, ben: Person) -> None:
    with pytest.raises(NotAllowed):
        await collected(comparing.next_pair(ben))
    with pytest.raises(NotAllowed):
        await comparing.prepare(ben)
    with pytest.raises(NotAllowed):
        await comparing.next_ranking(ben)
    assert vllm.requests == []


async def test_while_the_model_is_away_ready_pairs_are_still_shown(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person
) -> None:
    await next_pair(comparing, ada)
    await comparing.prepare(ada)
    await comparing.idle()
    vllm.down = True
    await vote(comparing, served_store, ada)
    await vote(comparing, served_store, ada)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await collected(comparing.next_pair(ada))
    await comparing.prepare(ada)  # a failure ahead of time disturbs nobody
    await comparing.idle()
    vllm.down = False
    await next_pair(comparing, ada)


async def test_a_broken_answer_leaves_no_pair(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person
) -> None:
    vllm.queue(Reply("one two", break_at=1), Reply("three four"))
    with pytest.raises(Unavailable):
        await collected(comparing.next_pair(ada))
    assert served_store.conversations.of(ada.id, "compare") == []


async def test_a_ranking_holds_different_answers_in_a_drawn_order(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person
) -> None:
    vllm.queue("one", "two", "one", "two", "three", "four")
    ranking = await comparing.next_ranking(ada, 4)
    assert isinstance(ranking, RankTicket)
    assert {candidate.text for candidate in ranking.candidates} == {"one", "two", "three", "four"}
    ticket, task = ticket_of(served_store, ranking.ticket_id)
    assert [candidate.id for candidate in ranking.candidates] == ticket.order
    assert task.kind == "rank"
    assert await comparing.next_ranking(ada, 4) == ranking
    assert len((await comparing.next_ranking(ada, 3)).candidates) == 3
    judge(served_store, ada, ticket.id, rank_verdict(ticket.order, [1, 2, 2, 3]))
    assert (await comparing.next_ranking(ada, 4)).ticket_id != ranking.ticket_id


@pytest.mark.parametrize("k", [2, 6])
async def test_a_ranking_has_three_to_five_answers(comparing: Comparing, ada: Person, k: int) -> None:
    with pytest.raises(UsageError, match="3, 4 or 5"):
        await comparing.next_ranking(ada, k)


async def test_the_next_ranking_is_made_while_one_is_read(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person
) -> None:
    shown = await comparing.next_ranking(ada, 3)
    await comparing.prepare_ranking(ada, 3)
    await comparing.prepare_ranking(ada, 3)  # a second call begins nothing more
    await comparing.idle()
    asked = len(vllm.requests)
    assert await comparing.next_ranking(ada, 3) == shown
    ticket, _ = ticket_of(served_store, shown.ticket_id)
    judge(served_store, ada, ticket.id, rank_verdict(ticket.order, [1, 2, 3]))
    following = await comparing.next_ranking(ada, 3)
    assert following.ticket_id != shown.ticket_id
    assert len(vllm.requests) == asked


async def test_who_asks_while_a_ranking_is_made_gets_that_one(
    comparing: Comparing, vllm: FakeVllm, ada: Person
) -> None:
    await comparing.prepare_ranking(ada, 3)
    ranking = await comparing.next_ranking(ada, 3)
    assert len(ranking.candidates) == 3
    assert len(vllm.requests) == 3


async def test_closing_stops_what_is_being_made(comparing: Comparing, vllm: FakeVllm, ada: Person) -> None:
    vllm.queue(Reply("one two", pause_at=1), Reply("three four", pause_at=1))
    await comparing.prepare(ada)
    first, second = vllm.replies
    await asyncio.wait_for(asyncio.gather(first.reached.wait(), second.reached.wait()), 10)
    await comparing.close()
    assert vllm.closed_early == 2
