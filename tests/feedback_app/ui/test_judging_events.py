"""What a compare or rank page is told: when a verdict is kept, when not, and what stands then."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feedback_app.collect.on_page import MIN_SHOWN_S
from tests.fakes import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from feedback_app.ui.island import Answer

pytestmark = pytest.mark.slow  # imports Gradio


class Page:
    """The server's side of anna's compare and rank pages, with a clock at hand."""

    def __init__(self, home: Path) -> None:
        from feedback_app.ui.compare_events import CompareEvents
        from feedback_app.ui.rank_events import RankEvents
        from tests.browser.stage import TalkingVllm, make_parts

        self.clock = Clock()
        self.parts = make_parts(home, TalkingVllm())
        self.parts.store.database.now = self.clock  # type: ignore[method-assign]
        self.store = self.parts.store
        self.compare, self.rank = CompareEvents(self.parts), RankEvents(self.parts)
        found = self.store.people.by_name("anna")
        assert found is not None
        self.anna = found

    async def pair(self) -> str:
        """The ticket of the pair that a page shows now."""
        ticket = ""
        async with aclosing(self.compare.listen(self.anna, {"request": 1})) as states:
            async for state in states:
                ticket = state["ticket"] or ticket
        assert ticket
        return ticket

    async def ranking(self) -> str:
        """The ticket of the ranking that a page shows now."""
        return str((await self.rank.act(self.anna, {"do": "next", "size": 3})).state["ticket"])

    async def vote(self, ticket: str, choice: str, **more: Any) -> Answer:
        return await self.compare.act(self.anna, {"do": "verdict", "ticket": ticket, "choice": choice, **more})

    def live(self, ticket: str) -> str:
        row = self.store.judgements.live(ticket)
        return row.id if row else ""


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """An app with a fake model and one annotator."""
    page = Page(tmp_path)
    yield page
    await page.parts.comparing.close()
    page.store.close()


async def test_a_verdict_in_the_moment_the_pair_comes_is_refused_with_a_sentence(page: Page) -> None:
    ticket = await page.pair()
    answer = await page.vote(ticket, "tie")
    assert "only just come" in answer.error
    assert answer.where == "verdict"
    assert page.live(ticket) == ""
    page.clock.pass_s(MIN_SHOWN_S)
    answer = await page.vote(ticket, "tie")
    assert (answer.error, answer.state["judged"]) == ("", ticket)


async def test_a_held_key_casts_no_vote_a_repeat_whatever_the_page_lets_through(page: Page) -> None:
    ticket, kept = await page.pair(), 0
    for _ in range(30):
        page.clock.pass_s(1 / 30)
        answer = await page.vote(ticket, "tie")
        if not answer.error:
            kept += 1
            ticket = await page.pair()
    assert kept == 2, "one each time the answers had been there long enough, not one a repeat"


async def test_a_pair_that_waits_unseen_cannot_be_judged(page: Page) -> None:
    await page.pair()
    await asyncio.gather(*page.compare.preparing)
    await page.parts.comparing.idle()
    waiting = [
        ticket
        for ticket, _ in page.store.tasks.open_for(page.anna.id, "compare", page.clock.now)
        if ticket.shown_at is None
    ]
    assert waiting
    page.clock.pass_s(60)
    answer = await page.vote(waiting[0].id, "a_clearly")
    assert "not been shown" in answer.error
    assert page.live(waiting[0].id) == ""


async def test_another_tab_is_told_what_stands_and_replaces_it_only_by_name(page: Page) -> None:
    ticket = await page.pair()
    page.clock.pass_s(5)
    await page.vote(ticket, "a_clearly")
    first = page.live(ticket)
    stale = await page.vote(ticket, "b_clearly", comment="typed here")
    assert page.live(ticket) == first, "the second tab's verdict replaced the first silently"
    assert "A is clearly better" in stale.error
    assert stale.state["stands"] == {"ticket": ticket, "judgement": first}
    assert "judged" not in stale.state
    assert "Stands: A is clearly better" in stale.regions["said"]
    meant = await page.vote(ticket, "b_clearly", comment="typed here", saw=first)
    assert meant.error == ""
    assert page.live(ticket) not in ("", first)


async def test_the_same_verdict_again_is_the_same_judgement(page: Page) -> None:
    ticket = await page.pair()
    page.clock.pass_s(5)
    await page.vote(ticket, "tie")
    first = page.live(ticket)
    again = await page.vote(ticket, "tie")  # the first answer was lost on the way
    assert (again.error, again.state["judged"], page.live(ticket)) == ("", ticket, first)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ({"choice": "a_slightly"}, "A is slightly better"),
        ({"choice": "b_clearly"}, "B is clearly better"),
        ({"choice": "tie"}, "a tie"),
        ({"choice": "tie", "a_mark": "bad", "b_mark": "bad"}, "both are bad"),
        ({"choice": "cant"}, "cannot judge"),
    ],
)
async def test_what_stands_is_named_as_it_was_confirmed(page: Page, act: dict[str, str], words: str) -> None:
    ticket = await page.pair()
    page.clock.pass_s(5)
    kept = await page.vote(ticket, **act)
    assert f"Saved: {words}" in kept.regions["said"]
    stale = await page.vote(ticket, "a_clearly")
    assert f"Stands: {words}" in stale.regions["said"]


async def test_an_undo_of_what_was_replaced_undoes_nothing_and_says_what_stands(page: Page) -> None:
    ticket = await page.pair()
    page.clock.pass_s(5)
    await page.vote(ticket, "a_clearly")
    first = page.live(ticket)
    await page.vote(ticket, "tie", saw=first)
    second = page.live(ticket)
    stale = await page.compare.act(page.anna, {"do": "undo", "judgement": first})
    assert page.live(ticket) == second
    assert stale.state["stands"] == {"ticket": ticket, "judgement": second}
    assert "a tie" in stale.error
    done = await page.compare.act(page.anna, {"do": "undo", "judgement": second})
    assert (done.error, done.state["undone"], page.live(ticket)) == ("", ticket, "")
    gone = await page.vote(ticket, "b_clearly", saw=second)
    assert "taken back elsewhere" in gone.error
    assert gone.state["stands"] == {"ticket": ticket, "judgement": ""}
    assert page.live(ticket) == ""


async def test_a_ranking_that_nobody_touched_is_asked_about(page: Page) -> None:
    ticket = await page.ranking()
    page.clock.pass_s(5)
    act = {"do": "verdict", "ticket": ticket, "ranks": [1, 2, 3]}
    answer = await page.rank.act(page.anna, act)
    assert "drawn by chance" in answer.error
    assert page.live(ticket) == ""
    assert (await page.rank.act(page.anna, act | {"chosen": True})).error == ""
    assert page.live(ticket)


async def test_a_ranking_in_a_second_tab_replaces_none(page: Page) -> None:
    ticket = await page.ranking()
    page.clock.pass_s(5)
    await page.rank.act(page.anna, {"do": "verdict", "ticket": ticket, "ranks": [2, 1, 3]})
    first = page.live(ticket)
    stale = await page.rank.act(page.anna, {"do": "verdict", "ticket": ticket, "ranks": [1, 1, 3]})
    assert page.live(ticket) == first
    assert stale.state["stands"] == {"ticket": ticket, "judgement": first}
