"""One sitting of an annotator: how far along, how long still; and what is common to comparing and ranking."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

from markupsafe import Markup

from feedback_app.collect.on_page import MIN_SHOWN_S
from feedback_app.domain.judging import Kind
from feedback_app.ui.markup import button, duration, html, icon

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person

LENGTH: Mapping[str, int] = {Kind.COMPARE: 50, Kind.RANK: 20}  # judgements that make a good sitting
WINDOW_S = 8 * 3600.0  # judgements older than this belonged to another sitting
REASONS = ("More accurate", "Clearer", "Friendlier", "Better length", "More honest", "Safer")


def progress_line(store: Store, person: Person, kind: str) -> Markup:
    """ "12 of 50, about 8 minutes left", from this person's own pace. Reads the store."""
    taken = store.judgements.seconds_taken(person.id, kind, store.now() - WINDOW_S)
    done, length = len(taken), LENGTH[kind]
    if done >= length:
        return html(
            "<span><strong>{}</strong> done in this sitting. That is plenty, thank you; go on if you like.</span>", done
        )
    share = 100 * done / length
    pace = median(taken) if len(taken) >= 3 else None
    left = f", about {duration(max(60.0, pace * (length - done))).replace(' min', ' minutes')} left" if pace else ""
    left = left.replace("about 1 minutes", "about a minute")
    return html(
        '<span><strong>{}</strong> of {}{}</span><span class="bar" aria-hidden="true"><i '
        'style="width:{:.0f}%"></i></span>',
        done,
        length,
        left,
        share,
    )


def confirmation(words: str, judgement_id: str) -> Markup:
    """A short confirmation with its undo."""
    undo = button("undo", "Undo", kind="quiet link", keys="U", judgement=judgement_id)
    return html('<span class="saved" role="status">{}Saved: {}{}</span>', icon("check"), words, undo)


def standing(words: str, judgement_id: str) -> Markup:
    """The verdict that stands although this page sent another one: undo it, or leave it and go on."""
    undo = button("undo", "Undo", kind="quiet link", keys="U", judgement=judgement_id)
    go_on = button("go-on", "Next", kind="quiet link", keys="N")
    return html('<span class="saved" role="status">{}Stands: {}{}{}</span>', icon("check"), words, undo, go_on)


def judging_page(kind: str) -> Markup:
    """How a page that compares or ranks begins; the browser lets its verdicts sleep as long as the server asks for."""
    return html('<div class="al judge {}" data-in-view-ms="{:.0f}">', kind, 1000 * MIN_SHOWN_S)


def early_line() -> Markup:
    """What is said when a verdict comes before its answers have been in view."""
    return Markup('<p class="small early" role="status" data-early data-keep="early" hidden></p>')


def why_panel(comment_label: str = "A comment, in your words") -> Markup:
    """Reasons as chips and a comment, kept in the browser until the verdict is sent."""
    chips = Markup().join(
        html(
            '<button type="button" class="chip" data-act="chip" data-reason="{}" aria-pressed="false">{}</button>',
            reason,
            reason,
        )
        for reason in REASONS
    )
    return html(
        '<div class="why" data-why data-keep="why" hidden><p class="small">Why? <span>Optional, sent with '
        'your verdict</span></p><div class="chips" role="group" aria-label="Reasons">{}</div><input '
        'name="comment" data-comment aria-label="Comment" placeholder="{}" maxlength="4000" '
        'autocomplete="off"></div>',
        chips,
        comment_label,
    )
