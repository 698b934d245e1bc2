"""The operate page: see the loop round_, see the evidence, decide."""

from __future__ import annotations

import gradio as gr

from feedback_app.parts import Parts
from feedback_app.ui.island import island
from feedback_app.ui.markup import html, says
from feedback_app.ui.operate_events import OperateEvents
from feedback_app.ui.operate_import import FORM

SHELL = html(
    '<div class="al operate"><header class="top" data-region="top"></header><div data-region="model">'
    '</div><main class="sheet"><h1 class="sr">Operate</h1>{page}<div class="stack" '
    'data-region="alarms"></div><section class="loop" aria-label="The loop"><div data-region="strip">'
    '</div><div class="row action" data-region="action"></div>{round}</section><section class="panel" '
    'aria-label="Evidence"><div class="stack" data-region="evidence"></div><div class="row decisions" '
    'data-region="decisions"></div>{decide}</section><section class="panel" data-region="collected" '
    'aria-label="Collected"></section><section class="panel" aria-label="Bring a file">{bring}</section>'
    '<section class="panel" data-region="over" aria-label="Over the '
    'rounds"></section><section class="panel" data-region="rounds" aria-label="Rounds"></section>'
    '<section class="panel" data-region="versions" aria-label="Versions"></section><div class="halves">'
    '<section class="panel" aria-label="People"><div class="stack" data-region="people"></div>{people}'
    '</section><section class="panel" aria-label="Schedule"><div class="stack" data-region="schedule">'
    "</div>{schedule}</section></div></main></div>",
    page=says("page"),
    bring=FORM,
    round=says("round"),
    decide=says("decide"),
    people=says("people"),
    schedule=says("schedule"),
)


def build_operate(parts: Parts) -> gr.Blocks:
    """The operate page's Blocks."""
    events = OperateEvents(parts)
    with gr.Blocks(title="Operate · alignloop", analytics_enabled=False, fill_width=True) as page:
        island(parts, ("operate.js",), SHELL, events.act)
    return page
