"""One app per module and one browser per run; every visit is a fresh browser profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.driver import Visit
    from tests.browser.stage import Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts a browser, so everything here is slow."""
    for item in items:
        if "browser" in item.path.parts[-2:]:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium. It ends with this package: Playwright keeps an event loop running in this thread,
    and no asynchronous test can run while it does."""
    from tests.browser.driver import chromium

    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running app with a fake model."""
    from tests.browser.stage import TalkingVllm, make_parts, running

    vllm = TalkingVllm()
    with running(make_parts(tmp_path_factory.mktemp("home"), vllm), vllm) as stage:
        yield stage


@pytest.fixture
def visit(browser: Browser, stage: Stage) -> Iterator[Callable[..., Visit]]:
    """Begins visits, signed in; at the end each must have asked no other host and met no script error."""
    from tests.browser.driver import Visit
    from tests.browser.stage import PASSWORD

    visits: list[Visit] = []

    def begin(name: str = "", path: str = "/", **options: object) -> Visit:
        visits.append(Visit(browser, stage.url, **options))  # type: ignore[arg-type]
        if name:
            visits[-1].sign_in(name, PASSWORD, path)
        return visits[-1]

    yield begin
    outside = [url for visit in visits for url in visit.outside()]
    problems = [problem for visit in visits for problem in visit.problems]
    for visit in visits:
        visit.close()
    assert outside == []
    assert problems == []
