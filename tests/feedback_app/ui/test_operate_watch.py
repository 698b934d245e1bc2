"""What a watch saw, drawn: reward and votes over √KL, which milestone was handed on and why."""

from __future__ import annotations

from typing import Any

from feedback_app.ui.operate_watch import watched

WATCH: dict[str, Any] = {
    "budget": 12,
    "judged": 8,
    "scripted": 4,
    "chosen": 4,
    "why": "The watch ended the run at step 12, because <it> lies behind.",
    "milestones": [
        {"step": 4, "distance": 0.5, "reward": 0.4, "wins": 3.5, "judged": 4},
        {"step": 8, "distance": 1.1, "reward": 0.9, "wins": 1.0, "judged": 4},
        {"step": 12, "distance": 1.6, "reward": 1.3, "wins": 0.0, "judged": 0},
    ],
}


def test_both_curves_are_drawn_over_the_distance() -> None:
    html = watched(WATCH)
    assert "Reward on the way, over √KL: 4 0.4, 8 0.9, 12 1.3" in html
    assert "Blind votes on the way, ties as half, over √KL: 4 87.5 %, 8 25 %" in html
    assert html.count("<svg") == 2


def test_it_says_why_the_run_ended_who_judged_and_what_was_handed_on() -> None:
    html = watched(WATCH)
    assert "because &lt;it&gt; lies behind. People gave 8 blind judgements, 4 of them scripted." in html
    rows = html.split("<tr>")
    assert ["handed on" in row for row in rows[2:]] == [True, False, False]


def test_nothing_is_drawn_where_nothing_was_watched_or_judged() -> None:
    assert watched(None) == ""
    nobody = {**WATCH, "judged": 0, "scripted": 0, "chosen": None, "why": "Nobody.", "milestones": []}
    assert watched(nobody) == '<h3>On the way</h3><p class="small">Nobody. People gave 0 blind judgements.</p>'
    unjudged = {**WATCH, "milestones": [{**seen, "wins": 0.0, "judged": 0} for seen in WATCH["milestones"]]}
    assert watched(unjudged).count("<svg") == 1
