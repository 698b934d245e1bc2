"""The HTTP door's completions: stored as what was asked, and open to a verdict."""

from __future__ import annotations

import asyncio

from feedback_app.collect.door import record_door
from feedback_app.collect.judge import compare_verdict, judge, like
from feedback_app.collect.tasks import Comparing
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import collected
from tests.feedback_app.builders import completion


def test_a_completion_of_the_door_may_be_judged_by_who_asked(served_store: Store, ben: Person) -> None:
    messages = [
        {"role": "system", "content": "Be brief.\x00"},
        {"role": "user", "content": [{"type": "text", "text": "Capital of "}, {"type": "text", "text": "France?"}]},
    ]
    ticket_id = record_door(served_store, ben, messages, [("Paris.", completion())], ttl_s=60)
    found = served_store.tasks.ticket(ticket_id)
    assert found is not None
    judge(served_store, ben, ticket_id, like(found[0], "bad", correction="It is Paris."))
    (judgement,) = served_store.judgements.export()
    assert [(message.role, message.content) for message in judgement.context] == [
        ("system", "Be brief."),
        ("user", "Capital of France?"),
    ]
    (candidate,) = judgement.candidates
    assert (candidate.text, candidate.version, candidate.correction) == ("Paris.", "base", "It is Paris.")
    assert served_store.conversations.of(ben.id, "chat") == []


def test_several_choices_are_one_ticket_that_only_who_asked_may_judge(
    comparing: Comparing, served_store: Store, ada: Person
) -> None:
    cem = served_store.people.add("cem", "annotator", "")
    messages = [{"role": "user", "content": "Capital of France?"}]
    choices = [("Paris.", completion(seed=1)), ("It is Paris.", completion(seed=2))]
    ticket_id = record_door(served_store, ada, messages, choices, ttl_s=60, ticket_id="promised")
    assert ticket_id == "promised"
    found = served_store.tasks.ticket(ticket_id)
    assert found is not None
    ticket, task = found
    assert (task.kind, task.candidates) == ("compare", ticket.order)
    assert served_store.tasks.waiting(cem, "compare", served_store.now(), None) is None
    events = asyncio.run(collected(comparing.next_pair(ada)))
    assert events[-1].ticket_id != ticket_id  # the page does not show what came through the door
    judge(served_store, ada, ticket_id, compare_verdict(ticket.order, "b_clearly"))
    (judgement,) = served_store.judgements.export()
    assert [(candidate.text, candidate.rank) for candidate in judgement.candidates] == [
        ("Paris.", 2),
        ("It is Paris.", 1),
    ]
