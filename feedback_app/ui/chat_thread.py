"""A conversation as HTML: messages, the quiet row under each answer, reasons in place, the side bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedback_app.domain.conversations import FinishReason, Speaker
from feedback_app.domain.judging import Mark
from feedback_app.ui.chat_turns import Rating, Talked, Turn
from feedback_app.ui.markup import attributes, button, esc, icon, prose

if TYPE_CHECKING:
    from feedback_app.store.tables import Conversation

GOOD_REASONS = ("Accurate", "Clear", "Friendly", "Right length", "Honest about doubt")
BAD_REASONS = ("Wrong", "Too long", "Too short", "Unfriendly", "Claims too much", "Off the point")


def thread(talked: Talked | None, pending: bool, saved: str = "", editing: str = "") -> str:
    """Every turn. `pending` puts an empty answer at the end for the stream; `saved` names what was just judged."""
    if talked is None or not talked.turns:
        return ""
    parts = []
    for turn in talked.turns:
        if turn.id == talked.reads_from:
            parts.append(
                '<p class="reads-from" id="reads-from"><span>The model reads from here on; '
                "what stands above no longer fits its window</span></p>"
            )
        parts.append(
            question(turn) if turn.role == Speaker.USER else answer(turn, turn.id == saved, turn.id == editing)
        )
    last = talked.turns[-1]
    if pending:
        parts.append(
            '<article class="turn answer" id="pending" aria-label="Answer" aria-busy="true">'
            '<div class="md live" data-live data-keep="live"></div>'
            '<p class="small wait" data-wait><span class="spin"></span> '
            '<span data-word data-keep="word">Writing</span></p></article>'
        )
    elif last.role == Speaker.USER:
        again = button("retry", "Answer this", symbol="retry", kind="outline", message=last.id)
        parts.append(
            f'<div class="turn unanswered" id="unanswered"><p class="small">This has no answer yet.</p>{again}</div>'
        )
    return "".join(parts)


def question(turn: Turn) -> str:
    """What the person wrote, as it was typed."""
    return f'<article class="turn question" id="m-{turn.id}" aria-label="You"><p>{esc(turn.text)}</p></article>'


def answer(turn: Turn, saved: bool, editing: bool) -> str:
    """What the model wrote, its quiet row, and in place below it reasons, comment and correction.

    `data-saw` is the judgement that is shown as standing: the page sends it with every rating.
    """
    rating = turn.rating
    corrected = (
        '<div class="correction"><p class="small">Your correction</p>'
        f'<div class="md">{prose(rating.correction)}</div></div>'
        if rating.correction and not editing
        else ""
    )
    cut = {
        FinishReason.LENGTH: "Cut off at the longest answer allowed.",
        FinishReason.STOPPED: "Stopped.",
        FinishReason.FAILED: "This answer broke off.",
    }.get(turn.finish_reason, "")
    ended = f'<p class="small cut">{esc(cut)}</p>' if cut else ""
    panel = edit_form(turn) if editing else reasons(turn) if rating.mark else ""
    return (
        f'<article class="turn answer" id="m-{turn.id}" data-saw="{esc(rating.judgement_id)}" aria-label="Answer">'
        f'<div class="md">{prose(turn.text)}</div>{ended}{corrected}{quiet_row(turn, saved)}{panel}</article>'
    )


def quiet_row(turn: Turn, saved: bool) -> str:
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
        confirmed = f'<span class="saved" role="status">{icon("check")}Saved{undo}</span>'
    version = f'<span class="version mono" title="The version that wrote this">{esc(turn.version)}</span>'
    return f'<div class="quiet-row">{"".join(row)}{_which(turn)}{confirmed}{version}</div>'


def _which(turn: Turn) -> str:
    if len(turn.siblings) < 2:
        return ""
    at = turn.siblings.index(turn.id)
    before = button("sibling", symbol="left", label="Earlier answer", disabled=at == 0,
                    message=turn.siblings[max(0, at - 1)])  # fmt: skip
    after = button("sibling", symbol="right", label="Later answer", disabled=at == len(turn.siblings) - 1,
                   message=turn.siblings[min(len(turn.siblings) - 1, at + 1)])  # fmt: skip
    return f'<span class="which">{before}<span class="small">{at + 1} of {len(turn.siblings)}</span>{after}</span>'


def reason_chips(names: Sequence[str], chosen: Sequence[str], **data: object) -> str:
    """Chips that switch a reason on and off; reasons said elsewhere stay listed."""
    shown = [*names, *(name for name in chosen if name not in names)]
    common = {"type": "button", "class_": "chip", "data_act": "reason"} | {f"data_{key}": data[key] for key in data}
    chips = []
    for name in shown:
        marks = attributes(**common, data_reason=name, aria_pressed="true" if name in chosen else "false")
        chips.append(f"<button{marks}>{esc(name)}</button>")
    return "".join(chips)


def reasons(turn: Turn) -> str:
    """Why it was good or bad: in place, saved chip by chip, and easily ignored."""
    rating: Rating = turn.rating
    names = GOOD_REASONS if rating.mark == Mark.GOOD else BAD_REASONS
    asked = "What was good about it?" if rating.mark == Mark.GOOD else "What was wrong with it?"
    chips = reason_chips(names, rating.reasons, ticket=rating.ticket_id, message=turn.id)
    return (
        f'<div class="why" id="why-{turn.id}"><p class="small">{asked} <span>Optional</span></p>'
        f'<div class="chips" role="group" aria-label="{asked}">{chips}</div>'
        f'<form class="comment" data-act="comment" data-ticket="{esc(rating.ticket_id)}" data-message="{turn.id}">'
        f'<input name="comment" aria-label="Comment" placeholder="A comment, in your words" maxlength="4000" '
        f'autocomplete="off" data-draft="comment.{turn.id}" value="{esc(rating.comment)}">'
        f'<button type="submit" class="outline">{"Saved" if rating.comment else "Add"}</button></form></div>'
    )


def edit_form(turn: Turn) -> str:
    """The answer as it should have been: a correction, kept beside the answer."""
    text = turn.rating.correction or turn.text
    return (
        f'<form class="edit" id="edit-{turn.id}" data-act="correct" data-ticket="{esc(turn.rating.ticket_id)}" '
        f'data-message="{turn.id}"><label>How should the answer read? The model learns from your version.'
        f'<textarea name="correction" rows="4" maxlength="20000" autocomplete="off" data-draft="edit.{turn.id}">'
        f'{esc(text)}</textarea></label><div class="row"><button type="submit" class="primary">'
        f"Save the correction</button>{button('edit-close', 'Cancel')}</div></form>"
    )


def side_bar(conversations: Sequence[Conversation], current: str, renaming: str = "") -> str:
    """Every conversation of this person, the newest first, with rename and delete on each."""
    new = button("new", "New conversation", symbol="plus", kind="outline")
    items = []
    for conversation in conversations:
        title = conversation.title or "New conversation"
        if conversation.id == renaming:
            items.append(
                f'<li id="c-{conversation.id}" class="renaming"><form data-act="rename" data-of="{conversation.id}">'
                f'<input name="title" value="{esc(title)}" maxlength="120" aria-label="Title of the conversation">'
                f'<button type="submit" class="icon-only" aria-label="Save the title">{icon("check")}</button>'
                "</form></li>"
            )
            continue
        here = conversation.id == current
        address, current_mark = f"/?c={conversation.id}", "true" if here else None
        marks = attributes(href=address, data_act="open", data_of=conversation.id, aria_current=current_mark)
        opener = f"<a{marks}>{esc(title)}</a>"
        tools = button("rename-open", symbol="edit", label=f"Rename {title}", of=conversation.id) + button(
            "delete", symbol="trash", label=f"Delete {title}", of=conversation.id
        )
        items.append(f'<li id="c-{conversation.id}">{opener}<span class="tools">{tools}</span></li>')
    listed = f'<ul aria-label="Conversations">{"".join(items)}</ul>' if items else ""
    empty = "" if items else '<p class="small empty">Your conversations will stand here.</p>'
    return f"{new}{listed}{empty}"


def welcome(examples: Sequence[str], kept: str) -> str:
    """A first visit: what the model can do, in three prompts, and one line on what is kept."""
    cards = "".join(
        f'<button type="button" class="outline example" data-act="example" data-text="{esc(text)}">{esc(text)}</button>'
        for text in examples[:3]
    )
    return (
        '<div class="welcome" id="welcome"><h1>What would you like to ask?</h1>'
        f'<div class="examples">{cards}</div><p class="small">{esc(kept)}</p></div>'
    )
