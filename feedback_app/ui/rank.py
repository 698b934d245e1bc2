"""The rank page: put answers in order without lifting your hands."""

from __future__ import annotations

import gradio as gr
from markupsafe import Markup

from feedback_app.parts import Parts
from feedback_app.ui.island import island
from feedback_app.ui.markup import button, html, says
from feedback_app.ui.rank_events import RankEvents
from feedback_app.ui.sitting import early_line, judging_page, why_panel

SIZES = Markup().join(
    html(
        '<button type="button" class="chip" data-act="size" data-size="{}" aria-pressed="{}" '
        'aria-label="{} answers">{}</button>',
        size,
        str(size == 4).lower(),
        size,
        size,
    )
    for size in (3, 4, 5)
)
SHELL = html(
    '{judging_page}<header class="top" data-region="top"></header><div data-region="model"></div><main '
    'class="sheet"><div class="row spread"><div class="progress grow" data-region="progress"></div>'
    '<div class="row sizes" role="group" aria-label="How many answers"><span class="small">Answers'
    '</span>{sizes}</div></div>{said}<section class="prompt" aria-label="Prompt"><p class="small">'
    'Prompt</p><div class="asked" data-region="prompt"></div></section><p class="small row '
    'waiting-line" data-waiting><span class="spin"></span><span data-word>Writing the answers</span>'
    '</p><div data-region="cards"></div><div class="decide">{why_panel}<p class="note" role="status" '
    'data-ask data-keep="ask" hidden><span>This order was drawn by chance. Move or tie the answers, or '
    'send it once more to keep it.</span></p><div class="verdicts two" role="group" aria-label="Your '
    'verdict"><button type="button" class="verdict send primary" data-act="send" '
    'aria-keyshortcuts="Enter" disabled><kbd>Enter</kbd><span data-word>Send this order</span></button>'
    '<button type="button" class="verdict cant" data-act="cant" aria-keyshortcuts="0" disabled><kbd>0'
    '</kbd><span>Can’t judge</span></button></div>{said_of_verdict}<div class="row spread foot"><div '
    'class="row">{why}<span class="small keys"><kbd>↑</kbd><kbd>↓</kbd> choose, <kbd>Shift</kbd> '
    "moves, <kbd>=</kbd> ties with the one above</span></div>{early_line}<div data-region='said' "
    "class='said' aria-live='polite'></div></div></div></main></div>",
    judging_page=judging_page("rank"),
    sizes=SIZES,
    said=says("page"),
    why_panel=why_panel(),
    said_of_verdict=says("verdict"),
    why=button("why", "Reasons", keys="R", pressed=False),
    early_line=early_line(),
)


def build_rank(parts: Parts) -> gr.Blocks:
    """The rank page's Blocks."""
    events = RankEvents(parts)
    with gr.Blocks(title="Rank · alignloop", analytics_enabled=False, fill_width=True) as page:
        island(parts, ("judging.js", "rank.js"), SHELL, events.act)
    return page
