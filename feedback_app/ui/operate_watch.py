"""What a watch saw in the middle of a training: reward and blind votes over √KL, and where it went. Pure HTML."""

from __future__ import annotations

from markupsafe import Markup

from alignment.records import SeenMilestone, WatchRecord
from alignment.stats import wilson_interval
from feedback_app.ui.markup import count, html
from feedback_app.ui.operate_chart import Measure, Reading, scatter


def watched(watch: WatchRecord | None) -> Markup:
    """Both pictures and the same as a table, with why the run ended; empty where there was no watch."""
    if not watch:
        return Markup()
    scripted = f", {watch['scripted']} of them scripted" if watch["scripted"] else ""
    said = f"{watch['why']} People gave {count(int(watch['judged']), 'blind judgement')}{scripted}."
    head = html('<h3>On the way</h3><p class="small">{}</p>', said)
    milestones = watch["milestones"]
    if not milestones:
        return head
    rows = Markup().join(_row(seen, chosen=seen["step"] == watch["chosen"]) for seen in milestones)
    return html(
        '{}<div class="pictures">{}{}</div><details class="fold" id="watch-table"><summary>The milestones '
        'as a table</summary><div class="table"><table class="wide"><thead><tr><th class="number">Step</th>'
        '<th class="number">√KL</th><th class="number">Reward</th><th class="number">Judged</th><th '
        'class="number">For it, ties as half</th><th></th></tr></thead><tbody>{}</tbody></table></div>'
        "</details>",
        head,
        scatter(REWARD, milestones, _step, _distance),
        scatter(VOTES, milestones, _step, _distance),
        rows,
    )


def _row(seen: SeenMilestone, *, chosen: bool) -> Markup:
    tag = Markup('<span class="tag good">handed on</span>') if chosen else ""
    numbers = (f"{seen['distance']:.2f}", f"{seen['reward']:.2f}", f"{seen['judged']}", f"{seen['wins']:g}")
    cells = Markup().join(html('<td class="number">{}</td>', number) for number in numbers)
    return html('<tr><th scope="row" class="number">{}</th>{}<td>{}</td></tr>', seen["step"], cells, tag)


def _step(seen: SeenMilestone) -> int:
    return seen["step"]


def _distance(seen: SeenMilestone) -> float:
    return seen["distance"]


def _reward(point: SeenMilestone) -> Reading:
    return float(point["reward"]), None, None


def _votes(point: SeenMilestone) -> Reading | None:
    judged = int(point["judged"])
    if not judged:
        return None
    wins = float(point["wins"])
    low, high = wilson_interval(wins, judged)
    return wins / judged, low, high


REWARD = Measure("Reward on the way", _reward, lambda value: f"{round(value, 2):g}", None, "in spreads of the start")
VOTES = Measure(
    "Blind votes on the way, ties as half", _votes, lambda value: f"{100 * value:.3g} %", 0.5, "dashed: even"
)
