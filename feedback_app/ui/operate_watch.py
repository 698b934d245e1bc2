"""What a watch saw in the middle of a training: reward and blind votes over √KL, and where it went. Pure HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignment.stats import wilson_interval
from feedback_app.ui.markup import count, esc
from feedback_app.ui.operate_chart import Measure, Point, scatter


def watched(watch: Mapping[str, Any] | None) -> str:
    """Both pictures and the same as a table, with why the run ended; empty where there was no watch."""
    if not watch:
        return ""
    scripted = f", {watch['scripted']} of them scripted" if watch["scripted"] else ""
    said = f"{watch['why']} People gave {count(int(watch['judged']), 'blind judgement')}{scripted}."
    head = f'<h3>On the way</h3><p class="small">{esc(said)}</p>'
    milestones: Sequence[Mapping[str, Any]] = watch["milestones"]
    if not milestones:
        return head
    points = [{**seen, "version": str(seen["step"])} for seen in milestones]
    rows = "".join(_row(seen, chosen=seen["step"] == watch["chosen"]) for seen in milestones)
    return (
        f'{head}<div class="pictures">{scatter(REWARD, points)}{scatter(VOTES, points)}</div>'
        '<details class="fold" id="watch-table"><summary>The milestones as a table</summary><div class="table">'
        '<table class="wide"><thead><tr><th class="number">Step</th><th class="number">√KL</th>'
        '<th class="number">Reward</th><th class="number">Judged</th><th class="number">For it, ties as half</th>'
        f"<th></th></tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(seen: Mapping[str, Any], *, chosen: bool) -> str:
    tag = '<span class="tag good">handed on</span>' if chosen else ""
    numbers = (f"{seen['distance']:.2f}", f"{seen['reward']:.2f}", f"{seen['judged']}", f"{seen['wins']:g}")
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'<tr><th scope="row" class="number">{seen["step"]}</th>{cells}<td>{tag}</td></tr>'


def _reward(point: Point) -> tuple[float, float | None, float | None] | None:
    return float(point["reward"]), None, None


def _votes(point: Point) -> tuple[float, float | None, float | None] | None:
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
