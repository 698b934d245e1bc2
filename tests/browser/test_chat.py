"""Chat in a real browser: stream, like, undo, dislike with a reason, retry, stop, edit, switch, reload."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.fakes import Reply

if TYPE_CHECKING:
    from playwright.sync_api import Route

    from tests.browser.driver import Visit
    from tests.browser.stage import Stage

Begin = Callable[..., "Visit"]
HELD = re.compile("component_server")  # the calls of a page


@pytest.fixture
def person(stage: Stage) -> str:
    """A chatter of this test's own, so that tests share no conversations."""
    from feedback_app.collect.people import add_person
    from tests.browser.stage import PASSWORD

    name = f"Ada {len(stage.store.people.listing())}"
    add_person(stage.store, name, "chatter", password=PASSWORD)
    return name


def live_verdict(stage: Stage, person: str) -> dict[str, object]:
    """What stands of this person's only judgement; empty when nothing does."""
    for row in stage.store.judgements.export():
        if row.person == _id(stage, person):
            (answer,) = row.candidates
            return {
                "mark": answer.mark,
                "reasons": list(row.reasons),
                "comment": row.comment,
                "correction": answer.correction,
            }
    return {}


def _id(stage: Stage, name: str) -> str:
    found = stage.store.people.by_name(name)
    assert found is not None
    return found.id


def test_a_first_visit_shows_what_can_be_asked_and_what_is_kept(visit: Begin, person: str) -> None:
    ada = visit(person)
    expect(ada.find(".example")).to_have_count(3)
    expect(ada.find("#welcome")).to_contain_text("kept on this server")
    ada.shot("chat-first-visit")
    ada.find(".example").nth(1).click()
    ada.answered()
    expect(ada.find(".side li")).to_have_count(1)


def test_a_like_is_saved_at_once_and_undone(visit: Begin, stage: Stage, person: str) -> None:
    ada = visit(person)
    ada.send("What is the capital of France?")
    answer = ada.answered()
    expect(answer.locator(".version")).to_have_text("sft-0001")
    answer.get_by_role("button", name="Good answer").click()
    expect(answer).to_contain_text("Saved")
    assert live_verdict(stage, person)["mark"] == "good"
    answer.get_by_role("button", name="Undo").click()
    expect(answer.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "false")
    assert live_verdict(stage, person) == {}


def test_a_dislike_takes_reasons_and_a_comment_in_place(visit: Begin, stage: Stage, person: str) -> None:
    ada = visit(person)
    ada.send("What is the capital of France?")
    answer = ada.answered()
    answer.get_by_role("button", name="Bad answer").click()
    answer.get_by_role("button", name="Too long").click()
    expect(answer.get_by_role("button", name="Too long")).to_have_attribute("aria-pressed", "true")
    answer.get_by_label("Comment").fill("It rambles.")
    answer.get_by_role("button", name="Add").click()
    expect(answer.get_by_role("button", name="Saved")).to_be_visible()
    ada.shot("chat-dislike-with-reasons")
    said = live_verdict(stage, person)
    assert (said["mark"], said["reasons"], said["comment"]) == ("bad", ["Too long"], "It rambles.")


def test_a_retry_keeps_the_earlier_answer_as_a_sibling(visit: Begin, stage: Stage, person: str) -> None:
    ada = visit(person)
    stage.vllm.queue("The first answer.", "The second answer.")
    ada.send("Say something.")
    ada.answered().get_by_role("button", name="Answer again").click()
    expect(ada.find(".turn.answer")).to_contain_text("The second answer.")
    answer = ada.answered()
    expect(answer.locator(".which")).to_contain_text("2 of 2")
    ada.shot("chat-retry")
    answer.get_by_role("button", name="Earlier answer").click()
    expect(ada.find(".turn.answer")).to_contain_text("The first answer.")
    expect(ada.find(".which")).to_contain_text("1 of 2")


def test_a_stop_keeps_what_had_come(visit: Begin, stage: Stage, person: str) -> None:
    ada = visit(person)
    stage.vllm.queue(Reply("One two three four five", pause_at=3))
    ada.send("Count.")
    expect(ada.find("[data-live]")).to_contain_text("One two three")
    ada.shot("chat-streaming")
    ada.page.get_by_role("button", name="Stop").click()
    answer = ada.answered()
    expect(answer).to_contain_text("One two three")
    expect(answer).to_contain_text("Stopped.")


def test_an_edited_answer_is_kept_as_a_correction(visit: Begin, stage: Stage, person: str) -> None:
    ada = visit(person)
    stage.vllm.queue("Paris is in Germany.")
    ada.send("Where is Paris?")
    ada.answered().get_by_role("button", name="Edit the answer").click()
    ada.find(".edit textarea").fill("Paris is in France.")
    ada.shot("chat-edit")
    ada.page.get_by_role("button", name="Save the correction").click()
    expect(ada.find(".correction")).to_contain_text("Paris is in France.")
    assert live_verdict(stage, person)["correction"] == "Paris is in France."


