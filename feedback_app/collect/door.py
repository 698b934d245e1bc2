"""What the HTTP door keeps of a completion that passed through it.

The door passes bytes through unchanged; this stores what they said, calls of tools too, so that the client can send
a verdict on it. An answer whose words the request could decide is stored and is no candidate of anything. Synchronous.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from feedback_app.collect.text import clean
from feedback_app.domain.conversations import Speaker
from feedback_app.domain.judging import kind_of
from feedback_app.store.database import Store
from feedback_app.store.tables import Completion, Person, Task, Ticket, new_id


def record_door(
    store: Store,
    person: Person,
    messages: Sequence[Mapping[str, Any]],
    choices: Sequence[tuple[str, Completion]],
    ttl_s: float,
    ticket_id: str | None = None,
    judged: bool = True,
) -> str | None:
    """Store a completion of the door and return the id of the ticket by which `person` may judge it.

    `messages` are the request's own, `choices` the answers and how they came to be, the first one first. One
    choice is liked or disliked, two are compared, more are ranked. `ticket_id` is the id that the client was
    told. Unless it may be `judged`, there is neither task nor ticket. Each completion's `message_id` and an empty
    `sent` are filled in, and `excluded` where the history is not what our models said (`store.conversations`).
    """
    turns = [
        {"role": _clean(message.get("role") or Speaker.USER), "content": _clean(_said(message))} for message in messages
    ]
    for _, completion in choices:
        completion.sampling = _clean(completion.sampling)
    (text, completion), *others = choices
    others = [(clean(other), of_other) for other, of_other in others]
    if not judged:
        store.conversations.door_record(person.id, turns, clean(text), completion, others=others)
        return None
    now = store.now()
    task = Task(
        kind=kind_of(len(choices)),
        wanted=0,  # what came through the door is shown to nobody else
        scripted=person.scripted,
        created_at=now,
    )
    ticket = Ticket(
        id=ticket_id or new_id(), task_id=task.id, person_id=person.id, created_at=now, expires_at=now + ttl_s
    )
    store.conversations.door_record(person.id, turns, clean(text), completion, others=others, task=task, ticket=ticket)
    return ticket.id


def with_calls(text: str, calls: Sequence[tuple[str, str]]) -> str:
    """An assistant's message with its calls of tools, each a name and arguments, as one text.

    The form is that of imported conversations: `{"content": …, "tool_calls": [{"name", "arguments"}]}`.
    """
    if not calls:
        return text
    listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return json.dumps({**({"content": text} if text else {}), "tool_calls": listed}, ensure_ascii=False)


def _said(message: Mapping[str, Any]) -> Any:
    calls = message.get("tool_calls")
    if not calls:
        return message.get("content")
    functions = [call["function"] for call in calls]
    return with_calls(message.get("content") or "", [(each["name"], each["arguments"]) for each in functions])


def _clean(content: Any) -> Any:
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, list):
        return [_clean(part) for part in content]
    if isinstance(content, Mapping):
        return {clean(str(key)): _clean(value) for key, value in content.items()}
    return content
