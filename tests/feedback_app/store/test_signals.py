"""Implicit signals in the store: each once, one's own alone, gone with whoever withdraws."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alignment.dataset.judgement import Message as Turn
from feedback_app.store.database import Store
from feedback_app.store.signals import PAGE, KeptSignal
from feedback_app.store.tables import Person
from tests.fakes import Clock
from tests.feedback_app.builders import answered, completion

KINDS = ("copy", "edit", "retry")


def test_a_signal_is_kept_once_and_exported_with_what_it_is_about(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    answer = answered(store, ada)
    assert store.signals.keep(ada.id, answer.id, "copy")
    assert store.signals.keep(ada.id, answer.id, "edit", 0.2)
    clock.pass_s(5)
    assert store.signals.keep(ada.id, answer.id, "edit", 0.5)
    found = sorted(store.signals.export(KINDS), key=lambda each: each.kind)
    assert found == [
        KeptSignal(found[0].id, ada.id, "copy", (Turn("user", "Hello?"),), "Hi.", "sft-0001", 1.0),
        KeptSignal(found[1].id, ada.id, "edit", (Turn("user", "Hello?"),), "Hi.", "sft-0001", 0.5),
    ]
    assert [each.kind for each in store.signals.export(["edit"])] == ["edit"]
    assert [row.at for row in store.signals.named([found[1].id])] == [clock.now]


def test_only_on_ones_own_model_answers(store: Store, person: Callable[..., Person]) -> None:
    ada, bob = person("ada"), person("bob")
    answer = answered(store, ada)
    assert answer.parent_id is not None
    assert not store.signals.keep(bob.id, answer.id, "copy")
    assert not store.signals.keep(ada.id, answer.parent_id, "copy")  # no model wrote it
    assert not store.signals.keep(ada.id, "nothing", "copy")
    assert list(store.signals.export(KINDS)) == []


def test_one_that_turned_out_not_to_be_so_counts_no_more_until_it_is_done_again(
    store: Store, person: Callable[..., Person]
) -> None:
    ada = person()
    answer = answered(store, ada)
    store.signals.end(ada.id, answer.id, "copy")  # there is none: nothing happens
    for live in (True, False, True):
        (store.signals.keep if live else store.signals.end)(ada.id, answer.id, "copy")
        assert len(list(store.signals.export(KINDS))) == live


def test_whoever_withdraws_takes_them_along_and_gives_no_more(store: Store, person: Callable[..., Person]) -> None:
    ada, bob = person("ada"), person("bob")
    for who in (ada, bob):
        assert store.signals.keep(who.id, answered(store, who).id, "copy")
    mine = [each.id for each in store.signals.export(KINDS) if each.person == ada.id]
    store.withdrawals.withdraw(ada.id)
    assert [each.person for each in store.signals.export(KINDS)] == [bob.id]
    assert not store.signals.keep(ada.id, answered(store, ada).id, "copy")
    assert store.withdrawals.resting_on(ada.id) == mine
    store.withdrawals.erase(bob.id)
    assert list(store.signals.export(KINDS)) == []


@pytest.mark.slow
def test_more_than_a_page_comes_whole(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    conversation = store.conversations.add_conversation(ada.id, "chat", "t")
    question = store.conversations.add_message(conversation.id, None, "user", "Hello?")
    for number in range(PAGE + 3):
        reply = store.conversations.add_reply(conversation.id, question.id, f"{number}", completion(sent=[question.id]))
        store.signals.keep(ada.id, reply.id, "copy")
    found = list(store.signals.export(KINDS))
    assert len({each.text for each in found}) == len(found) == PAGE + 3
    assert len(store.signals.named(each.id for each in found)) == PAGE + 3