def test_conversations_are_made_renamed_switched_and_deleted(visit: Begin, person: str) -> None:
    ada = visit(person)
    ada.send("First thing.")
    ada.answered()
    ada.page.get_by_role("button", name="New conversation").click()
    expect(ada.find("#welcome")).to_be_visible()
    ada.send("Second thing.")
    ada.answered()
    expect(ada.find(".side li")).to_have_count(2)
    ada.find(
        ".side li a",
    ).filter(has_text="First thing.").click()
    expect(ada.find(".turn.question")).to_have_text("First thing.")
    ada.page.go_back()
    expect(ada.find(".turn.question")).to_have_text("Second thing.")
    item = ada.find(".side li").filter(has_text="First thing.")
    item.hover()
    item.get_by_role("button", name="Rename").click()
    ada.find(".renaming input").fill("Another name")
    ada.press("Enter")
    item = ada.find(".side li").filter(has_text="Another name")
    item.hover()
    item.locator("[data-act=delete]").click()
    item.locator("[data-act=delete]").click()
    expect(ada.find(".side li")).to_have_count(1)


def test_a_reload_loses_neither_the_draft_nor_the_conversation(visit: Begin, stage: Stage, person: str) -> None:
    ada = visit(person)
    stage.vllm.queue(Reply("One two three four", pause_at=2))
    ada.send("Count.")
    expect(ada.find("[data-live]")).to_contain_text("One two")
    ada.find(".composer textarea").fill("half a thought")
    ada.page.reload()
    expect(ada.find("[data-live]")).to_contain_text("One two")
    expect(ada.find(".composer textarea")).to_have_value("half a thought")
    ada.page.get_by_role("button", name="Stop").click()
    ada.answered()


def test_what_is_sent_before_the_server_has_answered_at_all_goes_to_the_conversation_in_the_address(
    visit: Begin, stage: Stage, person: str
) -> None:
    ada = visit(person)
    ada.send("First.")
    ada.answered()
    held: list[Route] = []
    ada.page.route(HELD, lambda route: held.append(route))
    ada.page.reload()
    ada.send("Second.")
    expect(ada.find(".composer textarea")).to_have_value("Second.")
    assert len(held) == 1
    held[0].continue_()
    ada.page.unroute(HELD)
    ada.answered(2)
    expect(ada.find(".composer textarea")).to_have_value("")
    expect(ada.find(".side li")).to_have_count(1)


def test_a_message_too_long_alone_is_refused_with_its_count_and_kept(visit: Begin, person: str) -> None:
    ada = visit(person)
    long = "word " * 1200
    ada.send(long)
    expect(ada.find("[data-says=composer]")).to_contain_text("tokens long")
    expect(ada.find("[data-says=composer]")).to_contain_text("1202")
    expect(ada.find(".composer textarea")).to_have_value(long)
    ada.shot("chat-too-long")


def test_the_page_waits_for_the_model_and_says_so(visit: Begin, stage: Stage, person: str) -> None:
    stage.vllm.down = True
    try:
        ada = visit(person)
        expect(ada.find(".loading-model")).to_contain_text("The model is loading")
        ada.shot("chat-model-loading")
        ada.send("Are you there?")
        expect(ada.find("[data-says=composer]")).to_be_visible()
        expect(ada.find(".composer textarea")).to_have_value("Are you there?")
    finally:
        stage.vllm.down = False
    expect(ada.find(".loading-model")).to_have_count(0)
    ada.send("Are you there?")
    ada.answered()


def test_what_a_model_writes_runs_nothing_and_asks_no_other_host(visit: Begin, stage: Stage, person: str) -> None:
    ada = visit(person)
    tricks = "<img src=https://elsewhere.example/a.png onerror=alert(1)> ![x](https://elsewhere.example/b.png)"
    stage.vllm.queue(tricks)
    ada.send("Show me.")
    answer = ada.answered()
    expect(answer).to_contain_text("<img src=")
    assert ada.outside() == []


def test_a_session_that_ended_leads_to_sign_in_and_loses_nothing(visit: Begin, stage: Stage, person: str) -> None:
    from tests.browser.stage import PASSWORD

    ada = visit(person)
    expect(ada.find("#welcome")).to_be_visible()
    stage.store.people.revoke_all(_id(stage, person))
    ada.send("Are you there?")
    expect(ada.find("h1")).to_have_text("Sign in")
    ada.find("input[name=name]").fill(person)
    ada.find("input[name=password]").fill(PASSWORD)
    ada.press("Enter")
    expect(ada.find(".composer textarea")).to_have_value("Are you there?")
