"""Votes that nobody meant to give: held keys, double clicks, pairs nobody has seen, lost answers, a second tab."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Route

    from alignment.dataset.judgement import Judgement
    from tests.browser.driver import Visit
    from tests.browser.stage import Stage

Begin = Callable[..., "Visit"]
CALLS = re.compile("component_server")  # the acts of a page
REPEATS = 40  # of a key that is held for a good second
REPEAT_MS = 30.0


@pytest.fixture
def ann(stage: Stage) -> str:
    """An annotator of this test's own, who has judged nothing yet."""
    from feedback_app.collect.people import add_person
    from tests.browser.stage import PASSWORD

    name = f"Ann {len(stage.store.people.listing())}"
    add_person(stage.store, name, "annotator", password=PASSWORD)
    return name


@pytest.fixture
def votes(stage: Stage, ann: str) -> Callable[[], list[Judgement]]:
    """What stands of this annotator, oldest first."""
    found = stage.store.people.by_name(ann)
    assert found is not None
    person = found.id
    return lambda: [row for row in stage.store.judgements.export() if row.person == person]


Votes = Callable[[], "list[Judgement]"]


def settle(visit: Visit) -> None:
    """Wait until nothing is being sent and the answers on the page may be judged."""
    expect(visit.find(".verdict.chosen")).to_have_count(0)
    visit.awake()


def hold(visit: Visit, key: str) -> None:
    """A key held for a good second, as a keyboard repeats it."""
    for _ in range(REPEATS):
        visit.page.keyboard.down(key)
        visit.page.wait_for_timeout(REPEAT_MS)
    visit.page.keyboard.up(key)


