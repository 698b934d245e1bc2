"""What one person rewrote is put before others beside the answer as it was; nobody else's talk is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from feedback_app.loop.erasure import erase
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task
from tests.alignment.compiled import compile_rows
from tests.feedback_app.builders import Shown, completion, show

BETTER = "It is Paris, on the Seine."


def corrects(store: Store, person: Person, text: str = BETTER, **more: str) -> Shown:
    """A comparison that this person has judged, with a correction of the first answer."""
    shown = show(store, person)
    first, second = shown.answer_ids
    verdict = {"ranks": {first: 1, second: 2}, "corrections": {first: text}}
    store.judgements.record(shown.id, person.id, verdict, **more)
    return shown


def waiting(store: Store, person: Person) -> Task | None:
    """What Compare would give this person of what others have begun."""
    return store.tasks.waiting(person, "compare", store.now(), None)


def judged(store: Store, person: Person, task: Task, ranks: tuple[int, int]) -> str:
    """This person's word on original and correction; the judgement's id."""
    ticket = store.tasks.issue(task.id, person.id, task.candidates[::-1], store.now() + 60)
    verdict = {"ranks": dict(zip(task.candidates, ranks, strict=True)), "strength": "clearly"}
    return store.judgements.record(ticket.id, person.id, verdict).id


def test_two_others_are_shown_the_correction_beside_the_original_and_its_author_never_is(
    store: Store, person: Callable[..., Person]
) -> None:
    ada, ben, cleo, dan = person("ada"), person("ben"), person("cleo"), person("dan")
    shown = corrects(store, ada)
    assert waiting(store, ada) is None
    for other in (ben, cleo):
        task = waiting(store, other)
        assert task is not None
        assert task.context_id == shown.prompt_id
        texts = [store.conversations.messages(task.candidates)[id].content for id in task.candidates]
        assert texts == ["Paris.", BETTER]
        judged(store, other, task, (2, 1))
        assert waiting(store, other) is None
    assert waiting(store, dan) is None


def test_the_correction_trains_once_one_of_them_prefers_it(store: Store, person: Callable[..., Person]) -> None:
    ada, ben = person("ada"), person("ben")
    corrects(store, ada)
    before = compile_rows(store.judgements.export())
    assert [row.chosen for row in before.pairs] == ["Paris."]
    assert before.counts["skipped"]["correction_waits_for_a_second_person"] == 1
    task = waiting(store, ben)
    assert task is not None
    judged(store, ben, task, (2, 1))
    after = compile_rows(store.judgements.export())
    assert {(row.origin, row.chosen, row.rejected) for row in after.pairs} == {
        ("compare", "Paris.", "It is Paris, of course!"),
        ("compare", BETTER, "Paris."),
        ("correction", BETTER, "Paris."),
    }
    assert [row.completion for row in after.sft] == [BETTER]


@pytest.mark.parametrize("word", [(1, 2), (1, 1)], ids=["the original is better", "a tie"])
def test_a_correction_that_nobody_prefers_does_not_train(
    store: Store, person: Callable[..., Person], word: tuple[int, int]
) -> None:
    ada, ben = person("ada"), person("ben")
    corrects(store, ada)
    task = waiting(store, ben)
    assert task is not None
    judged(store, ben, task, word)
    rows = compile_rows(store.judgements.export())
    assert BETTER not in [row.chosen for row in rows.pairs]
    assert not rows.sft


def test_a_correction_that_is_changed_or_taken_back_is_shown_no_more(
    store: Store, person: Callable[..., Person]
) -> None:
    ada, ben = person("ada"), person("ben")
    shown = corrects(store, ada)
    first, second = shown.answer_ids
    live = store.judgements.live(shown.id)
    assert live is not None
    verdict = {"ranks": {first: 1, second: 2}, "corrections": {first: "Paris it is."}}
    changed = store.judgements.record(shown.id, ada.id, verdict, live.id)
    task = waiting(store, ben)
    assert task is not None
    assert store.conversations.messages(task.candidates)[task.candidates[1]].content == "Paris it is."
    undone = store.judgements.record(shown.id, ada.id, {"kind": "withdrawn"}, changed.id)
    assert waiting(store, ben) is None
    assert not undone.live
    store.judgements.record(shown.id, ada.id, verdict)
    again = waiting(store, ben)
    assert again is not None
    assert again.id == task.id


def test_only_what_changes_something_and_comes_from_somebody_untrusted_is_shown(
    store: Store, person: Callable[..., Person]
) -> None:
    ada, ben, boss = person("ada"), person("ben"), person("boss", "operator")
    corrects(store, boss)
    corrects(store, ada, " paris. ")
    store.people.set_trusted(ada.id, True)
    ada = store.people.by_id(ada.id) or ada
    corrects(store, ada)
    assert waiting(store, ben) is None


@pytest.mark.parametrize("purpose", ["typed", "chat"])
def test_a_persons_own_talk_is_shown_to_nobody_else(store: Store, person: Callable[..., Person], purpose: str) -> None:
    ada, ben = person("ada"), person("ben")
    context, answers = store.conversations.add_candidates(ada.id, purpose, "My secret?", [("No.", completion())])
    task = Task(kind="like", context_id=context.id, candidates=[answers[0].id], created_at=0.0)
    ticket, _ = store.tasks.offer(task, ada.id, [answers[0].id], store.now() + 60)
    store.judgements.record(ticket.id, ada.id, {"corrections": {answers[0].id: "Yes, surely."}})
    assert waiting(store, ben) is None


def test_scripted_people_and_others_do_not_review_each_other(store: Store, person: Callable[..., Person]) -> None:
    bot, ben, other = person("bot", scripted=True), person("ben"), person("other", scripted=True)
    corrects(store, bot)
    assert waiting(store, ben) is None
    assert waiting(store, other) is not None


def test_what_others_said_of_a_correction_goes_with_its_author(store: Store, person: Callable[..., Person]) -> None:
    ada, ben, cleo = person("ada"), person("ben"), person("cleo")
    kept = show(store, ben, "One.", "Two.", prompt="Another?")
    store.judgements.record(kept.id, ben.id, {"ranks": dict(zip(kept.answer_ids, (1, 2), strict=True))})
    without = compile_rows(store.judgements.export())
    corrects(store, ada)
    task = waiting(store, ben)
    assert task is not None
    judged(store, ben, task, (2, 1))
    store.withdrawals.withdraw(ada.id)
    assert waiting(store, cleo) is None
    assert compile_rows(store.judgements.export()) == without
    erase(store, ada)
    assert store.conversations.messages(task.candidates)[task.candidates[1]].content == ""
