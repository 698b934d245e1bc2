"""A comparison shown once more to who judged it: found when it is due, stored once, told apart everywhere."""

from __future__ import annotations

from collections.abc import Callable

from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task, Ticket
from tests.feedback_app.builders import Shown, show

FOR_EVER = 1e12


def judged(store: Store, person: Person, prompt: str = "Q?", ranks: tuple[int, int] = (1, 2)) -> Shown:
    """A comparison that this person has judged."""
    shown = show(store, person, f"One to {prompt}", f"Two to {prompt}", prompt=prompt)
    store.judgements.record(shown.id, person.id, {"ranks": dict(zip(shown.answer_ids, ranks, strict=True))})
    return shown


def again(store: Store, person: Person, shown: Shown, ranks: tuple[int, int] | None = None) -> tuple[Task, Ticket]:
    """The same once more, sides swapped, and judged where `ranks` (of the first showing's answers) say how."""
    task = store.tasks.repeat(shown.task.id)
    ticket = store.tasks.issue(task.id, person.id, shown.answer_ids[::-1], FOR_EVER)
    if ranks is not None:
        store.judgements.record(ticket.id, person.id, {"ranks": dict(zip(shown.answer_ids, ranks, strict=True))})
    return task, ticket


def test_a_comparison_is_due_after_a_while_or_after_enough_others_and_only_once(
    store: Store, person: Callable[..., Person]
) -> None:
    ada, bob = person("ada"), person("bob")
    first, tie, third = judged(store, ada, "1"), judged(store, ada, "2", (1, 1)), judged(store, ada, "3")
    assert store.tasks.repeatable(ada.id, 0.0, 5) == []
    assert store.tasks.repeatable(ada.id, 0.0, 1) == [first.task.id]  # a tie says nothing about steadiness
    assert store.tasks.repeatable(ada.id, FOR_EVER, 5) == [third.task.id, first.task.id]
    assert store.tasks.repeatable(bob.id, FOR_EVER, 0) == []
    again(store, ada, first)
    assert store.tasks.repeatable(ada.id, FOR_EVER, 5) == [third.task.id]
    again(store, ada, third, (1, 2))
    assert store.tasks.repeatable(ada.id, FOR_EVER, 5) == []  # neither these nor the repeats themselves
    assert tie.task.id


def test_people_who_judged_the_same_share_the_task_of_its_repeat_and_nobody_else_is_given_it(
    store: Store, person: Callable[..., Person]
) -> None:
    ada, bob = person("ada"), person("bob")
    shown = judged(store, ada)
    task, ticket = again(store, ada, shown)
    assert store.tasks.repeat(shown.task.id).id == task.id
    assert store.tasks.issue(task.id, ada.id, shown.answer_ids, FOR_EVER).id == ticket.id
    assert store.tasks.waiting(bob, "compare", FOR_EVER + 1, None) is None


def test_an_exported_repeat_bears_the_task_it_repeats(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    shown = judged(store, ada)
    again(store, ada, shown, (2, 1))
    first, second = store.judgements.export()
    assert (first.repeat, second.repeat) == (False, True)
    assert first.task == second.task == shown.task.id
    assert [each.position for each in second.candidates] == [each.position for each in first.candidates][::-1]
    assert store.judgements.counts()["total"] == 1
    assert store.judgements.counts()["by_version"] == {"base": 1}


def test_a_repeat_of_what_was_taken_back_is_compared_with_nothing(store: Store, person: Callable[..., Person]) -> None:
    ada, bob = person("ada"), person("bob")
    shown = judged(store, ada)
    again(store, ada, shown, (1, 2))
    ticket = store.tasks.issue(shown.task.id, bob.id, shown.answer_ids, FOR_EVER)
    store.judgements.record(ticket.id, bob.id, {"ranks": dict(zip(shown.answer_ids, (1, 2), strict=True))})
    live = store.judgements.live(shown.id)
    assert live is not None
    store.judgements.record(shown.id, ada.id, {"kind": "withdrawn"}, live.id)
    assert [(each.person, each.repeat) for each in store.judgements.export()] == [(bob.id, False)]


def test_who_withdraws_or_is_erased_leaves_no_repeat(store: Store, person: Callable[..., Person]) -> None:
    ada, bob = person("ada"), person("bob")
    shown = judged(store, ada)
    _, ticket = again(store, ada, shown, (1, 2))
    other = store.tasks.issue(shown.task.id, bob.id, shown.answer_ids, FOR_EVER)
    store.judgements.record(other.id, bob.id, {"ranks": dict(zip(shown.answer_ids, (1, 2), strict=True))})
    again_live = store.judgements.live(ticket.id)
    assert again_live is not None
    assert again_live.id in store.withdrawals.resting_on(ada.id)
    assert store.withdrawals.withdraw(ada.id) == 2
    assert [each.person for each in store.judgements.export()] == [bob.id]
    assert store.withdrawals.erase(ada.id)["judgements"] == 2
    erased = store.judgements.get(again_live.id)
    assert erased is not None
    assert erased.verdict == {"kind": "erased"}
