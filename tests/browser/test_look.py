"""How the pages look and what they load: pictures on a desk and a phone, light and dark, and the log of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from feedback_app.collect.judge import Choice, compare_verdict, judge
from feedback_app.collect.people import add_person
from feedback_app.collect.tasks import Comparing, PairReady
from tests.browser.driver import DESKTOP, PHONE
from tests.browser.worker_play import play

if TYPE_CHECKING:
    from feedback_app.store.tables import Person
    from tests.browser.driver import Visit
    from tests.browser.stage import Stage

Begin = Callable[..., "Visit"]
PAGES = {"chat": "/", "compare": "/compare/", "rank": "/rank/", "operate": "/operate/"}
KINDS = {
    "desktop-light": {"size": DESKTOP, "scheme": "light"},
    "desktop-dark": {"size": DESKTOP, "scheme": "dark"},
    "phone": {"size": PHONE, "scheme": "light", "touch": True},
    "phone-dark": {"size": PHONE, "scheme": "dark", "touch": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pages_fit_their_window_and_load_only_from_their_own_host(visit: Begin, stage: Stage, kind: str) -> None:
    if not stage.store.versions.challenger():
        furnish(stage)
    boss = visit("operator", "/", **KINDS[kind])
    for name, path in PAGES.items():
        boss.go(path)
        if name == "chat":
            boss.send("Tell me a very short story about a robot.")
            boss.answered().get_by_role("button", name="Good answer").click()
            expect(boss.find(".why")).to_be_visible()
        elif name == "operate":
            expect(boss.find(".station")).to_have_count(6)
            boss.find("#samples summary").click()
        else:
            boss.awake()
        wide = boss.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} px wider than its window"
        boss.shot(f"{name}-{kind}", full=name == "operate")
    assert boss.outside() == []
    assert len(boss.requests) > 40, "the log saw the pages load"


def test_touch_targets_are_44_pixels_and_buttons_have_names(visit: Begin) -> None:
    boss = visit("operator", "/", size=PHONE, touch=True)
    for path in PAGES.values():
        boss.go(path)
        if path in ("/compare/", "/rank/"):
            boss.awake()
        found = boss.page.evaluate(TARGETS)
        assert [node["html"] for node in found if node["height"] < 43.5] == []
        assert [node["html"] for node in found if not node["name"]] == []


def test_text_stands_out_enough_in_both_themes(visit: Begin) -> None:
    for scheme in ("light", "dark"):
        anna = visit("anna", "/compare/", scheme=scheme)
        anna.awake()
        ratios = anna.page.evaluate(CONTRAST)
        assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}


def test_the_switch_changes_the_theme_and_it_stays(visit: Begin) -> None:
    anna = visit("anna", "/compare/", scheme="light")
    before = anna.page.evaluate("getComputedStyle(document.body).backgroundColor")
    anna.page.get_by_role("button", name="Light or dark").click()
    after = anna.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    anna.page.reload()
    expect(anna.find(".al .top")).to_be_visible()
    assert anna.page.evaluate("getComputedStyle(document.body).backgroundColor") == after


def test_the_side_bar_folds_on_a_phone(visit: Begin) -> None:
    charlie = visit("charlie", "/", size=PHONE, touch=True)
    expect(charlie.find(".side")).not_to_be_in_viewport()
    charlie.page.get_by_role("button", name="Conversations").click()
    expect(charlie.find(".side")).to_be_in_viewport()
    charlie.shot("chat-phone-conversations")
    charlie.page.get_by_role("button", name="New conversation").click()
    expect(charlie.find(".side")).not_to_be_in_viewport()


def test_signing_in_looks_like_the_rest(visit: Begin, stage: Stage) -> None:
    stranger = visit()
    stranger.page.goto(stage.url + "/rank/")
    expect(stranger.find("h1")).to_have_text("Sign in")
    stranger.shot("sign-in")
    charlie = visit("charlie", "/account")
    charlie.shot("account", full=True)


def furnish(stage: Stage) -> None:
    """A loop that has turned once and has votes, so that the pictures show something."""
    store = stage.store
    warm = add_person(store, "warm", "annotator", scripted=True).person
    stage.vllm.pace_s = 0.0
    with ThreadPoolExecutor() as elsewhere:  # this thread already runs the browser's event loop
        elsewhere.submit(asyncio.run, vote(stage, warm, 12)).result()
        store.rounds.add("dpo", None, 1, {})
        list(play(store, "policy-0001"))
        played = store.versions.get("policy-0001")
        assert played is not None
        stage.vllm.loaded[played.served_name] = "nowhere"
        elsewhere.submit(asyncio.run, vote(stage, warm, 20)).result()
    stage.vllm.pace_s = 0.012


async def vote(stage: Stage, person: Person, count: int) -> None:
    """Votes of a scripted person, through the same tickets as everyone."""
    own = Comparing(
        stage.parts.answers, ["Tell me a very short story about a robot.", "What is the capital of France?"]
    )
    choices: tuple[Choice, ...] = ("a_clearly", "b_slightly", "a_slightly", "tie", "b_clearly")
    for number in range(count):
        async for event in own.next_pair(person):
            if isinstance(event, PairReady):
                found = stage.store.tasks.ticket(event.ticket_id)
                assert found is not None
                judge(stage.store, person, event.ticket_id, compare_verdict(found[0].order, choices[number % 5]))


TARGETS = """() => [...document.querySelectorAll('.al button, .al select, .al input, .al .top a')]
  .filter((node) => node.offsetParent && node.type !== 'checkbox' && node.type !== 'hidden')
  .map((node) => ({
    height: node.getBoundingClientRect().height,
    name: (node.getAttribute('aria-label') || node.textContent || node.labels?.[0]?.textContent || '').trim(),
    html: node.outerHTML.slice(0, 160),
  }))"""

CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => {
    const probe = document.createElement('i');
    probe.style.color = style.getPropertyValue(name);
    document.body.append(probe);
    const found = getComputedStyle(probe).color.match(/[0-9.]+/g).map(Number);
    probe.remove();
    return found;
  };
  const linear = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map(linear); return .2126 * r + .7152 * g + .0722 * b; };
  const pairs = ['text/page', 'soft/page', 'soft/raised', 'soft/sunken', 'accent/page', 'accent/accent-wash',
    'text/accent-wash', 'on-accent/accent', 'on-accent/accent-deep', 'good/good-wash', 'warn/warn-wash',
    'bad/bad-wash', 'bad/page', 'good/page'];
  return Object.fromEntries(pairs.map((pair) => {
    const [front, back] = pair.split('/');
    const [a, b] = [light(rgb('--' + front)), light(rgb('--' + back))].sort((x, y) => y - x);
    return [pair, (a + .05) / (b + .05)];
  }));
}"""
