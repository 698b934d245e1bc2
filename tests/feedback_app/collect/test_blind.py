"""What a Compare task is about: a milestone that a round waits for, else the challenger, else neither."""

from __future__ import annotations

import random

import pytest

from feedback_app.collect.answer import Answers
from feedback_app.collect.blind import Blind, blind_vote
from feedback_app.collect.tasks import Comparing, PairReady, PairStarted
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task, Ticket, Version
from tests.fakes import FakeVllm, collected
from tests.feedback_app.builders import add_version
from tests.feedback_app.collect.conftest import PROMPTS


@pytest.fixture
def round_id(served_store: Store) -> int:
    """A round that a worker turns."""
    served_store.rounds.add("ppo", None, 0, {})
    turn = served_store.rounds.claim("w", 60.0)
    assert turn is not None
    assert turn.id is not None
    return turn.id


def add_milestone(store: Store, round_id: int, state: str = "watched") -> Version:
    return store.versions.add(
        Version(
            name="milestone-0001-12-abcdef", kind="milestone", form="adapter", path="/m", base_hash="b" * 64,
            artifact_hash="a", parent="base", round_id=round_id, state=state, created_at=store.now(),
        )
    )  # fmt: skip


async def pair(comparing: Comparing, store: Store, person: Person) -> tuple[Ticket, Task, PairReady]:
    events = await collected(comparing.next_pair(person))
    assert isinstance(events[0], PairStarted)
    ready = events[-1]
    assert isinstance(ready, PairReady)
    found = store.tasks.ticket(ready.ticket_id)
    assert found is not None
    return *found, ready


async def test_a_pair_is_a_fresh_answer_of_each_on_a_random_side(
    answers: Answers, served_store: Store, vllm: FakeVllm, ada: Person, round_id: int
) -> None:
    milestone = add_milestone(served_store, round_id)
    vllm.loaded[milestone.served_name] = milestone.path
    comparing = Comparing(answers, PROMPTS, random.Random(3))
    left = []
    for number in range(12):
        person = served_store.people.add(f"person {number}", "annotator", "")
        ticket, task, _ = await pair(comparing, served_store, person)
        assert (task.kind, task.challenger, task.incumbent) == ("compare", milestone.name, "base")
        wrote = {id: row.version for id, row in served_store.conversations.completions(ticket.order).items()}
        assert set(wrote.values()) == {milestone.name, "base"}
        left.append(wrote[ticket.order[0]])
    assert set(left) == {milestone.name, "base"}


async def test_a_milestone_goes_before_the_challenger_and_only_while_it_is_watched(
    served_store: Store, round_id: int
) -> None:
    assert blind_vote(served_store) is None
    add_version(served_store, "policy-0001", form="adapter", state="challenger")
    assert blind_vote(served_store) == Blind("policy-0001", "base")
    milestone = add_milestone(served_store, round_id, "loading")
    assert blind_vote(served_store) == Blind("policy-0001", "base"), "nothing answers as it yet"
    served_store.versions.set_state(milestone.name, "watched")
    assert blind_vote(served_store) == Blind(milestone.name, "base")
    served_store.versions.set_state(milestone.name, "dropped")
    assert blind_vote(served_store) == Blind("policy-0001", "base")


async def test_a_pair_made_ahead_is_not_shown_once_the_milestone_is_let_go(
    comparing: Comparing, served_store: Store, vllm: FakeVllm, ada: Person, round_id: int
) -> None:
    milestone = add_milestone(served_store, round_id)
    vllm.loaded[milestone.served_name] = milestone.path
    ticket, _, _ = await pair(comparing, served_store, ada)
    again, _, _ = await pair(comparing, served_store, ada)
    assert again.id == ticket.id
    served_store.versions.set_state(milestone.name, "dropped")
    other, task, _ = await pair(comparing, served_store, ada)
    assert (task.challenger, other.id == ticket.id) == (None, False)
