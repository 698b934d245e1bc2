"""Imported feedback is stored once, whole, and never half."""

from __future__ import annotations

from collections.abc import Callable

from feedback_app.domain.conversations import Purpose
from feedback_app.store.database import Store
from feedback_app.store.imports import TICKET_S, Brought
from feedback_app.store.tables import Person
from tests.fakes import Clock


def brought(task_id: str = "import-1", **more: object) -> Brought:
    """Two turns, a question, two answers."""
    turns = [("system", "Be brief."), ("user", "Q"), ("assistant", "A"), ("user", "R")]
    return Brought(task_id, "compare", turns, ["B", "C"], "trl: friends.jsonl", **more)  # type: ignore[arg-type]


def test_conversation_answers_task_and_ticket_are_there_at_once(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    ticket = store.imports.take(ada.id, brought())
    assert ticket is not None
    found = store.tasks.ticket(ticket.id)
    assert found is not None
    task = found[1]
    assert (task.id, task.kind, ticket.order) == ("import-1", "compare", task.candidates)
    assert [store.conversations.message(id).content for id in task.candidates] == ["B", "C"]  # type: ignore[union-attr]
    path = store.conversations.path(task.candidates[0])
    assert [(turn.role, turn.content) for turn in path[:-1]] == list(brought().turns)
    assert store.conversations.completions(task.candidates) == {}  # no model of ours wrote them
    (conversation,) = store.conversations.of(ada.id, Purpose.IMPORT)
    assert (conversation.title, conversation.head_id) == ("trl: friends.jsonl", task.context_id)


def test_a_ticket_without_a_verdict_is_given_again_and_one_with_a_verdict_never(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    first = store.imports.take(ada.id, brought())
    clock.pass_s(10 * TICKET_S)
    again = store.imports.take(ada.id, brought())
    assert first is not None
    assert again is not None
    assert (again.id, again.expires_at) == (first.id, clock.now + TICKET_S)
    store.judgements.record(first.id, ada.id, {"ranks": {first.order[0]: 1, first.order[1]: 2}})
    assert store.imports.take(ada.id, brought()) is None
    assert store.imports.take(ada.id, brought("import-2")) is not None


def test_an_answer_that_no_model_gave_is_marked_as_unfinished(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    shown = Brought("import-3", "like", [("user", "Q")], [""], "openai-chat: x", unanswered=True)
    ticket = store.imports.take(ada.id, shown)
    assert ticket is not None
    store.judgements.record(ticket.id, ada.id, {"corrections": {ticket.order[0]: "A"}})
    (judgement,) = store.judgements.export()
    (candidate,) = judgement.candidates
    assert (candidate.text, candidate.correction, candidate.version) == ("", "A", "")
    assert candidate.finish_reason != "stop"
    assert [turn.content for turn in judgement.context] == ["Q"]
