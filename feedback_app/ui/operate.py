"""The operate page: see the loop round_, see the evidence, decide."""

from __future__ import annotations

import gradio as gr

from feedback_app.parts import Parts
from feedback_app.ui.island import island
from feedback_app.ui.markup import says
from feedback_app.ui.operate_events import OperateEvents

SHELL = (
    '<div class="al operate"><header class="top" data-region="top"></header><div data-region="model"></div>'
    f'<main class="sheet"><h1 class="sr">Operate</h1>{says("page")}'
    '<div class="stack" data-region="alarms"></div>'
    '<section class="loop" aria-label="The loop"><div data-region="strip"></div>'
    f'<div class="row action" data-region="action"></div>{says("round")}</section>'
    '<section class="panel" aria-label="Evidence"><div class="stack" data-region="evidence"></div>'
    f'<div class="row decisions" data-region="decisions"></div>{says("decide")}</section>'
    '<section class="panel" data-region="collected" aria-label="Collected"></section>'
    '<section class="panel" data-region="over" aria-label="Over the rounds"></section>'
    '<section class="panel" data-region="rounds" aria-label="Rounds"></section>'
    '<section class="panel" data-region="versions" aria-label="Versions"></section>'
    '<div class="halves"><section class="panel" aria-label="People"><div class="stack" data-region="people"></div>'
    f'{says("people")}</section><section class="panel" aria-label="Schedule"><div class="stack" data-region="schedule">'
    f"</div>{says('schedule')}</section></div></main></div>"
)


def build_operate(parts: Parts) -> gr.Blocks:
    """The operate page's Blocks."""
    events = OperateEvents(parts)
    with gr.Blocks(title="Operate · alignloop", analytics_enabled=False, fill_width=True) as page:
        island(parts, ("operate.js",), SHELL, events.act)
    return page
