"""The chat page: talk, and say in passing what you thought."""

from __future__ import annotations

import gradio as gr
from markupsafe import Markup

from feedback_app.parts import Parts
from feedback_app.ui.chat_events import ChatEvents
from feedback_app.ui.island import island
from feedback_app.ui.markup import button, html, says

SHELL = (
    html(
        '<div class="al chat"><header class="top" data-region="top"></header><div data-region="model">'
        '</div><div class="chat-body"><aside class="side" data-region="side" aria-label="Conversations">'
        '</aside><div class="veil" data-act="menu"></div><main class="talk"><div class="thread" '
        'data-region="thread" aria-live="polite" aria-relevant="additions"></div><div class="dock">{}{}'
        '<form class="composer" data-act="send"><textarea name="text" rows="1" placeholder="Write a '
        'message" aria-label="Message" data-grow autofocus></textarea>',
        says("page"),
        says("composer"),
    )
    + button("send-click", symbol="send", label="Send", kind="primary round send")
    + button("stop", symbol="stop", label="Stop", kind="primary round stop")
    + Markup('</form><p class="small hint">Enter sends, Shift+Enter starts a new line</p></div></main></div></div>')
)


def build_chat(parts: Parts) -> gr.Blocks:
    """The chat page's Blocks."""
    events = ChatEvents(parts)
    with gr.Blocks(title="alignloop", analytics_enabled=False, fill_width=True) as page:
        island(parts, ("chat.js",), SHELL, events.act, events.listen)
    return page
