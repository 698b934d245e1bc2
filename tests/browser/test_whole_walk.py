"""The whole walk with nothing faked: `alignloop up`, the embedded model in vLLM, a browser, a round, a promotion.

One person with a taste for warm answers does what the README's walk tells: talks, compares by the keyboard
alone, ranks, starts a round, votes on the challenger blind, and is answered by the new version. Fewer votes
than the default, because a browser's are slower than a script's; the steps are the same.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from playwright.sync_api import expect

from alignment.evaluation.tastes import TASTES
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.driver import Visit

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a passphrase for the walk"
TRAINED_ON, VOTES = 16, 12
PATIENCE_S = 600  # for vLLM's start and for a round, on two busy cores


@pytest.fixture
def product(tmp_path: Path) -> Iterator[str]:
    """`alignloop up` in a home of its own; its address, once an answer could be given."""
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ALIGNLOOP_")} | {
        "ALIGNLOOP_HOME": str(tmp_path / "home"),
        "ALIGNLOOP_PORT": str(port),
        "ALIGNLOOP_VLLM_PORT": str(free_port()),
        "ALIGNLOOP_OPERATOR_PASSWORD": PASSWORD,
        "ALIGNLOOP_VOTES": str(VOTES),
    }
    environment.pop("DATABASE_URL", None)
    log = tmp_path / "up.log"
    with log.open("w") as out:
        up = subprocess.Popen(
            [sys.executable, "-m", "feedback_app", "up"],
            cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready(url):
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield url
    finally:
        family = psutil.Process(up.pid).children(recursive=True)
        up.send_signal(signal.SIGINT)
        began = time.monotonic()
        up.wait(timeout=60)
        took = time.monotonic() - began
        _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == [], "Ctrl-C leaves no process behind"
    assert took < 30, f"stopping took {took:.0f} s"


def ready(url: str) -> bool:
    """Whether an answer could be given now."""
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=5) as reply:
            return bool(json.load(reply)["ready"])
    except (OSError, urllib.error.URLError, ValueError):
        return False


def compare_warmly(visit: Visit, times: int) -> None:
    """Read both answers and press a key, as somebody who likes warm answers."""
    warm = TASTES["warm"]
    for _ in range(times):
        visit.awake()
        a, b = (warm.score(visit.find(f'[data-text="{side}"]').inner_text()) for side in "ab")
        visit.judge_by_key("1" if a > b else "5" if b > a else "3")


@pytest.mark.long
def test_the_loop_closes_on_the_votes_of_a_browser(browser: Browser, product: str) -> None:
    from tests.browser.driver import Visit

    person = Visit(browser, product)
    person.sign_in("operator", PASSWORD)
    person.send("What is the capital of France?")
    answer = person.answered()
    expect(answer).to_contain_text("Paris")
    expect(answer).to_contain_text("base")
    answer.get_by_role("button", name="Good answer").click()
    expect(answer).to_contain_text("Saved")
    person.shot("walk-chat")

    person.go("/compare/")
    compare_warmly(person, TRAINED_ON)
    person.shot("walk-compare")
    person.go("/rank/")
    person.awake()
    person.shot("walk-rank")
    person.judge_by_key("Enter")

    person.go("/operate/")
    person.page.get_by_role("button", name="Start round").click()
    expect(person.figure("Challenger")).to_have_text(f"0 of {VOTES}", timeout=PATIENCE_S * 1000)
    expect(person.find(".reasons")).to_contain_text(f"{VOTES} more blind votes")
    person.shot("walk-held", full=True)

    person.go("/compare/")
    compare_warmly(person, VOTES)
    person.go("/operate/")
    expect(person.figure("Challenger")).not_to_have_text(f"{VOTES - 1} of {VOTES}")
    expect(person.find(".reasons")).not_to_contain_text("more blind vote")
    if (
        "decided votes were for it" in person.find(".reasons").inner_text()
        and person.figure("Serving").inner_text() != "policy-0001"
    ):
        # So few votes need not decide; then the operator does, with a note.
        person.find("#confirm-promote summary").click()
        person.find("#confirm-promote input[name=note]").fill("Twelve votes are too few to decide")
        person.find("#confirm-promote button[type=submit]").click()
    expect(person.figure("Serving")).to_have_text("policy-0001")
    person.shot("walk-promoted", full=True)

    person.go("/")
    person.send("What colour is the sky?")
    expect(person.answered()).to_contain_text("policy-0001")
    assert person.outside() == []
    assert person.problems == []
    person.close()
