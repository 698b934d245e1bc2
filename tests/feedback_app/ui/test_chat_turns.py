"""A conversation as shown: its path, alternatives, ratings, and where the model starts reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from feedback_app.collect.answer import store_answer
from feedback_app.ui.chat_thread import side_bar, thread, welcome
from feedback_app.ui.chat_turns import leaf, read_conversation
from tests.feedback_app.builders import completion

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Message, Person
    from tests.fakes import Clock


def conversation(store: Store, person: Person) -> str:
    return store.conversations.add_conversation(person.id, "chat", "Capitals").id


def answered(store: Store, person: Person, question: Message, text: str, sent: list[str] | None = None) -> Message:
    cast("Clock", store.database.now).pass_s(1)  # siblings are ordered by time
    row = completion("policy-0001", sent=sent or [question.id])
    return store_answer(store, person, question, text, row, store.now() + 3600)[0]


def test_a_retry_is_a_sibling_and_each_is_one_of_two(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    talk = conversation(sqlite_store, ada)
    question = sqlite_store.conversations.add_message(talk, None, "user", "Capital of <France>?")
    first = answered(sqlite_store, ada, question, "Paris.")
    second = answered(sqlite_store, ada, question, "It is Paris.")
    shown = read_conversation(sqlite_store, ada, talk)
    assert shown is not None
    assert [turn.id for turn in shown.turns] == [question.id, second.id]
    assert shown.turns[1].siblings == (first.id, second.id)
    assert shown.turns[1].version == "policy-0001"
    html = thread(shown, pending=False)
    assert "2 of 2" in html
    assert "Capital of &lt;France&gt;?" in html
    assert "policy-0001" in html


def test_going_back_to_a_sibling_finds_what_followed_it(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    talk = conversation(sqlite_store, ada)
    question = sqlite_store.conversations.add_message(talk, None, "user", "One?")
    first = answered(sqlite_store, ada, question, "1.")
    more = sqlite_store.conversations.add_message(talk, first.id, "user", "Two?")
    end = answered(sqlite_store, ada, more, "2.")
    other = answered(sqlite_store, ada, question, "one")
    messages = sqlite_store.conversations.thread(talk)
    assert leaf(messages, first.id) == end.id
    assert leaf(messages, other.id) == other.id


def test_the_page_marks_where_the_model_starts_reading(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    talk = conversation(sqlite_store, ada)
    first = sqlite_store.conversations.add_message(talk, None, "user", "One?")
    answer = answered(sqlite_store, ada, first, "1.")
    second = sqlite_store.conversations.add_message(talk, answer.id, "user", "Two?")
    answered(sqlite_store, ada, second, "2.", sent=[second.id])
    shown = read_conversation(sqlite_store, ada, talk)
    assert shown is not None
    assert shown.reads_from == second.id
    html = thread(shown, pending=False)
    assert html.index("The model reads from here on") < html.index(f"m-{second.id}")
    assert html.index(f"m-{answer.id}") < html.index("The model reads from here on")


def test_a_question_without_answer_offers_one(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    talk = conversation(sqlite_store, ada)
    sqlite_store.conversations.add_message(talk, None, "user", "One?")
    assert "This has no answer yet." in thread(read_conversation(sqlite_store, ada, talk), pending=False)
    assert "Writing" in thread(read_conversation(sqlite_store, ada, talk), pending=True)


def test_another_persons_conversation_is_not_shown(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    eve = sqlite_store.people.add("eve", "operator", "")
    assert read_conversation(sqlite_store, eve, conversation(sqlite_store, ada)) is None


def test_a_rating_is_only_open_while_its_ticket_is(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    talk = conversation(sqlite_store, ada)
    question = sqlite_store.conversations.add_message(talk, None, "user", "One?")
    store_answer(sqlite_store, ada, question, "1.", completion(sent=[question.id]), sqlite_store.now() - 1)
    shown = read_conversation(sqlite_store, ada, talk)
    assert shown is not None
    assert not shown.turns[1].rating.open
    assert "The time to rate this answer has passed" in thread(shown, pending=False)


def test_titles_and_examples_are_escaped(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    sqlite_store.conversations.add_conversation(ada.id, "chat", '"><script>')
    listed = sqlite_store.conversations.of(ada.id, "chat")
    assert "<script" not in side_bar(listed, listed[0].id)
    assert "<script" not in side_bar(listed, "", renaming=listed[0].id)
    assert "<script" not in welcome(["<script>"], "<script>")
