"""Comparing by the keyboard alone, ranking by keys and by drag."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from alignment.dataset.judgement import Judgement
    from tests.browser.driver import Visit
    from tests.browser.stage import Stage

Begin = Callable[..., "Visit"]


def judged(stage: Stage, kind: str) -> list[Judgement]:
    """What stands, of one kind, oldest first."""
    return [row for row in stage.store.judgements.export() if row.kind == kind]


def test_comparing_by_the_keyboard_alone(visit: Begin, stage: Stage) -> None:
    anna = visit("anna", "/compare/")
    anna.awake()
    anna.shot("compare")
    before = len(judged(stage, "compare"))
    a_text = anna.find('[data-text="a"]').inner_text()
    anna.judge_by_key("1")
    first = judged(stage, "compare")[before]
    a, b = sorted(first.candidates, key=lambda candidate: candidate.position)
    assert (a.rank, b.rank) == (1, 2)
    assert a.text == a_text, "what is judged is what the ticket shows on the left"
    assert first.strength == "clearly"
    anna.judge_by_key("4")
    assert judged(stage, "compare")[before + 1].strength == "slightly"
    anna.press("q", "q", "p", "p")  # neither is good enough
    expect(anna.find('[data-choice="tie"]')).to_contain_text("Both bad")
    anna.judge_by_key("3")
    assert [candidate.mark for candidate in judged(stage, "compare")[before + 2].candidates] == ["bad", "bad"]
    anna.judge_by_key("0")
    assert judged(stage, "compare")[before + 3].cannot_judge


def test_the_next_pair_is_made_ahead_and_shown_at_once(visit: Begin, stage: Stage) -> None:
    anna = visit("anna", "/compare/")
    anna.awake()
    person = stage.store.people.by_name("anna")
    assert person is not None
    deadline = time.monotonic() + 60
    while len(ready := stage.store.tasks.open_for(person.id, "compare", stage.store.now())) < 2:
        assert time.monotonic() < deadline, "the pair after the one that is shown was not made"
        time.sleep(0.05)
    following = stage.store.conversations.messages(ready[1][0].order)
    anna.judge_by_key("2")
    expect(anna.find('[data-text="a"]')).to_have_text(following[ready[1][0].order[0]].content)


def test_reasons_and_a_correction_are_one_key_away(visit: Begin, stage: Stage) -> None:
    anna = visit("anna", "/compare/")
    anna.awake()
    anna.press("r", "Space", "ArrowRight", "Space", "Escape")
    anna.press("r")
    expect(anna.find(".why .chip[aria-pressed=true]")).to_have_count(2)
    anna.press("Escape", "e")
    anna.find('[data-correction="b"]').fill("A better answer.")
    anna.shot("compare-reasons-and-correction")
    anna.press("Escape")
    anna.judge_by_key("5")
    row = judged(stage, "compare")[-1]
    assert list(row.reasons) == ["More accurate", "Clearer"]
    assert {candidate.correction for candidate in row.candidates} == {None, "A better answer."}
    expect(anna.find("[data-why]")).to_be_hidden()


def test_a_verdict_can_be_undone_and_given_again(visit: Begin, stage: Stage) -> None:
    anna = visit("anna", "/compare/")
    anna.awake()
    shown = anna.find('[data-text="a"]').inner_text()
    count = len(judged(stage, "compare"))
    anna.judge_by_key("1")
    expect(anna.find(".saved")).to_contain_text("A is clearly better")
    before = anna.find(".progress strong").inner_text()
    anna.press("u")
    expect(anna.find(".progress strong")).not_to_have_text(before)
    anna.awake()
    expect(anna.find('[data-text="a"]')).to_have_text(shown)
    assert len(judged(stage, "compare")) == count


def test_a_prompt_of_ones_own(visit: Begin) -> None:
    anna = visit("anna", "/compare/")
    anna.awake()
    anna.find(".own summary").click()
    anna.find("[data-own]").fill("Tell me a very short story about a story robot.")
    anna.press("Enter")
    expect(anna.find("[data-prompt]")).to_have_text("Tell me a very short story about a story robot.")
    anna.awake()


def test_nothing_on_the_page_tells_the_answers_apart(visit: Begin, stage: Stage) -> None:
    anna = visit("anna", "/compare/")
    anna.awake()
    assert "sft-0001" not in anna.find(".sheet").inner_html()


def test_ranking_by_keys_with_a_tie(visit: Begin, stage: Stage) -> None:
    anna = visit("anna", "/rank/")
    anna.awake()
    expect(anna.find(".rank-card")).to_have_count(4)
    texts = [card.strip() for card in anna.find(".rank-card .md").all_inner_texts()]
    anna.press("Shift+ArrowDown")  # the first card becomes the second
    anna.press("ArrowDown", "=")  # the third ties with it
    anna.shot("rank")
    places = [text.strip() for text in anna.find(".place").all_inner_texts()]
    assert places == ["1", "2=", "2=", "4"]
    anna.judge_by_key("Enter")
    ranks = {candidate.text: candidate.rank for candidate in judged(stage, "rank")[-1].candidates}
    assert [ranks[text] for text in texts] == [2, 1, 2, 3]


def test_ranking_by_drag(visit: Begin, stage: Stage) -> None:
    anna = visit("anna", "/rank/")
    anna.awake()
    last = anna.find(".rank-card").last
    text = last.locator(".md").inner_text().strip()
    grip = last.locator("[data-grip]").bounding_box()
    top = anna.find(".rank-card").first.bounding_box()
    assert grip is not None
    assert top is not None
    anna.page.mouse.move(grip["x"] + 10, grip["y"] + grip["height"] / 2)
    anna.page.mouse.down()
    for step in range(1, 21):
        y = grip["y"] + grip["height"] / 2 + (top["y"] - 4 - grip["y"] - grip["height"] / 2) * step / 20
        anna.page.mouse.move(grip["x"] + 10, y)
    anna.page.mouse.up()
    expect(anna.find(".rank-card").first.locator(".md")).to_have_text(text)
    anna.judge_by_key("Enter")
    assert [candidate.text for candidate in judged(stage, "rank")[-1].candidates if candidate.rank == 1] == [text]


def test_how_many_answers_can_be_chosen(visit: Begin) -> None:
    anna = visit("anna", "/rank/")
    anna.awake()
    anna.page.get_by_role("button", name="3 answers").click()
    expect(anna.find(".rank-card")).to_have_count(3)
    anna.judge_by_key("0")
