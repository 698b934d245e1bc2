"""Tasks want people, tickets are one showing to one person."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from feedback_app.domain.verdicts import WITHDRAWN
from feedback_app.errors import NotFound
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import Clock
from tests.feedback_app.builders import HOUR_S, show


def test_a_person_has_one_ticket_per_task(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    shown = show(store, ada)
    again = store.tasks.issue(shown.task.id, ada.id, list(reversed(shown.answer_ids)), store.now() + HOUR_S)
    assert again.id == shown.id
    assert again.order == shown.answer_ids
    with pytest.raises(NotFound):
        store.tasks.issue("no such task", ada.id, [], store.now())


def test_a_ticket_is_open_until_it_is_judged_or_expires(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    judged, expired, left = show(store, ada), show(store, ada, ttl_s=10), show(store, ada)
    show(store, person("ben"))
    judgement = store.judgements.record(judged.id, ada.id, {"ranks": {}})
    clock.pass_s(10)
    assert [ticket.id for ticket, _ in store.tasks.open_for(ada.id, "compare", clock.now)] == [left.id]
    assert store.tasks.open_for(ada.id, "rank", clock.now) == []
    store.judgements.record(judged.id, ada.id, WITHDRAWN, supersedes=judgement.id)
    open_now = {ticket.id for ticket, _ in store.tasks.open_for(ada.id, "compare", clock.now)}
    assert open_now == {judged.id, left.id}
    assert expired.id not in open_now


def test_a_task_waits_for_as_many_people_as_it_wants(store: Store, person: Callable[..., Person], clock: Clock) -> None:
    ada, ben, cem, bot = person("ada"), person("ben"), person("cem"), person("bot", scripted=True)
    answers = show(store, ada).answer_ids
    task = store.tasks.add("compare", None, answers, wanted=2)

    def waits(who: Person, challenger: str | None = None) -> bool:
        found = store.tasks.waiting(who, "compare", clock.now, challenger)
        return found is not None and found.id == task.id

    assert waits(ada)
    assert not waits(ada, "policy-0001")
    assert not waits(bot)
    store.tasks.issue(task.id, ada.id, answers, clock.now + 10)
    assert not waits(ada)
    assert waits(ben)
    ticket = store.tasks.issue(task.id, ben.id, answers, clock.now + 10)
    assert not waits(cem)
    store.judgements.record(ticket.id, ben.id, {"ranks": {}})
    clock.pass_s(10)
    assert waits(cem)  # ada's place is free again, ben's judgement keeps his
    assert not waits(ada)


def test_versions_in_open_tickets_are_those_that_may_still_be_judged(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    show(store, ada, "a", "b", versions=["base", "policy-0001"], ttl_s=10)
    judged = show(store, ada, "a", "b", versions=["policy-0002", "policy-0003"])
    assert store.tasks.versions_in_open_tickets(clock.now) == {"base", "policy-0001", "policy-0002", "policy-0003"}
    store.judgements.record(judged.id, ada.id, {"ranks": {}})
    assert store.tasks.versions_in_open_tickets(clock.now) == {"base", "policy-0001"}
    clock.pass_s(10)
    assert store.tasks.versions_in_open_tickets(clock.now) == set()


def test_like_tickets_are_found_by_their_answer(store: Store, person: Callable[..., Person]) -> None:
    ada, ben = person("ada"), person("ben")
    like = show(store, ada, "Paris.")
    show(store, ada)
    (answer,) = like.answer_ids
    assert store.tasks.tickets_for([answer, "another"], ada.id)[answer][0].id == like.id
    assert store.tasks.ticket_for(answer, ben.id) is None
    assert store.tasks.ticket("no such ticket") is None


def test_a_ticket_keeps_the_time_of_its_first_showing(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    shown = show(store, person())
    store.tasks.show(shown.id)
    first = clock.now
    clock.pass_s(5)
    store.tasks.show(shown.id)
    found = store.tasks.ticket(shown.id)
    assert found is not None
    assert found[0].shown_at == first