def test_a_held_key_is_one_verdict(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    hold(page, "3")
    settle(page)
    assert len(votes()) == 1


def test_a_held_key_that_does_not_say_that_it_repeats_is_one_verdict(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    keys = page.context.new_cdp_session(page.page)
    key = {"type": "keyDown", "key": "1", "code": "Digit1", "text": "1", "windowsVirtualKeyCode": 49}
    for _ in range(REPEATS):
        keys.send("Input.dispatchKeyEvent", key)
        page.page.wait_for_timeout(REPEAT_MS)
    keys.send("Input.dispatchKeyEvent", key | {"type": "keyUp"})
    settle(page)
    assert len(votes()) == 1


HAMMER = """async () => {
    for (let press = 0; press < 12; press += 1) {
        const key = { key: "2", code: "Digit2", bubbles: true };
        document.body.dispatchEvent(new KeyboardEvent("keydown", key));
        document.body.dispatchEvent(new KeyboardEvent("keyup", key));
        await new Promise((done) => setTimeout(done, 120));
    }
}"""


def test_hammering_a_key_is_one_verdict_and_the_page_says_why(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    # In the page: a busy machine holds back these presses and the page's own clock alike.
    page.page.evaluate(HAMMER)
    expect(page.find("[data-early]")).to_contain_text("Not counted")
    settle(page)
    assert len(votes()) == 1
    page.judge_by_key("4")
    assert [row.strength for row in votes()] == ["slightly", "slightly"]


def test_of_two_fast_keys_the_first_counts_and_the_second_falls_on_nothing(
    visit: Begin, ann: str, votes: Votes
) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    page.press("1", "0", "q")
    settle(page)
    (vote,) = votes()
    assert (vote.strength, vote.cannot_judge) == ("clearly", False)
    expect(page.find("[data-act=enough][aria-pressed=true]")).to_have_count(0)


def test_a_key_during_a_slow_answer_falls_on_nothing(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    held: list[Route] = []
    page.page.route(CALLS, lambda route: held.append(route))
    page.press("1")
    expect(page.find(".verdict.chosen")).to_have_count(1)
    page.press("5", "0", "5")
    page.page.wait_for_timeout(600)
    for route in held:
        route.continue_()
    page.page.unroute(CALLS)
    expect(page.find(".saved")).to_contain_text("A is clearly better")
    settle(page)
    assert len(held) == 1
    assert len(votes()) == 1


def test_a_verdict_whose_answer_was_lost_is_sent_again_as_the_same(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()

    def lose(route: Route) -> None:
        route.fetch()  # the server keeps the verdict, and the line breaks before it can say so
        route.abort()

    page.page.route(CALLS, lose)
    page.press("1")
    expect(page.find("[data-says=page]")).to_contain_text("could not do this")
    page.page.unroute(CALLS)
    assert len(votes()) == 1
    settle(page)
    page.press("1")
    expect(page.find(".saved")).to_contain_text("A is clearly better")
    settle(page)
    assert len(votes()) == 1


def test_offline_a_verdict_is_kept_on_the_page_and_sent_once_when_the_line_is_back(
    visit: Begin, ann: str, votes: Votes
) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    shown = page.find('[data-text="a"]').inner_text()
    page.press("r", "Space", "Escape")
    page.context.set_offline(True)
    page.press("1")
    expect(page.find("[data-says=page]")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    settle(page)
    expect(page.find('[data-text="a"]')).to_have_text(shown)
    assert votes() == []
    page.press("1")
    expect(page.find(".saved")).to_contain_text("A is clearly better")
    settle(page)
    assert [list(row.reasons) for row in votes()] == [["More accurate"]]


def test_a_double_click_is_one_verdict(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    page.find('[data-choice="a_clearly"]').dblclick()
    settle(page)
    assert len(votes()) == 1


def test_enter_held_on_a_verdict_and_a_click_are_one_verdict(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    page.find('[data-choice="tie"]').focus()
    hold(page, "Enter")
    settle(page)
    assert len(votes()) == 1
    page.find('[data-choice="tie"]').focus()
    page.page.keyboard.down("Enter")
    page.find('[data-choice="a_clearly"]').dispatch_event("click")
    page.page.keyboard.up("Enter")
    settle(page)
    assert [bool(row.strength) for row in votes()] == [False, False]


def test_a_key_that_no_person_pressed_for_the_page_is_no_verdict(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    page.page.evaluate(
        """() => {
            document.dispatchEvent(new Event("keydown", { bubbles: true }));  // a browser that fills in a form
            const key = { key: "3", code: "Digit3", bubbles: true };
            document.body.dispatchEvent(new KeyboardEvent("keydown", { ...key, isComposing: true }));
            document.body.dispatchEvent(new KeyboardEvent("keydown", { ...key, keyCode: 229 }));
            document.body.dispatchEvent(new KeyboardEvent("keydown", { ...key, ctrlKey: true }));
        }"""
    )
    page.page.wait_for_timeout(300)
    assert votes() == []
    page.awake()


def test_a_pair_out_of_sight_sleeps_until_it_has_been_in_view(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/compare/")
    page.awake()
    focus = page.context.new_cdp_session(page.page)
    focus.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    other = page.context.new_page()
    other.bring_to_front()
    assert not page.page.evaluate("document.hasFocus()")
    page.find(".own summary").dispatch_event("click")
    page.find("[data-own]").evaluate("field => { field.value = 'How are you?'; field.form.requestSubmit(); }")
    expect(page.find('[data-text="b"]')).not_to_be_empty()
    expect(page.find(".al.waiting")).to_have_count(0)
    page.page.wait_for_timeout(1000)
    expect(page.find(".al.awake")).to_have_count(0)
    page.page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', { key: '3', bubbles: true }))")
    page.page.bring_to_front()
    page.awake()
    assert votes() == []
    # A tab that was hidden begins anew.
    page.page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { value: true, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    expect(page.find(".al.awake")).to_have_count(0)
    page.page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")
    page.judge_by_key("3")
    assert len(votes()) == 1


def test_a_second_tab_is_told_what_stands_and_loses_nothing(visit: Begin, ann: str, votes: Votes) -> None:
    first, second = visit(ann, "/compare/"), visit(ann, "/compare/")
    first.awake()
    second.awake()
    shown = second.find('[data-text="a"]').inner_text()
    assert shown == first.find('[data-text="a"]').inner_text()
    first.judge_by_key("1")
    second.press("r")
    second.find("[data-comment]").fill("Typed in the second tab.")
    second.press("Escape", "5")
    says = second.find("[data-says=verdict]")
    expect(says).to_contain_text("A is clearly better. That stands")
    expect(second.find(".said")).to_contain_text("Stands: A is clearly better")
    expect(second.find("[data-comment]")).to_have_value("Typed in the second tab.")
    expect(second.find('[data-text="a"]')).to_have_text(shown)
    (vote,) = votes()
    assert vote.candidates[0].rank != vote.candidates[1].rank
    assert {c.rank for c in vote.candidates if c.text == shown} == {1}, "the first verdict was replaced"
    settle(second)
    second.shot("compare-stands")
    second.press("5")  # now the page has shown what it replaces
    expect(second.find(".saved")).to_contain_text("Saved: B is clearly better")
    settle(second)
    (vote,) = votes()
    assert vote.comment == "Typed in the second tab."
    assert {c.rank for c in vote.candidates if c.text == shown} == {2}
    # The first tab's undo is about what is no longer in force.
    first.press("u")
    expect(first.find(".said")).to_contain_text("Stands: B is clearly better")
    assert len(votes()) == 1


def test_from_what_stands_one_can_go_on(visit: Begin, ann: str, votes: Votes) -> None:
    first, second = visit(ann, "/compare/"), visit(ann, "/compare/")
    first.awake()
    second.awake()
    prompt = second.find("[data-prompt]").inner_text() + second.find('[data-text="a"]').inner_text()
    first.judge_by_key("1")
    second.press("5")
    expect(second.find(".said")).to_contain_text("Stands")
    second.press("n")
    expect(second.find("[data-act=go-on]")).to_have_count(0)
    second.awake()
    assert prompt != second.find("[data-prompt]").inner_text() + second.find('[data-text="a"]').inner_text()
    second.judge_by_key("2")
    assert [row.strength for row in votes()] == ["clearly", "slightly"]


def test_an_order_that_nobody_touched_is_asked_about_and_not_sent(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/rank/")
    page.awake()
    page.press("ArrowDown", "ArrowDown")  # looking is not choosing
    page.press("Enter")
    expect(page.find("[data-ask]")).to_contain_text("drawn by chance")
    expect(page.find("[data-act=send]")).to_contain_text("Keep this order")
    page.press("Enter")  # the second tap of a double one
    hold(page, "Enter")
    page.awake()
    assert votes() == []
    page.shot("rank-untouched")
    page.judge_by_key("Enter")
    (vote,) = votes()
    assert [c.rank for c in sorted(vote.candidates, key=lambda c: c.position)] == [1, 2, 3, 4]
    expect(page.find("[data-ask]")).to_be_hidden()
    page.press("Enter")  # the next one is asked about again
    expect(page.find("[data-ask]")).to_be_visible()
    page.awake()
    page.press("Shift+ArrowDown")
    expect(page.find("[data-ask]")).to_be_hidden()
    page.judge_by_key("Enter")
    assert len(votes()) == 2


def test_a_held_enter_sends_one_ranking(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann, "/rank/")
    page.awake()
    page.press("Shift+ArrowDown")
    hold(page, "Enter")
    page.awake()
    assert len(votes()) == 1


def test_a_stale_tab_neither_takes_back_nor_overrules_and_what_was_typed_stays(
    visit: Begin, ann: str, votes: Votes
) -> None:
    first = visit(ann)
    first.send("What is the capital of France?")
    first.answered()
    second = visit(ann, first.page.url.removeprefix(first.url))
    old, new = second.answered(), first.answered()
    new.get_by_role("button", name="Good answer").click()
    expect(new).to_contain_text("Saved")
    old.get_by_role("button", name="Good answer").click()  # the same like: not a second click on it
    expect(old.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    assert [row.candidates[0].mark for row in votes()] == ["good"]
    new.get_by_role("button", name="Clear").click()
    expect(new.get_by_role("button", name="Clear")).to_have_attribute("aria-pressed", "true")
    old.get_by_label("Comment").fill("Typed in the stale tab.")
    old.get_by_role("button", name="Bad answer").click()
    expect(second.find("[data-says=page]")).to_contain_text("rated elsewhere")
    expect(old.get_by_role("button", name="Clear")).to_have_attribute("aria-pressed", "true")
    expect(old.get_by_label("Comment")).to_have_value("Typed in the stale tab.")
    assert [(row.candidates[0].mark, list(row.reasons)) for row in votes()] == [("good", ["Clear"])]
    new.get_by_role("button", name="Good answer").click()  # pressed: takes it back
    expect(new.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "false")
    old.get_by_role("button", name="Add").click()
    expect(second.find("[data-says=page]")).to_contain_text("rated elsewhere")
    assert votes() == []
    old.get_by_role("button", name="Good answer").click()
    expect(old.get_by_label("Comment")).to_have_value("Typed in the stale tab.")
    old.get_by_role("button", name="Edit the answer").click()
    old.locator("textarea").fill("Written in the stale tab.")
    first.page.reload()
    new = first.answered()
    new.get_by_role("button", name="Bad answer").click()
    expect(new.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    old.get_by_role("button", name="Save the correction").click()
    expect(second.find("[data-says=page]")).to_contain_text("rated elsewhere")
    expect(old.locator("textarea")).to_have_value("Written in the stale tab.")
    assert [(row.candidates[0].mark, row.candidates[0].correction) for row in votes()] == [("bad", None)]
    old.get_by_role("button", name="Save the correction").click()
    expect(old).to_contain_text("Your correction")
    assert votes()[0].candidates[0].correction == "Written in the stale tab."


def test_a_double_click_and_a_held_enter_on_a_thumb_are_one_like(visit: Begin, ann: str, votes: Votes) -> None:
    page = visit(ann)
    page.send("What is the capital of France?")
    thumb = page.answered().get_by_role("button", name="Good answer")
    thumb.dblclick()
    expect(thumb).to_have_attribute("aria-pressed", "true")
    page.page.wait_for_timeout(300)
    assert [row.candidates[0].mark for row in votes()] == ["good"]
    other = page.answered().get_by_role("button", name="Bad answer")
    other.focus()
    hold(page, "Enter")
    expect(other).to_have_attribute("aria-pressed", "true")
    assert [row.candidates[0].mark for row in votes()] == ["bad"]


def test_a_reader_does_not_wait_for_the_bar(visit: Begin, ann: str) -> None:
    """Judging as fast as the bar allows, a page takes far less than a second a pair to wake."""
    page = visit(ann, "/compare/")
    page.awake()
    page.page.evaluate(
        """() => {
            const al = document.querySelector(".al"); let shown = 0; window.naps = [];
            new MutationObserver(() => {
                if (al.classList.contains("waiting")) shown = 0;
                else if (!shown) shown = performance.now();
                else if (al.classList.contains("awake")) { naps.push(performance.now() - shown); shown = Infinity; }
            }).observe(al, { attributes: true, attributeFilter: ["class"] });
        }"""
    )
    started = time.monotonic()
    for key in "12345":
        page.judge_by_key(key)
    naps = sorted(page.page.evaluate("naps.filter((nap) => nap > 0)"))
    print(
        f"asleep with the pair in view, ms: {[round(nap) for nap in naps]}; {time.monotonic() - started:.1f} s in all"
    )
    assert len(naps) >= 4
    assert naps[0] >= 400
    assert naps[len(naps) // 2] < 1000
