"""Driving the pages as a person does, with Debian's Chromium: used by every browser test, with a fake model or a real.

Waits are deadlines, never pauses: on a busy machine a page may take long. Nothing here knows the store.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ADVICE = "The browser tests need Debian's chromium: apt-get install chromium."
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TIMEOUT_MS = float(os.environ.get("ALIGNLOOP_TEST_BROWSER_TIMEOUT_S", "90")) * 1000
SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
DESKTOP, PHONE = (1280, 800), (390, 844)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium for the block. Raises `RuntimeError` with advice when there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError(ADVICE)
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """One person at the app, in a browser of their own: cookies, storage and log of requests are not shared."""

    def __init__(
        self, browser: Browser, url: str, size: tuple[int, int] = DESKTOP, scheme: Any = "light", touch: bool = False
    ) -> None:
        self.url = url
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, has_touch=touch, is_mobile=touch
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def close(self) -> None:
        """End the visit."""
        self.context.close()

    def outside(self) -> list[str]:
        """Requests to any other host than the app's."""
        host = urlsplit(self.url).netloc
        return [url for url in self.requests if urlsplit(url).scheme in ("http", "https", "ws", "wss")
                and urlsplit(url).netloc != host]  # fmt: skip

    def shot(self, name: str, full: bool = False) -> Path:
        """Keep a picture of the page under artifacts/screenshots."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        if full:
            self.page.evaluate("scrollTo(0, 0)")  # what sticks to the top belongs at the top
        self.page.screenshot(path=path, full_page=full, animations="disabled")
        return path

    def find(self, selector: str) -> Locator:
        """Elements of the page."""
        return self.page.locator(selector)

    def go(self, path: str) -> None:
        """Open one of the app's pages and wait until it is drawn and the model is there."""
        self.page.goto(self.url + path)
        expect(self.find(".al")).to_be_visible()

    def sign_in(self, name: str, password: str, path: str = "/") -> None:
        """Sign in on the app's own page and land on `path`."""
        self.page.goto(self.url + path)
        self.find("input[name=name]").fill(name)
        self.find("input[name=password]").fill(password)
        self.find("button[type=submit]").click()
        self.page.wait_for_url(lambda url: "/sign-in" not in url)
        expect(self.find(".al .top, .al .card")).to_be_visible()

    # Chat

    def send(self, text: str) -> None:
        """Write a message and send it with Enter."""
        self.find(".composer textarea").fill(text)
        self.page.keyboard.press("Enter")

    def answered(self, count: int = 1) -> Locator:
        """The last answer, once `count` of them are there and none is being written."""
        expect(self.find(".turn.answer .quiet-row")).to_have_count(count)
        expect(self.find(".al.busy")).to_have_count(0)
        return self.find(".turn.answer").last

    # Compare and rank

    def awake(self) -> None:
        """Wait until what is shown may be judged."""
        expect(self.find(".al.awake")).to_have_count(1)

    def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def judge_by_key(self, key: str) -> None:
        """One verdict by one key, and wait until it is kept and the next is there."""
        self.awake()
        before = self.find(".progress strong").inner_text()
        self.press(key)
        expect(self.find(".progress strong")).not_to_have_text(before)
        self.awake()

    # Operate

    def figure(self, station: str) -> Locator:
        """The number of one station of the loop."""
        return (
            self.find(
                ".station",
            )
            .filter(has=self.page.get_by_role("heading", name=station))
            .locator(".figure")
        )
