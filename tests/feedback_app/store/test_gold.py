"""Tasks with a known answer: stored once, kept from those who only wait for people, and told apart at export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from feedback_app.store.database import Store
from feedback_app.store.imports import Brought
from feedback_app.store.tables import Person, Task, new_id


def known(store: Store, owner: Person, number: int = 0) -> Task:
    """A gold task; the second answer is the better one."""
    turns, ids = [("user", f"Q{number}")], [new_id(), new_id()]
    brought = Brought(f"gold-{number}", owner.id, "compare", turns, ["bad", "good"], ids, "trl: gold.jsonl")
    assert store.imports.bring_gold([(brought, 1), (brought, 0)]) == [True, False]
    assert store.imports.bring_gold([(brought, 0)]) == [False]
    return next(task for task in store.tasks.gold_unseen(owner.id) if task.id == f"gold-{number}")


def test_it_is_unseen_until_a_ticket_was_issued_and_waits_for_nobody(
    store: Store, person: Callable[..., Person]
) -> None:
    ada, bob = person("ada"), person("bob")
    first, second = known(store, ada, 1), known(store, ada, 2)
    assert first.gold == first.candidates[1]
    assert store.tasks.waiting(bob, "compare", store.now(), None) is None
    store.tasks.issue(first.id, bob.id, first.candidates, 1e12)
    assert store.tasks.gold_unseen(bob.id) == [second]
    assert store.tasks.gold_unseen(ada.id) == [first, second]


@pytest.mark.parametrize(
    ("ranks", "gold"),
    [((2, 1), True), ((1, 2), False), ((1, 1), False), (None, None)],
)
def test_an_exported_verdict_says_whether_it_was_right(
    store: Store, person: Callable[..., Person], ranks: tuple[int, int] | None, gold: bool | None
) -> None:
    ada = person()
    task = known(store, ada)
    ticket = store.tasks.issue(task.id, ada.id, task.candidates[::-1], 1e12)
    verdict: dict[str, Any] = {"marks": dict.fromkeys(task.candidates, "bad")}
    if ranks is not None:
        verdict = {"ranks": dict(zip(task.candidates, ranks, strict=True))}
    store.judgements.record(ticket.id, ada.id, verdict)
    exported = list(store.judgements.export())
    assert [each.gold for each in exported] == ([] if gold is None else [gold])


def test_others_verdicts_stay_when_whoever_brought_it_withdraws(store: Store, person: Callable[..., Person]) -> None:
    owner, bob = person("owner"), person("bob")
    task = known(store, owner)
    ticket = store.tasks.issue(task.id, bob.id, task.candidates, 1e12)
    store.judgements.record(ticket.id, bob.id, {"ranks": {task.candidates[0]: 2, task.candidates[1]: 1}})
    assert store.withdrawals.withdraw(owner.id) == 0
    assert [each.gold for each in store.judgements.export()] == [True]
    assert store.withdrawals.withdraw(bob.id) == 1
    assert list(store.judgements.export()) == []
