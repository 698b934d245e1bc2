"""Conversations and messages: a tree, each message stored once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from feedback_app.errors import Conflict, NotFound
from feedback_app.store.conversations import DOOR_MEMORY_S, plain_text
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import Clock
from tests.feedback_app.builders import completion


def test_a_path_runs_from_the_root_and_siblings_share_a_parent(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    conversations = store.conversations
    conversation = conversations.add_conversation(person().id, "chat", "Hello")
    question = conversations.add_message(conversation.id, None, "user", "Hi")
    first = conversations.add_reply(conversation.id, question.id, "one", completion())
    clock.pass_s(1)
    second = conversations.add_reply(conversation.id, question.id, "two", completion(), move_head=False)
    follow_up = conversations.add_message(conversation.id, second.id, "user", "And?")
    assert [message.content for message in conversations.path(follow_up.id)] == ["Hi", "two", "And?"]
    assert [message.id for message in conversations.siblings(first.id)] == [first.id, second.id]
    assert conversations.siblings(question.id) == [question]
    assert {message.id for message in conversations.thread(conversation.id)} == {
        question.id,
        first.id,
        second.id,
        follow_up.id,
    }
    assert set(conversations.completions([question.id, first.id, second.id])) == {first.id, second.id}
    stored = conversations.completion(first.id)
    assert stored is not None
    assert stored.version == "base"
    with pytest.raises(NotFound):
        conversations.path("no such message")


def test_the_head_follows_the_newest_message_unless_told_otherwise(store: Store, person: Callable[..., Person]) -> None:
    conversations = store.conversations
    conversation = conversations.add_conversation(person().id, "chat")

    def head() -> str | None:
        found = conversations.conversation(conversation.id)
        assert found is not None
        return found.head_id

    question = conversations.add_message(conversation.id, None, "user", "Hi")
    assert head() == question.id
    conversations.add_reply(conversation.id, question.id, "aside", completion(), move_head=False)
    assert head() == question.id
    answer = conversations.add_reply(conversation.id, question.id, "answer", completion())
    assert head() == answer.id
    conversations.set_head(conversation.id, question.id)
    assert head() == question.id


def test_messages_stay_in_their_conversation(store: Store, person: Callable[..., Person]) -> None:
    conversations = store.conversations
    ada = person()
    here, there = conversations.add_conversation(ada.id, "chat"), conversations.add_conversation(ada.id, "chat")
    message = conversations.add_message(here.id, None, "user", "Hi")
    with pytest.raises(Conflict):
        conversations.add_message(there.id, message.id, "user", "Hi")
    with pytest.raises(Conflict):
        conversations.set_head(there.id, message.id)


def test_a_failed_reply_leaves_neither_message_nor_completion(store: Store, person: Callable[..., Person]) -> None:
    conversation = store.conversations.add_conversation(person().id, "chat")
    question = store.conversations.add_message(conversation.id, None, "user", "Hi")
    with pytest.raises(Conflict):
        store.conversations.add_reply(conversation.id, question.id, "x", completion(finish_reason=None))  # type: ignore[arg-type]
    assert [message.id for message in store.conversations.siblings(question.id)] == [question.id]
    assert len(store.conversations.path(question.id)) == 1
    found = store.conversations.conversation(conversation.id)
    assert found is not None
    assert found.head_id == question.id


def test_listing_shows_the_last_used_first_and_no_deleted_ones(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    conversations = store.conversations
    ada = person("ada")
    old = conversations.add_conversation(ada.id, "chat", "old")
    clock.pass_s(1)
    new = conversations.add_conversation(ada.id, "chat", "new")
    conversations.add_conversation(ada.id, "compare", "not a chat")
    conversations.add_conversation(person("ben").id, "chat", "not hers")
    assert [each.title for each in conversations.of(ada.id, "chat")] == ["new", "old"]
    clock.pass_s(1)
    conversations.add_message(old.id, None, "user", "again")
    assert [each.title for each in conversations.of(ada.id, "chat")] == ["old", "new"]
    conversations.rename(old.id, "renamed")
    conversations.delete(new.id)
    assert [each.title for each in conversations.of(ada.id, "chat")] == ["renamed"]
    assert conversations.conversation(new.id) is None
    with pytest.raises(NotFound):
        conversations.rename(new.id, "back")


def test_text_of_every_script_survives(store: Store, person: Callable[..., Person]) -> None:
    conversation = store.conversations.add_conversation(person().id, "chat")
    text = "Grüße, 你好, ‏مرحبا‏, 👩🏽‍🚀 — \\ ' \" \t\n%s {} <b>"
    message = store.conversations.add_message(conversation.id, None, "user", text)
    assert store.conversations.path(message.id)[0].content == text


def test_a_door_completion_is_stored_with_what_it_answers(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
    reply = store.conversations.door_record(ada.id, messages, "Paris.", completion(seed=2**40))
    path = store.conversations.path(reply.id)
    assert [(message.role, message.content) for message in path] == [
        ("system", "Be brief."),
        ("user", "Capital of France?"),
        ("assistant", "Paris."),
    ]
    stored = store.conversations.completion(reply.id)
    assert stored is not None
    assert stored.sent == [message.id for message in path[:-1]]
    assert stored.seed == 2**40
    (conversation,) = store.conversations.of(ada.id, "door")
    assert conversation.title == "Capital of France?"


def test_a_history_that_is_sent_again_is_not_stored_again(store: Store, person: Callable[..., Person]) -> None:
    ada, ben = person("ada"), person("ben")
    history = [{"role": "user", "content": "Capital of France?"}]
    first = store.conversations.door_record(ada.id, history, "Paris.", completion())
    history += [{"role": "assistant", "content": "Paris."}, {"role": "user", "content": "And of Italy?"}]
    second = store.conversations.door_record(ada.id, history, "Rome.", completion())
    assert [message.id for message in store.conversations.path(second.id)][:2] == [
        message.id for message in store.conversations.path(first.id)
    ]
    assert len(store.conversations.of(ada.id, "door")) == 1
    store.conversations.door_record(ben.id, history, "Rome.", completion())
    assert len(store.conversations.of(ben.id, "door")) == 1  # somebody else's history is never built on
    changed = [{"role": "user", "content": "Capital of Spain?"}, *history[1:]]
    store.conversations.door_record(ada.id, changed, "Rome.", completion())
    assert len(store.conversations.of(ada.id, "door")) == 2


def test_answers_after_turns_that_no_model_said_within_a_day_are_marked(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada, ben = person("ada"), person("ben")
    asked = {"role": "user", "content": "Capital of France?"}

    def after(said: str, *, who: Person = ada, **more: object) -> str | None:
        messages = [asked, {"role": "assistant", "content": said}, asked]
        of_reply = completion(**more)
        store.conversations.door_record(who.id, messages, "Again.", of_reply, others=[("Once more.", completion())])
        return of_reply.excluded

    store.conversations.door_record(ada.id, [asked], "Paris.", completion())
    store.conversations.door_record(ada.id, [asked], "Lyon.", completion(excluded="forced"))
    store.conversations.door_record(ada.id, [asked], "Nice", completion(excluded="stop_string"))
    assert [after("Paris."), after("Nice"), after("Lyon."), after("Berlin.")] == [
        *(None, None),
        *("invented_turns", "invented_turns"),
    ]
    assert after("Paris.", who=ben) == "invented_turns"
    assert after("Berlin.", excluded="forced") == "forced"  # the graver reason stands
    clock.pass_s(DOOR_MEMORY_S + 1)
    assert after("Paris.") == "invented_turns"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("plain", "plain"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "image_url", "image_url": "x"}], '[{"image_url": "x", "type": "image_url"}]'),
    ],
)
def test_request_content_becomes_text(content: object, text: str) -> None:
    assert plain_text(content) == text


def test_a_thread_is_every_branch_of_one_conversation_oldest_first(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    here, other = (store.conversations.add_conversation(ada.id, "chat") for _ in range(2))
    question = store.conversations.add_message(here.id, None, "user", "One?")
    said = []
    for text in ("first", "second"):
        clock.pass_s(1)
        said.append(store.conversations.add_message(here.id, question.id, "assistant", text).id)
    store.conversations.add_message(other.id, None, "user", "elsewhere")
    assert [message.id for message in store.conversations.thread(here.id)] == [question.id, *said]
