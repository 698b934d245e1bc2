"""The compare page: read two answers, press one key, next."""

from __future__ import annotations

import gradio as gr

from feedback_app.domain.judging import Mark
from feedback_app.parts import Parts
from feedback_app.ui.compare_events import CompareEvents
from feedback_app.ui.island import island
from feedback_app.ui.markup import button, esc, icon, says
from feedback_app.ui.sitting import early_line, judging_page, why_panel

# key, choice, full words, words on the button
VERDICTS = (
    ("1", "a_clearly", "A is clearly better", "A clearly"),
    ("2", "a_slightly", "A is slightly better", "A slightly"),
    ("3", "tie", "They are equally good", "Tie"),
    ("4", "b_slightly", "B is slightly better", "B slightly"),
    ("5", "b_clearly", "B is clearly better", "B clearly"),
    ("0", "cant", "I cannot judge this", "Can’t judge"),
)


def card(side: str, key: str) -> str:
    """One of two equal cards; `key` says yes, no or nothing to "good enough?" in turn."""
    name = side.upper()
    options = "".join(
        f'<button type="button" class="chip" data-act="enough" data-side="{side}" data-mark="{mark}" '
        f'aria-pressed="false" disabled>{esc(word)}</button>'
        for mark, word in ((Mark.GOOD, "Yes"), (Mark.BAD, "No"))
    )
    return (
        f'<section class="pair-card" data-side="{side}" aria-label="Answer {name}">'
        f'<h2><span class="letter">{name}</span></h2><div class="md" data-text="{side}"></div>'
        f'<label class="fix" data-fix="{side}" hidden>'
        f"Answer {name} as it should read (others may compare it with this one)"
        f'<textarea data-correction="{side}" rows="4" maxlength="20000" autocomplete="off"></textarea></label>'
        f'<div class="enough" role="group" aria-label="Is answer {name} good enough?"><span>Good enough?</span>'
        f"{options}<kbd>{key}</kbd></div></section>"
    )


def verdict_bar() -> str:
    """One row of verdicts, asleep until both answers are there."""
    buttons = "".join(
        f'<button type="button" class="verdict {choice.split("_")[0]}" data-act="verdict" data-choice="{choice}" '
        f'aria-label="{esc(full)}" aria-keyshortcuts="{key}" title="{esc(full)}" disabled><kbd>{key}</kbd>'
        f"<span data-word>{esc(short)}</span></button>"
        for key, choice, full, short in VERDICTS
    )
    return f'<div class="verdicts" role="group" aria-label="Your verdict">{buttons}</div>'


SHELL = (
    f'{judging_page("compare")}<header class="top" data-region="top"></header><div data-region="model"></div>'
    f'<main class="sheet"><div class="progress" data-region="progress"></div>{says("page")}'
    '<section class="prompt" aria-label="Prompt"><p class="small">Prompt</p><div class="asked" data-prompt>'
    '<span class="small row"><span class="spin"></span>Getting two answers</span></div></section>'
    f'<div class="pair">{card("a", "Q")}{card("b", "P")}</div>'
    f'<div class="decide">{why_panel()}{verdict_bar()}{says("verdict")}'
    '<div class="row spread foot"><div class="row">'
    + button("why", "Reasons", keys="R", pressed=False)
    + button("fix", "Correct", keys="E", pressed=False)
    + f"</div>{early_line()}<div data-region='said' class='said' aria-live='polite'></div></div></div>"
    f'<details class="own"><summary>{icon("edit")}Compare on a prompt of your own</summary>'
    '<form data-act="own" class="row"><input name="prompt" class="grow" aria-label="Your prompt" '
    'placeholder="Write a prompt" autocomplete="off" data-own><button type="submit" class="outline">'
    f"Get two answers</button></form>{says('own')}</details></main></div>"
)


def build_compare(parts: Parts) -> gr.Blocks:
    """The compare page's Blocks."""
    events = CompareEvents(parts)
    with gr.Blocks(title="Compare · alignloop", analytics_enabled=False, fill_width=True) as page:
        island(parts, ("judging.js", "compare.js"), SHELL, events.act, events.listen)
    return page
