"""The operate page's numbers, drawn from values: the strip, the guards, the interval, differences."""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.gate import Limits
from alignment.stats import wilson_interval
from feedback_app.domain.votes import Tally
from feedback_app.ui.operate_evidence import guard_rows, guards, marked, sparkline, win_rate
from tests.browser.worker_play import EVALUATION

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMITS: Mapping[str, float] = asdict(Limits())


@given(st.integers(0, 80), st.integers(0, 80))
def test_the_interval_drawn_is_the_interval_reported(wins: int, losses: int) -> None:
    if wins + losses:
        low, high = wilson_interval(wins, wins + losses)
        assert f"(95 % interval {low:.0%} to {high:.0%})" in win_rate(Tally(wins, losses), 60)


def test_no_votes_draw_no_point() -> None:
    assert "<svg" not in win_rate(Tally(), 60)
    assert "0 votes of 60" in win_rate(Tally(), 60)


def test_votes_draw_a_point_and_say_it_in_words() -> None:
    html = win_rate(Tally(30, 10, 5), 60)
    assert "75% of decided votes prefer it" in html
    assert "45 votes of 60: 30 for it, 10 against, 5 ties" in html
    assert 'class="half"' in html


def test_guards_are_green_near_their_limit_amber_and_beyond_it_red() -> None:
    kinds = {guard.name: guard.kind for guard in guards(EVALUATION, LIMITS)}
    assert kinds["What it can do, against the version before"] == "good"
    assert kinds["What it can do, against the base"] == "warn"
    assert kinds["How far it moved (KL)"] == "good"
    broken = {**EVALUATION, "kl": 99.0, "length_ratio": 3.0, "after": {**EVALUATION["after"], "repetition": 0.5}}
    kinds = {guard.name: guard.kind for guard in guards(broken, LIMITS)}
    assert [kinds[name] for name in ("How far it moved (KL)", "Length of its answers", "Repeating itself")] == [
        "bad"
    ] * 3


def test_without_limits_guards_show_numbers_and_no_colour() -> None:
    assert {guard.kind for guard in guards(EVALUATION, {})} == {""}


def test_a_row_says_its_colour_in_words_too() -> None:
    assert "beyond its limit" in guard_rows(guards({**EVALUATION, "kl": 99.0}, LIMITS))


def test_nothing_measured_shows_no_guards() -> None:
    assert guards({}, LIMITS) == []
    assert guard_rows([]) == ""


def test_differences_are_marked_and_nothing_is_lost() -> None:
    before, after = marked("Oslo is nice.", "Oslo is <very> nice.")
    assert "<del>" not in before
    assert after == "Oslo is <ins>&lt;very&gt; </ins>nice."


@given(st.text(alphabet="ab <&\n", max_size=40), st.text(alphabet="ab <&\n", max_size=40))
def test_marked_texts_without_marks_are_the_texts(before: str, after: str) -> None:
    from html import unescape

    shown = [unescape(html.replace(f"<{tag}>", "").replace(f"</{tag}>", "")) for html, tag in
             zip(marked(before, after), ("del", "ins"), strict=True)]  # fmt: skip
    assert shown == [before, after]


def test_a_sparkline_needs_two_values_and_survives_nan() -> None:
    assert sparkline([0.5], "Loss") == ""
    html = sparkline([0.7, float("nan"), 0.5, 0.5], "Loss")
    assert "from 0.700 to 0.500" in html
    assert "nan" not in html


def test_every_limit_the_page_names_is_one_of_the_gates() -> None:
    source = (Path(__file__).parents[3] / "feedback_app" / "ui" / "operate_evidence.py").read_text()
    for name in ("capability_loss", "capability_upper", "kl", "length_low", "length_high", "repetition_rise"):
        assert f'"{name}"' in source
        assert name in LIMITS


def test_a_random_walk_of_losses_stays_inside_its_frame() -> None:
    rng = random.Random(1)
    html = sparkline([rng.uniform(-5, 5) for _ in range(50)], "Loss", width=100, height=20)
    numbers = html.split('points="')[1].split('"')[0].replace(",", " ").split()
    assert all(0 <= float(x) <= 100 for x in numbers[::2])
    assert all(0 <= float(y) <= 20 for y in numbers[1::2])
