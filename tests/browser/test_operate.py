"""Operating in a real browser: start a round, watch it, read the evidence, promote, roll back, look after people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from feedback_app.collect.answer import like_ticket
from feedback_app.collect.judge import judge, like
from feedback_app.collect.people import new_key, person_of_key
from feedback_app.loop.snapshot_round import freeze
from feedback_app.store.tables import Completion
from tests.browser.driver import DESKTOP, PHONE
from tests.browser.stage import PASSWORD
from tests.browser.worker_play import chained, play
from tests.feedback_app.loop.parts import compared, made_by

if TYPE_CHECKING:
    from tests.browser.driver import Visit
    from tests.browser.stage import Stage

Begin = Callable[..., "Visit"]


@pytest.fixture(scope="module")
def liked(stage: Stage) -> None:
    """One judgement, so that a round may be started."""
    store = stage.store
    anna = store.people.by_name("anna")
    assert anna is not None
    talk = store.conversations.add_conversation(anna.id, "chat", "t")
    question = store.conversations.add_message(talk.id, None, "user", "Capital of France?")
    row = Completion(message_id="", version="sft-0001", finish_reason="stop", sent=[question.id], created_at=0.0)
    answer = store.conversations.add_reply(talk.id, question.id, "Paris.", row)
    ticket = like_ticket(store, anna, question.id, answer.id, store.now() + 3600)
    judge(store, anna, ticket.id, like(ticket, "good"))


def test_an_empty_loop_says_what_to_do_next(visit: Begin) -> None:
    boss = visit("operator", "/operate/")
    expect(boss.find(".action")).to_contain_text("No judgements yet")
    expect(boss.page.get_by_role("button", name="Start round")).to_be_disabled()
    boss.shot("operate-empty", full=True)


def test_a_fall_back_is_an_alarm_that_keeping_ends(visit: Begin, stage: Stage) -> None:
    store = stage.store
    before = store.versions.published()
    assert before is not None
    round_ = store.rounds.add("dpo", None, 0, {})
    assert round_.id is not None
    made_by(store, "policy-0400", round_)
    store.rounds.update(round_.id, status="promoted")  # so that others may start one
    store.versions.publish("policy-0400", "operator")
    why = "policy-0400 cannot be served: its files were changed <after> training."
    store.versions.publish(before.version, "damaged", note=why)
    boss = visit("operator", "/operate/")
    expect(boss.find("[data-region=alarms]")).to_contain_text(f"{why} {before.version} answers instead.")
    boss.shot("operate-alarm")
    boss.page.get_by_text(f"Keep {before.version}").first.click()
    boss.find("#confirm-keep").get_by_role("button", name=f"Keep {before.version}").click()
    expect(boss.find("[data-region=alarms]")).to_be_empty()
    expect(boss.page.get_by_text(f"Keep {before.version}")).to_have_count(0)
    kept = store.versions.published()
    assert kept is not None
    assert (kept.version, kept.reason) == (before.version, "operator")


@pytest.mark.usefixtures("liked")
def test_a_round_from_start_to_promotion_and_back(visit: Begin, stage: Stage) -> None:
    boss = visit("operator", "/operate/")
    expect(boss.figure("Collected")).to_have_text("1")
    boss.page.get_by_role("button", name="Start round").click()
    expect(boss.find(".action")).to_contain_text("is queued")
    worker = play(stage.store, "policy-0001")
    for _ in range(4):  # up to step 20
        next(worker)
    expect(boss.figure("Train")).to_have_text("20 of 30")
    expect(boss.find(".station[aria-current=step]")).to_contain_text("7 s left")
    expect(boss.find(".action .spark")).to_be_visible()
    boss.shot("operate-training")
    list(worker)
    expect(boss.figure("Challenger")).to_have_text("0 of 60")
    expect(boss.find(".reasons")).to_contain_text("60 more blind votes")
    expect(boss.find(".guards tr.good")).to_have_count(6)
    expect(boss.find(".guards tr.warn")).to_have_count(1)
    boss.find("#samples summary").click()
    expect(boss.find("ins").first).to_be_visible()
    boss.shot("operate-held", full=True)

    boss.find("#confirm-promote summary").click()
    expect(boss.find("#confirm-promote")).to_contain_text("everybody is answered by policy-0001")
    boss.find("#confirm-promote input[name=note]").fill("Needed for the demonstration")
    boss.shot("operate-promote")
    boss.find("#confirm-promote button[type=submit]").click()
    expect(boss.figure("Serving")).to_have_text("policy-0001")
    published = stage.store.versions.published()
    assert published is not None
    assert (published.version, published.note) == ("policy-0001", "Needed for the demonstration")
    expect(boss.find('[data-region="versions"]')).to_contain_text("Needed for the demonstration")

    boss.page.get_by_label("What training starts from").select_option("incumbent")
    boss.page.get_by_role("button", name="Start round").click()
    boss.page.get_by_role("button", name="Cancel the round").click()
    expect(boss.page.get_by_role("button", name="Start round")).to_be_visible()
    assert stage.store.rounds.listing()[0].settings == {"start": "incumbent"}

    boss.find("#confirm-rollback summary").click()
    boss.find("#confirm-rollback button[type=submit]").click()
    expect(boss.figure("Serving")).to_have_text("sft-0001")


@pytest.mark.usefixtures("liked")
def test_a_round_can_be_cancelled(visit: Begin, stage: Stage) -> None:
    boss = visit("operator", "/operate/")
    boss.page.get_by_role("button", name="Start round").click()
    boss.page.get_by_role("button", name="Cancel the round").click()
    expect(boss.page.get_by_role("button", name="Start round")).to_be_visible()
    assert stage.store.rounds.listing()[0].status == "cancelled"


@pytest.mark.usefixtures("liked")
def test_settings_are_typed_beside_the_button_and_a_training_that_waits_for_people_says_so(
    visit: Begin, stage: Stage
) -> None:
    boss = visit("operator", "/operate/")
    boss.find("#round-settings summary").click()
    typed = boss.page.get_by_label("Settings of the training")
    typed.fill("watch=12 milestones")
    boss.page.get_by_role("button", name="Start round").click()
    expect(boss.find('[data-says="round"]')).to_contain_text("A setting is KEY=VALUE")
    expect(typed).to_have_value("watch=12 milestones")
    typed.fill("watch=12 milestones=0.5")
    boss.page.get_by_role("button", name="Start round").click()
    expect(boss.find(".action")).to_contain_text("is queued")
    turn = stage.store.rounds.listing()[0]
    assert turn.settings["watch"] == 12
    worker = play(stage.store, "policy-0099")
    for _ in range(3):
        next(worker)
    running = next(row for row in stage.store.rounds.stages(turn.id or 0) if row.status == "running")
    (attempt,) = stage.store.rounds.attempts(running.id or 0)
    said = "step 10: 3 of 4 blind judgements, 3 of at most 12 in all"
    stage.store.rounds.add_progress(attempt.id or 0, 99, {"step": 10, "steps": 30, "loss": 0.3, "waiting": said})
    expect(boss.find(".action")).to_contain_text(f"waits for people: {said}. Compare tasks show it now.")
    expect(boss.find(".station[aria-current=step]")).to_contain_text(said)
    boss.shot("operate-waiting")
    list(worker)
    turn = stage.store.rounds.listing()[0]
    milestones = [
        {"step": 4 * n, "distance": 0.5 * n, "reward": 0.4 * n, "wins": 4.0 - n, "judged": 4} for n in (1, 2, 3)
    ]
    why = "The watch ended the run at step 12, because all 12 judgements were spent."
    watch = {"budget": 12, "judged": 12, "scripted": 0, "chosen": 4, "why": why, "milestones": milestones}
    stage.store.rounds.update(turn.id or 0, evaluation={**turn.evaluation, "training": {"watch": watch}})
    expect(boss.find('[data-region="evidence"] .picture')).to_have_count(2)
    boss.find("#watch-table summary").click()
    expect(boss.find("#watch-table")).to_contain_text("handed on")
    boss.shot("operate-watched", full=True)
    stage.store.rounds.update(turn.id or 0, status="rejected")
    stage.store.versions.set_state("policy-0099", "dropped")


def test_lineage_is_walked_by_keyboard_from_the_operate_page_to_a_version_and_its_people(
    visit: Begin, stage: Stage, tmp_path: Path
) -> None:
    store = stage.store
    anna = store.people.by_name("anna")
    assert anna is not None
    for number in range(5):
        compared(store, anna, number)
    turn = store.rounds.add("dpo", None, 0, {"min_pairs": 1})
    freeze(store, turn, tmp_path)
    turn = store.rounds.update(turn.id, status="passed")  # type: ignore[arg-type]
    made_by(store, "policy-0009", turn)
    boss = visit("operator", "/operate/", size=PHONE, touch=True)
    boss.page.get_by_role("link", name="policy-0009").press("Enter")
    expect(boss.find("h1")).to_have_text("Which clicks made policy-0009")
    expect(boss.find("tr[id^=j-]")).not_to_have_count(0)
    assert boss.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    boss.shot("lineage-version-phone", full=True)
    boss.page.get_by_label("A version or a person").fill("anna")
    boss.press("Enter")
    expect(boss.find("h1")).to_have_text("Where the judgements of anna went")
    boss.page.get_by_role("link", name="policy-0009").press("Enter")
    expect(boss.find("h1")).to_have_text("Which clicks made policy-0009")
    hers = visit("anna", "/account")
    hers.page.get_by_role("link", name="Where my judgements went").press("Enter")
    expect(hers.find("h1")).to_have_text("Where my judgements went")
    expect(hers.find("main")).to_contain_text("policy-0009")
    hers.shot("lineage-mine", full=True)
    desk = visit("operator", "/lineage/version/policy-0009", scheme="dark")
    expect(desk.find("h1")).to_have_text("Which clicks made policy-0009")
    desk.shot("lineage-version-dark", full=True)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_the_rounds_gained_and_cost_is_drawn_at_any_width(
    visit: Begin, stage: Stage, size: tuple[int, int]
) -> None:
    if not any(turn.version == "policy-0105" for turn in stage.store.rounds.listing()):
        chained(stage.store, 5)
    boss = visit("operator", "/operate/", size=size)
    over = boss.find('[data-region="over"]')
    expect(over.get_by_role("img", name="Capability against the base, points: ")).to_be_visible()
    expect(over.get_by_role("img", name="Reward gained, by the reward model, over √KL: ")).to_be_visible()
    over.get_by_text("The same as a table").click()
    expect(over.get_by_role("row", name="policy-0105 policy-0104")).to_be_visible()
    for picture in over.locator("svg").all():
        box = picture.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0], "no picture leaves the page"
    assert boss.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    boss.shot(f"operate-over-{size[0]}", full=True)


def test_the_schedule_is_kept_and_what_is_typed_survives_the_clock(visit: Begin, stage: Stage) -> None:
    boss = visit("operator", "/operate/")
    boss.page.get_by_label("Start rounds by schedule").check()
    boss.page.get_by_role("button", name="Save the schedule").click()
    expect(boss.find("[data-says=schedule]")).to_contain_text("Say after how many")
    boss.page.get_by_label("After so many new judgements").fill("50")
    boss.page.get_by_role("button", name="Save the schedule").click()
    expect(boss.page.get_by_role("button", name="Saved")).to_be_visible()
    kept = stage.store.schedule.get()
    assert (kept.enabled, kept.every_judgements, kept.every_hours) == (True, 50, None)


def test_people_are_invited_disabled_and_given_another_password(visit: Begin, stage: Stage) -> None:
    boss = visit("operator", "/operate/")
    boss.find(".invite input[name=name]").fill("Berta")
    boss.find(".invite button").click()
    password = boss.find("[data-password]").inner_text()
    boss.shot("operate-invited", full=True)
    berta = visit()
    berta.sign_in("Berta", password, "/compare/")
    berta.awake()
    row = boss.find(".people tr").filter(has_text="Berta")
    row.locator("select").select_option("chatter")
    expect(boss.find("[data-password]")).to_have_count(0)
    berta.page.goto(stage.url + "/compare/")
    expect(berta.find("h1")).to_have_text("Not for this role")
    row.get_by_role("button", name="Reset password").click()
    expect(boss.find("[data-password]")).not_to_have_text(password)
    row.get_by_role("button", name="Revoke key").click()
    expect(boss.find(".panel[aria-label=People] .note[role=status]")).to_have_text("The API key of Berta no longer works.")
    row.get_by_role("button", name="Revoke key").click()
    expect(boss.find(".panel[aria-label=People] .note[role=status]")).to_have_text("Berta has no API key that works.")
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled")
    berta.page.goto(stage.url + "/")
    expect(berta.find("h1")).to_have_text("Sign in")


def test_a_reset_ends_the_key_only_where_it_is_ticked(visit: Begin, stage: Stage) -> None:
    anna = stage.store.people.by_name("anna")
    assert anna is not None
    key = new_key(stage.store, anna)
    boss = visit("operator", "/operate/", size=PHONE)
    row = boss.find(".people tr").filter(has_text="anna")
    row.get_by_role("button", name="Reset password").click()
    first = boss.find("[data-password]").inner_text()
    assert person_of_key(stage.store, key) is not None
    row.get_by_label("and key").check()
    row.get_by_role("button", name="Reset password").click()
    expect(boss.find("[data-password]")).not_to_have_text(first)
    assert person_of_key(stage.store, key) is None
    assert boss.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    row.scroll_into_view_if_needed()
    boss.shot("operate-people-phone")


def test_who_is_flagged_is_set_aside_and_taken_back_in(visit: Begin, stage: Stage) -> None:
    store = stage.store
    anna = store.people.by_name("anna")
    assert anna is not None
    flag = {"person": anna.id, "rule": "outvoted", "share": 0.4, "count": 50, "p": 0.0001}
    turn = store.rounds.add("dpo", None, 0, {})
    store.rounds.update(turn.id or 0, status="rejected", version="policy-0300", rows={"train": 9, "suspects": [flag]})
    boss = visit("operator", "/operate/", size=PHONE)
    expect(boss.find('[data-region="evidence"]')).to_contain_text(
        "1 account to look at: anna, outvoted in 40% of 50 shared verdicts"
    )
    row = boss.find(".people tr").filter(has_text="anna")
    expect(row).to_contain_text("to look at: outvoted in 40% of 50 shared verdicts")
    row.get_by_role("button", name="Set aside").click()
    expect(row.locator(".tag")).to_have_text("set aside")
    assert boss.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    row.scroll_into_view_if_needed()
    boss.shot("operate-set-aside-phone")
    kept = store.people.by_id(anna.id)
    assert kept is not None
    assert kept.set_aside_at is not None
    row.get_by_role("button", name="Take back in").click()
    expect(row.get_by_role("button", name="Set aside")).to_be_visible()
    visit("operator", "/operate/").shot("operate-flagged", full=True)


def test_the_last_operator_stays_one(visit: Begin, stage: Stage) -> None:
    boss = visit("operator", "/operate/")
    row = boss.find(".people tr").filter(has_text="operator").first
    row.locator("select").select_option("chatter")
    expect(boss.find("[data-says=people]")).to_contain_text("last operator")


def test_ones_own_password_and_key(visit: Begin, stage: Stage) -> None:
    charlie = visit("charlie", "/account")
    charlie.find("input[name=old]").fill(PASSWORD)
    charlie.find("input[name=new]").fill("quite another one")
    charlie.find("input[name=again]").fill("quite another one")
    charlie.page.get_by_role("button", name="Change the password").click()
    expect(charlie.find(".note.good")).to_contain_text("The password is changed")
    charlie.page.get_by_role("button", name="Make a new key").click()
    expect(charlie.find("#api-key")).to_contain_text("al-")
    charlie.page.get_by_role("button", name="Sign out").click()
    expect(charlie.find("h1")).to_have_text("Sign in")
