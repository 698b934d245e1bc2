"""Signals in a real browser, where they are turned on: the page says so, and a copy is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.driver import Visit
    from tests.browser.stage import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running app that keeps copies and retries."""
    from tests.browser.stage import TalkingVllm, make_parts, running

    vllm = TalkingVllm()
    with running(make_parts(tmp_path_factory.mktemp("home"), vllm, signals="copy,retry"), vllm) as stage:
        yield stage


def test_a_copy_is_kept_and_the_page_says_that_it_is(visit: Callable[..., Visit], stage: Stage) -> None:
    charlie = visit("charlie")
    expect(charlie.find("#welcome")).to_contain_text("kept and used too: asking for another one, copying.")
    charlie.shot("chat-signals")
    charlie.send("What is the capital of France?")
    answer = charlie.answered()
    text = answer.locator(".md").inner_text()
    answer.get_by_role("button", name="Copy").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    answer.get_by_role("button", name="Answer again").click()
    expect(charlie.find(".turn.answer").last).to_contain_text("2 of 2")
    found = {signal.kind: signal.text for signal in stage.store.signals.export(["copy", "retry"])}
    assert found == {"copy": text, "retry": text}
