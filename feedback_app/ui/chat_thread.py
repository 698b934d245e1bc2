"""A conversation as HTML: messages, the quiet row under each answer, reasons in place, the side bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from feedback_app.domain.conversations import FinishReason, Speaker
from feedback_app.domain.judging import Mark
from feedback_app.ui.chat_turns import Rating, Talked, Turn
from feedback_app.ui.markup import attributes, button, html, icon, prose

if TYPE_CHECKING:
    from feedback_app.store.tables import Conversation

GOOD_REASONS = ("Accurate", "Clear", "Friendly", "Right length", "Honest about doubt")
BAD_REASONS = ("Wrong", "Too long", "Too short", "Unfriendly", "Claims too much", "Off the point")


def thread(talked: Talked | None, pending: bool, saved: str = "", editing: str = "") -> Markup:
    """Every turn. `pending` puts an empty answer at the end for the stream; `saved` names what was just judged."""
    if talked is None or not talked.turns:
        return Markup()
    parts = []
    for turn in talked.turns:
        if turn.id == talked.reads_from:
            parts.append(
                Markup(
                    '<p class="reads-from" id="reads-from"><span>The model reads from here on; what stands above no '
                    "longer fits its window</span></p>"
                )
            )
        parts.append(
            question(turn) if turn.role == Speaker.USER else answer(turn, turn.id == saved, turn.id == editing)
        )
    last = talked.turns[-1]
    if pending:
        parts.append(
            Markup(
                '<article class="turn answer" id="pending" aria-label="Answer" aria-busy="true"><div class="md '
                'live" data-live data-keep="live"></div><p class="small wait" data-wait><span class="spin"></span> '
                '<span data-word data-keep="word">Writing</span></p></article>'
            )
        )
    elif last.role == Speaker.USER:
        again = button("retry", "Answer this", symbol="retry", kind="outline", message=last.id)
        parts.append(
            html(
                '<div class="turn unanswered" id="unanswered"><p class="small">This has no answer yet.</p>{}</div>',
                again,
            )
        )
    return Markup().join(parts)


def question(turn: Turn) -> Markup:
    """What the person wrote, as it was typed."""
    return html('<article class="turn question" id="m-{}" aria-label="You"><p>{}</p></article>', turn.id, turn.text)


def answer(turn: Turn, saved: bool, editing: bool) -> Markup:
    """What the model wrote, its quiet row, and in place below it reasons, comment and correction.

    `data-saw` is the judgement that is shown as standing: the page sends it with every rating.
    """
    rating = turn.rating
    corrected = (
        html(
            '<div class="correction"><p class="small">Your correction</p><div class="md">{}</div></div>',
            prose(rating.correction),
        )
        if rating.correction and not editing
        else ""
    )
    endings: dict[str, str] = {
        FinishReason.LENGTH: "Cut off at the longest answer allowed.",
        FinishReason.STOPPED: "Stopped.",
        FinishReason.FAILED: "This answer broke off.",
    }
    cut = endings.get(turn.finish_reason, "")
    ended = html('<p class="small cut">{}</p>', cut) if cut else ""
    panel = edit_form(turn) if editing else reasons(turn) if rating.mark else ""
    return html(
        '<article class="turn answer" id="m-{id}" data-saw="{judgement_id}" aria-label="Answer"><div '
        'class="md">{prose}</div>{ended}{corrected}{quiet_row}{panel}</article>',
        id=turn.id,
        judgement_id=rating.judgement_id,
        prose=prose(turn.text),
        ended=ended,
        corrected=corrected,
        quiet_row=quiet_row(turn, saved),
        panel=panel,
    )


def quiet_row(turn: Turn, saved: bool) -> Markup:
    """Like, dislike, edit, retry, copy, which of several, what was saved, and the version in small type."""
    rating, closed = turn.rating, not turn.rating.open
    late = "The time to rate this answer has passed" if closed and turn.rating.ticket_id else ""
    ours = {"ticket": rating.ticket_id, "message": turn.id}
    row = [
        button("mark", symbol="like", label=late or "Good answer", pressed=rating.mark == Mark.GOOD, disabled=closed,
               mark="" if rating.mark == Mark.GOOD else Mark.GOOD, **ours),
        button("mark", symbol="dislike", label=late or "Bad answer", pressed=rating.mark == Mark.BAD, disabled=closed,
               mark="" if rating.mark == Mark.BAD else Mark.BAD, **ours),
        button("edit", symbol="edit", label=late or "Edit the answer", pressed=bool(rating.correction) or None,
               disabled=closed, message=turn.id),
        button("retry", symbol="retry", label="Answer again", message=turn.id),
        button("copy", symbol="copy", label="Copy", message=turn.id),
    ]  # fmt: skip
    confirmed = ""
    if rating.judgement_id and saved:
        undo = button("undo", "Undo", judgement=rating.judgement_id, message=turn.id, kind="quiet link")
        confirmed = html('<span class="saved" role="status">{}Saved{}</span>', icon("check"), undo)
    version = html('<span class="version mono" title="The version that wrote this">{}</span>', turn.version)
    return html('<div class="quiet-row">{}{}{}{}</div>', Markup().join(row), _which(turn), confirmed, version)


def _which(turn: Turn) -> Markup:
    if len(turn.siblings) < 2:
        return Markup()
    at = turn.siblings.index(turn.id)
    before = button("sibling", symbol="left", label="Earlier answer", disabled=at == 0,
                    message=turn.siblings[max(0, at - 1)])  # fmt: skip
    after = button("sibling", symbol="right", label="Later answer", disabled=at == len(turn.siblings) - 1,
                   message=turn.siblings[min(len(turn.siblings) - 1, at + 1)])  # fmt: skip
    return html(
        '<span class="which">{}<span class="small">{} of {}</span>{}</span>', before, at + 1, len(turn.siblings), after
    )


def reason_chips(names: Sequence[str], chosen: Sequence[str], **data: object) -> Markup:
    """Chips that switch a reason on and off; reasons said elsewhere stay listed."""
    shown = [*names, *(name for name in chosen if name not in names)]
    common = {"type": "button", "class_": "chip", "data_act": "reason"} | {f"data_{key}": data[key] for key in data}
    chips = []
    for name in shown:
        marks = attributes(**common, data_reason=name, aria_pressed="true" if name in chosen else "false")
        chips.append(html("<button{}>{}</button>", marks, name))
    return Markup().join(chips)


def reasons(turn: Turn) -> Markup:
    """Why it was good or bad: in place, saved chip by chip, and easily ignored."""
    rating: Rating = turn.rating
    names = GOOD_REASONS if rating.mark == Mark.GOOD else BAD_REASONS
    asked = "What was good about it?" if rating.mark == Mark.GOOD else "What was wrong with it?"
    chips = reason_chips(names, rating.reasons, ticket=rating.ticket_id, message=turn.id)
    return html(
        '<div class="why" id="why-{id}"><p class="small">{asked} <span>Optional</span></p><div '
        'class="chips" role="group" aria-label="{asked}">{chips}</div><form class="comment" '
        'data-act="comment" data-ticket="{ticket_id}" data-message="{id}"><input name="comment" '
        'aria-label="Comment" placeholder="A comment, in your words" maxlength="4000" autocomplete="off" '
        'data-draft="comment.{id}" value="{comment}"><button type="submit" class="outline">{save}'
        "</button></form></div>",
        id=turn.id,
        asked=asked,
        chips=chips,
        ticket_id=rating.ticket_id,
        comment=rating.comment,
        save="Saved" if rating.comment else "Add",
    )


def edit_form(turn: Turn) -> Markup:
    """The answer as it should have been: a correction, kept beside the answer."""
    text = turn.rating.correction or turn.text
    return html(
        '<form class="edit" id="edit-{id}" data-act="correct" data-ticket="{ticket_id}" '
        'data-message="{id}"><label>How should the answer read? The model learns from your version.'
        '<textarea name="correction" rows="4" maxlength="20000" autocomplete="off" data-draft="edit.{id}">'
        '{text}</textarea></label><div class="row"><button type="submit" class="primary">Save the '
        "correction</button>{button}</div></form>",
        id=turn.id,
        ticket_id=turn.rating.ticket_id,
        text=text,
        button=button("edit-close", "Cancel"),
    )


def side_bar(conversations: Sequence[Conversation], current: str, renaming: str = "") -> Markup:
    """Every conversation of this person, the newest first, with rename and delete on each."""
    new = button("new", "New conversation", symbol="plus", kind="outline")
    items = []
    for conversation in conversations:
        title = conversation.title or "New conversation"
        if conversation.id == renaming:
            items.append(
                html(
                    '<li id="c-{}" class="renaming"><form data-act="rename" data-of="{}"><input name="title" '
                    'value="{}" maxlength="120" aria-label="Title of the conversation"><button type="submit" '
                    'class="icon-only" aria-label="Save the title">{}</button></form></li>',
                    conversation.id,
                    conversation.id,
                    title,
                    icon("check"),
                )
            )
            continue
        here = conversation.id == current
        address, current_mark = f"/?c={conversation.id}", "true" if here else None
        marks = attributes(href=address, data_act="open", data_of=conversation.id, aria_current=current_mark)
        opener = html("<a{}>{}</a>", marks, title)
        tools = button("rename-open", symbol="edit", label=f"Rename {title}", of=conversation.id) + button(
            "delete", symbol="trash", label=f"Delete {title}", of=conversation.id
        )
        items.append(html('<li id="c-{}">{}<span class="tools">{}</span></li>', conversation.id, opener, tools))
    listed = html('<ul aria-label="Conversations">{}</ul>', Markup().join(items)) if items else ""
    empty = "" if items else Markup('<p class="small empty">Your conversations will stand here.</p>')
    return new + listed + empty


def welcome(examples: Sequence[str], kept: str) -> Markup:
    """A first visit: what the model can do, in three prompts, and one line on what is kept."""
    cards = Markup().join(
        html('<button type="button" class="outline example" data-act="example" data-text="{}">{}</button>', text, text)
        for text in examples[:3]
    )
    return html(
        '<div class="welcome" id="welcome"><h1>What would you like to ask?</h1><div class="examples">{}'
        '</div><p class="small">{}</p></div>',
        cards,
        kept,
    )
