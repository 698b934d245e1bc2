"""What `alignment` gets: everything a judgement has, as plain values, the same whatever the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alignment.dataset.judgement import Candidate, Kind, Mark, Message, Strength
from feedback_app.domain.verdicts import WITHDRAWN
from feedback_app.store import export
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task
from tests.feedback_app.builders import HOUR_S, completion, show

pytestmark = pytest.mark.slow


def test_an_exported_judgement_carries_what_was_sent_and_said(store: Store, person: Callable[..., Person]) -> None:
    bot = person("bot", scripted=True)
    system = {"role": "system", "content": "Be kind."}
    replies = [
        ("Hi.", completion("base", "stop", sent=[system])),
        ("Hello th", completion("policy-0001", "stopped", sent=[system])),
    ]
    context, answers = store.conversations.add_candidates(bot.id, "compare", "Hello", replies)
    first, second = (answer.id for answer in answers)
    task = Task(kind="compare", context_id=context.id, candidates=[first, second], created_at=0.0, scripted=True)
    ticket, task = store.tasks.offer(task, bot.id, [second, first], store.now() + HOUR_S)
    verdict = {
        "ranks": {first: 1, second: 2},
        "marks": {second: "bad"},
        "strength": "clearly",
        "reasons": ["too short"],
        "comment": "cut off",
        "corrections": {second: "Hello there."},
    }
    row = store.judgements.record(ticket.id, bot.id, verdict, seconds=2.5)
    (judgement,) = store.judgements.export()
    assert judgement.id == row.id
    assert (judgement.task, judgement.person, judgement.kind) == (task.id, bot.id, Kind.COMPARE)
    assert judgement.context == (Message("system", "Be kind."), Message("user", "Hello"))
    assert judgement.candidates == (
        Candidate(first, "Hi.", "base", position=1, rank=1),
        Candidate(
            second,
            "Hello th",
            "policy-0001",
            position=0,
            finish_reason="stopped",
            rank=2,
            mark=Mark.BAD,
            correction="Hello there.",
        ),
    )
    assert judgement.conversation == context.conversation_id
    assert judgement.strength is Strength.CLEARLY
    assert judgement.scripted
    assert not judgement.cannot_judge
    assert judgement.at == store.now()
    assert (judgement.reasons, judgement.comment) == (("too short",), "cut off")


def test_the_context_is_what_the_model_read_not_the_whole_conversation(
    store: Store, person: Callable[..., Person]
) -> None:
    ada = person()
    conversation = store.conversations.add_conversation(ada.id, "chat")
    parent = None
    messages = []
    for number in range(4):
        messages.append(store.conversations.add_message(conversation.id, parent, "user", f"question {number}"))
        parent = messages[-1].id
    read = [message.id for message in messages[2:]]
    answer = store.conversations.add_reply(conversation.id, messages[-1].id, "answer", completion(sent=read))
    task = Task(kind="like", context_id=messages[-1].id, candidates=[answer.id], created_at=0.0)
    ticket, _ = store.tasks.offer(task, ada.id, [answer.id], store.now() + HOUR_S)
    store.judgements.record(ticket.id, ada.id, {"marks": {answer.id: "good"}})
    (judgement,) = store.judgements.export()
    assert [message.content for message in judgement.context] == ["question 2", "question 3"]


def test_an_answer_that_no_model_wrote_has_the_path_before_it_as_context(
    store: Store, person: Callable[..., Person]
) -> None:
    ada = person()
    conversation = store.conversations.add_conversation(ada.id, "chat")
    first = store.conversations.add_message(conversation.id, None, "user", "Hello")
    second = store.conversations.add_message(conversation.id, first.id, "assistant", "Hi, written by hand.")
    task = Task(kind="like", context_id=first.id, candidates=[second.id], created_at=0.0)
    ticket, _ = store.tasks.offer(task, ada.id, [second.id], store.now() + HOUR_S)
    store.judgements.record(ticket.id, ada.id, {"marks": {second.id: "good"}})
    (judgement,) = store.judgements.export()
    assert judgement.context == (Message("user", "Hello"),)
    assert judgement.candidates[0].version == ""


def test_the_export_is_in_serial_order_and_stops_at_the_watermark(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    count = export.PAGE + 7  # more than one page
    ids = []
    for number in range(count):
        ticket = show(store, ada, f"answer {number}")
        ids.append(store.judgements.record(ticket.id, ada.id, {"marks": {ticket.answer_ids[0]: "good"}}).id)
    watermark = store.judgements.watermark()
    assert watermark == count
    late = show(store, ada, "late")
    store.judgements.record(late.id, ada.id, {"marks": {late.answer_ids[0]: "bad"}})
    first = store.judgements.get(ids[0])
    assert first is not None
    store.judgements.record(first.ticket_id, ada.id, WITHDRAWN, supersedes=first.id)
    assert [judgement.id for judgement in store.judgements.export(watermark)] == ids[1:]
    assert len(list(store.judgements.export())) == count


def test_an_export_sees_one_moment(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    for number in range(3):
        ticket = show(store, ada, f"answer {number}")
        store.judgements.record(ticket.id, ada.id, {"marks": {ticket.answer_ids[0]: "good"}})
    running = store.judgements.export()
    seen = [next(running).id]
    ticket = show(store, ada, "during")
    store.judgements.record(ticket.id, ada.id, {"marks": {ticket.answer_ids[0]: "good"}})
    seen += [judgement.id for judgement in running]
    assert len(seen) == 3
    assert len(list(store.judgements.export())) == 4
