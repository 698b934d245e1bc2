"""The pictures over rounds, drawn from values: inside their frames, said in words, silent on what was not measured."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedback_app.ui.operate_chart import MEASURES, PROXY, over_rounds, short, ticks

HEIGHT = 152


def point(number: int, **more: Any) -> dict[str, Any]:
    """One round's numbers, as `loop.history.figures` gives them."""
    return {
        "round": number,
        "version": f"policy-{number:04d}",
        "start_from": "base",
        "started_from": "base",
        "capability": {"n": 600, "lost_to_base": {"points": 0.5 * number, "upper": 0.5 * number + 1.5}},
        "language": {"challenger": 1.02, "base": 1.0, "added": 0.01 * number},
        "kl": {"to_incumbent": 1.0, "to_base": float(number)},
        "distance": 1.0,
        "votes": {"win_rate": 0.6, "interval": [0.5, 0.7]},
        "proxy": None,
        "answers": {"words": 14.0 + number, "repetition": 0.02, "refusals": 0.08},
        **more,
    }


def test_an_empty_history_says_what_will_stand_here() -> None:
    html = over_rounds([])
    assert "No version has been evaluated yet" in html
    assert "<svg" not in html


def test_every_measure_is_a_picture_with_a_sentence_and_a_row_of_the_table() -> None:
    html = over_rounds([point(1), point(2), point(3)])
    assert html.count("<figure") == len(MEASURES) == html.count('role="img"')
    assert 'aria-label="Capability against the base, points: 1 −0.5, 2 −1, 3 −1.5"' in html
    assert 'aria-label="Distance from the base, √KL: 1 1, 2 1.41, 3 1.73"' in html
    assert "60 %" in html
    assert html.index('<th scope="row">policy-0003') < html.index('<th scope="row">policy-0001'), "newest first"


def test_what_was_not_measured_is_left_out_and_not_drawn_as_zero() -> None:
    older = point(1, language=None, kl={"to_incumbent": 1.0, "to_base": None}, votes=None)
    html = over_rounds([older, point(2)])
    assert "Language-model loss over the base’s: 2 +0.02" in html
    assert "Blind votes for it, ties as half: 2 60 %" in html
    alone = over_rounds([older])
    assert "Blind votes for it, ties as half: " not in alone
    assert '<td class="number">–</td>' in alone
    unasked = {"n": 0, "lost_to_base": {"points": 0.0, "upper": 100.0}}
    assert "Capability against the base, points: " not in over_rounds([point(1, capability=unasked)])


def test_a_reward_model_is_shown_against_people_over_the_distance_only_where_there_was_one() -> None:
    assert "The reward model against people" not in over_rounds([point(1)])
    html = over_rounds([point(1), point(2, proxy={"gain": 1.5}, distance=1.2), point(3, proxy={"gain": 3.0})])
    assert "The reward model against people" in html
    assert f'aria-label="{PROXY.title}, over √KL: 2 1.5, 3 3"' in html


def test_everything_is_drawn_inside_its_frame() -> None:
    wild = [point(n, votes={"win_rate": 0.01 * n, "interval": [0.0, 1.0]}) for n in range(1, 25)]
    wild[3]["capability"]["lost_to_base"] = {"points": -40.0, "upper": 80.0}
    html = over_rounds(wild)
    for x, y in re.findall(r'c[xy]="([\d.-]+)" c?y="([\d.-]+)"', html):
        assert 0 <= float(x) <= 320
        assert 0 <= float(y) <= HEIGHT
    assert all(0 <= float(y) <= HEIGHT for y in re.findall(r'y[12]="([\d.-]+)"', html))


def test_names_below_do_not_run_into_each_other() -> None:
    html = over_rounds([point(n) for n in range(1, 25)])
    first = html.split("</figure>")[0]
    places = [float(x) for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="middle"', first)]
    assert 2 <= len(places) <= 7
    assert min(b - a for a, b in pairwise(places)) >= 40


def test_what_versions_are_called_is_escaped() -> None:
    html = over_rounds([point(1, version="<b>", started_from="<i>")])
    assert "<b>" not in html
    assert "<i>" not in html


@pytest.mark.parametrize(
    ("version", "said"),
    [("policy-0007", "7"), ("policy-0120", "120"), ("policy-0000", "0000"), ("a-long-name", "g-name")],
)
def test_a_version_is_called_by_its_number(version: str, said: str) -> None:
    assert short(version) == said


@given(st.floats(-1e4, 1e4), st.floats(0, 1e4))
@example(5e-324, 0.0)
@example(5e-324, 5e-324)
@example(1e4, 2e-9)
def test_ticks_hold_both_ends_and_are_few(low: float, span: float) -> None:
    found = ticks(low, low + span)
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * max(1.0, abs(low), step)
    assert found[-1] >= low + span - 1e-6 * max(1.0, abs(low), step)
    assert 2 <= len(found) <= 7
