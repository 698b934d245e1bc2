"""The compare page: read two answers, press one key, next."""

from __future__ import annotations

import gradio as gr
from markupsafe import Markup

from feedback_app.domain.judging import Mark
from feedback_app.parts import Parts
from feedback_app.ui.compare_events import CompareEvents
from feedback_app.ui.island import island
from feedback_app.ui.markup import button, html, icon, says
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


def card(side: str, key: str) -> Markup:
    """One of two equal cards; `key` says yes, no or nothing to "good enough?" in turn."""
    name = side.upper()
    options = Markup().join(
        html(
            '<button type="button" class="chip" data-act="enough" data-side="{}" data-mark="{}" '
            'aria-pressed="false" disabled>{}</button>',
            side,
            mark,
            word,
        )
        for mark, word in ((Mark.GOOD, "Yes"), (Mark.BAD, "No"))
    )
    return html(
        '<section class="pair-card" data-side="{side}" aria-label="Answer {name}"><h2><span class="letter">'
        '{name}</span></h2><div class="md" data-text="{side}"></div><label class="fix" data-fix="{side}" '
        "hidden>Answer {name} as it should read (others may compare it with this one)<textarea "
        'data-correction="{side}" rows="4" maxlength="20000" autocomplete="off"></textarea></label><div '
        'class="enough" role="group" aria-label="Is answer {name} good enough?"><span>Good enough?</span>'
        "{options}<kbd>{key}</kbd></div></section>",
        side=side,
        name=name,
        options=options,
        key=key,
    )


def verdict_bar() -> Markup:
    """One row of verdicts, asleep until both answers are there."""
    buttons = Markup().join(
        html(
            '<button type="button" class="verdict {side}" data-act="verdict" data-choice="{choice}" '
            'aria-label="{full}" aria-keyshortcuts="{key}" title="{full}" disabled><kbd>{key}</kbd><span '
            "data-word>{short}</span></button>",
            side=choice.split("_")[0],
            choice=choice,
            full=full,
            key=key,
            short=short,
        )
        for key, choice, full, short in VERDICTS
    )
    return html('<div class="verdicts" role="group" aria-label="Your verdict">{}</div>', buttons)


SHELL = (
    html(
        '{judging_page}<header class="top" data-region="top"></header><div data-region="model"></div><main '
        'class="sheet"><div class="progress" data-region="progress"></div>{said}<section class="prompt" '
        'aria-label="Prompt"><div data-earlier></div><p class="small">Prompt</p><div class="asked" data-prompt>'
        '<span class="small row"><span class="spin"></span>Getting two answers</span></div></section><div class="pair">'
        '{a}{b}</div><div class="decide">{why_panel}{verdict_bar}{said_of_verdict}<div class="row spread '
        'foot"><div class="row">',
        judging_page=judging_page("compare"),
        said=says("page"),
        a=card("a", "Q"),
        b=card("b", "P"),
        why_panel=why_panel(),
        verdict_bar=verdict_bar(),
        said_of_verdict=says("verdict"),
    )
    + button("why", "Reasons", keys="R", pressed=False)
    + button("fix", "Correct", keys="E", pressed=False)
    + html(
        "</div>{}<div data-region='said' class='said' aria-live='polite'></div></div></div><details "
        'class="own"><summary>{}Compare on a prompt of your own</summary><form data-act="own" class="row">'
        '<input name="prompt" class="grow" aria-label="Your prompt" placeholder="Write a prompt" '
        'autocomplete="off" data-own><button type="submit" class="outline">Get two answers</button></form>'
        "{}</details></main></div>",
        early_line(),
        icon("edit"),
        says("own"),
    )
)


def build_compare(parts: Parts) -> gr.Blocks:
    """The compare page's Blocks."""
    events = CompareEvents(parts)
    with gr.Blocks(title="Compare · alignloop", analytics_enabled=False, fill_width=True) as page:
        island(parts, ("judging.js", "compare.js"), SHELL, events.act, events.listen)
    return page
