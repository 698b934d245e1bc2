"""One sitting of an annotator: how far along, how long still; and what is common to comparing and ranking."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from feedback_app.collect.on_page import MIN_SHOWN_S
from feedback_app.domain.judging import Kind
from feedback_app.ui.markup import button, duration, esc, icon

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person

LENGTH = {Kind.COMPARE: 50, Kind.RANK: 20}  # judgements that make a good sitting
WINDOW_S = 8 * 3600.0  # judgements older than this belonged to another sitting
REASONS = ("More accurate", "Clearer", "Friendlier", "Better length", "More honest", "Safer")


def progress_line(store: Store, person: Person, kind: str) -> str:
    """ "12 of 50, about 8 minutes left", from this person's own pace. Reads the store."""
    taken = store.judgements.seconds_taken(person.id, kind, store.now() - WINDOW_S)
    done, length = len(taken), LENGTH[kind]
    if done >= length:
        return (
            f"<span><strong>{done}</strong> done in this sitting. That is plenty, thank you; go on if you like.</span>"
        )
    share = 100 * done / length
    pace = median(taken) if len(taken) >= 3 else None
    left = f", about {duration(max(60.0, pace * (length - done))).replace(' min', ' minutes')} left" if pace else ""
    left = left.replace("about 1 minutes", "about a minute")
    return (
        f'<span><strong>{done}</strong> of {length}{left}</span><span class="bar" aria-hidden="true">'
        f'<i style="width:{share:.0f}%"></i></span>'
    )


def confirmation(words: str, judgement_id: str) -> str:
    """A short confirmation with its undo."""
    undo = button("undo", "Undo", kind="quiet link", keys="U", judgement=judgement_id)
    return f'<span class="saved" role="status">{icon("check")}Saved: {esc(words)}{undo}</span>'


def standing(words: str, judgement_id: str) -> str:
    """The verdict that stands although this page sent another one: undo it, or leave it and go on."""
    undo = button("undo", "Undo", kind="quiet link", keys="U", judgement=judgement_id)
    go_on = button("go-on", "Next", kind="quiet link", keys="N")
    return f'<span class="saved" role="status">{icon("check")}Stands: {esc(words)}{undo}{go_on}</span>'


def judging_page(kind: str) -> str:
    """How a page that compares or ranks begins; the browser lets its verdicts sleep as long as the server asks for."""
    return f'<div class="al judge {kind}" data-in-view-ms="{1000 * MIN_SHOWN_S:.0f}">'


def early_line() -> str:
    """What is said when a verdict comes before its answers have been in view."""
    return '<p class="small early" role="status" data-early data-keep="early" hidden></p>'


def why_panel(comment_label: str = "A comment, in your words") -> str:
    """Reasons as chips and a comment, kept in the browser until the verdict is sent."""
    chips = "".join(
        f'<button type="button" class="chip" data-act="chip" data-reason="{esc(reason)}" aria-pressed="false">'
        f"{esc(reason)}</button>"
        for reason in REASONS
    )
    return (
        '<div class="why" data-why data-keep="why" hidden><p class="small">Why? <span>Optional, sent with your verdict'
        f'</span></p><div class="chips" role="group" aria-label="Reasons">{chips}</div>'
        f'<input name="comment" data-comment aria-label="Comment" placeholder="{esc(comment_label)}" maxlength="4000" '
        'autocomplete="off"></div>'
    )
