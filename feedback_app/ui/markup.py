"""HTML as small pure functions: a type that escapes by itself, icons, buttons, and a model's text made safe.

Whatever is HTML is `Markup`; whatever is not is text, and becomes harmless where the two meet: `html` escapes every
value that is no `Markup`, and so do `+`, `+=` and `Markup().join`. `Markup(...)` takes nothing but a literal (a test
reads every call); only `prose` makes HTML of somebody's text. Nothing here knows the store.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# Outlines on a 24 × 24 grid, drawn for this project.
_ICONS = {
    "loop": '<path d="M19 12a7 7 0 1 1-2.2-5.1"/><path d="M19.5 3.5v4h-4"/>',
    "like": '<path d="M7.5 11v9H4.5v-9z"/><path d="M7.5 11 11 4c1.4 0 2.4 1 2.4 2.4L12.9 10h5.3c1.2 0 2 1.1 1.8 2.2'
    'l-1.2 6A2.2 2.2 0 0 1 16.7 20H7.5"/>',
    "dislike": '<path d="M7.5 13V4H4.5v9z"/><path d="M7.5 13 11 20c1.4 0 2.4-1 2.4-2.4L12.9 14h5.3'
    'c1.2 0 2-1.1 1.8-2.2l-1.2-6A2.2 2.2 0 0 0 16.7 4H7.5"/>',
    "edit": '<path d="m5 15.5 10-10 3.5 3.5-10 10H5z"/><path d="m13 7.5 3.5 3.5"/>',
    "retry": '<path d="M5 12a7 7 0 1 0 2.2-5.1"/><path d="M4.5 3.5v4h4"/>',
    "copy": '<rect x="8.5" y="8.5" width="11" height="11" rx="2"/><path d="M15.5 8.5v-2a2 2 0 0 0-2-2h-7'
    'a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "trash": '<path d="M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "send": '<path d="M12 19V5M6 11l6-6 6 6"/>',
    "stop": '<rect x="7" y="7" width="10" height="10" rx="1.5" fill="currentColor" stroke="none"/>',
    "left": '<path d="m14.5 6-6 6 6 6"/>',
    "right": '<path d="m9.5 6 6 6-6 6"/>',
    "up": '<path d="m6 14.5 6-6 6 6"/>',
    "down": '<path d="m6 9.5 6 6 6-6"/>',
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "cross": '<path d="m6.5 6.5 11 11M17.5 6.5l-11 11"/>',
    "theme": '<circle cx="12" cy="12" r="7.5"/><path d="M12 4.5a7.5 7.5 0 0 1 0 15z" fill="currentColor"/>',
    "person": '<circle cx="12" cy="8.5" r="3.5"/><path d="M5.5 19.5a6.5 6.5 0 0 1 13 0"/>',
    "grip": '<path d="M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01" stroke-width="2.5"/>',
    "chat": '<path d="M5 5.5h14v10h-8l-4 3.5v-3.5H5z"/>',
    "snapshot": '<path d="M5 8l7-3.5L19 8l-7 3.5zM5 12l7 3.5 7-3.5M5 16l7 3.5 7-3.5"/>',
    "train": '<path d="M5 18.5V5M5 18.5h14M8.5 8c1 5 4 7 9.5 7.5"/>',
    "scales": '<path d="M12 4.5v15M7.5 19.5h9M5 7h14M5 7l-2 6a2.5 2.5 0 0 0 4 0zM19 7l-2 6a2.5 2.5 0 0 0 4 0z"/>',
    "flag": '<path d="M6.5 20V4.5M6.5 5h11l-2.5 4 2.5 4h-11"/>',
    "serve": '<rect x="4.5" y="5" width="15" height="6" rx="1.5"/><rect x="4.5" y="13" width="15" height="6" rx="1.5"/>'
    '<path d="M8 8h.01M8 16h.01" stroke-width="2.5"/>',
    "warn": '<path d="M12 4.5 20.5 19h-17zM12 10v4M12 16.5h.01"/>',
}

EMPTY = Markup()  # no HTML


def html(template: str, *values: object, **named: object) -> Markup:
    """The literal HTML `template` with its `{}` filled in: text is escaped, for an element's content as for a quoted
    attribute; `Markup` is put in as it is.
    """
    return Markup(template).format(*values, **named)


def icon(name: str) -> Markup:
    """An outline icon that says nothing to a screen reader: its button has the name."""
    return html('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{}</svg>', Markup(_ICONS[name]))


def attributes(**values: object) -> Markup:
    """Attributes with a leading space each; None and False are left out, `data_x` becomes `data-x`."""
    parts = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        key = name.rstrip("_").replace("_", "-")
        parts.append(html(" {}", key) if value is True else html(' {}="{}"', key, value))
    return Markup().join(parts)


def button(
    act: str,
    text: str = "",
    *,
    symbol: str = "",
    label: str = "",
    kind: str = "quiet",
    pressed: bool | None = None,
    disabled: bool = False,
    keys: str = "",
    id: str | None = None,
    **data: object,
) -> Markup:
    """A button that calls `act` with its `data`. Without `text` it shows only the icon and is named by `label`."""
    classes = kind if text else f"{kind} icon-only"
    marks = attributes(
        type="button",
        class_=classes,
        id=id,
        data_act=act,
        aria_label=label or None,
        title=label or None,
        aria_pressed=None if pressed is None else str(pressed).lower(),
        aria_keyshortcuts=keys or None,
        disabled=disabled,
        **{f"data_{key}": value for key, value in data.items()},
    )
    return html(
        "<button{}>{}{}{}</button>",
        marks,
        icon(symbol) if symbol else "",
        html("<span>{}</span>", text) if text else "",
        html("<kbd>{}</kbd>", keys) if keys and text else "",
    )


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # No raw HTML, and no images: a page loads nothing that a model's answer names.
    return MarkdownIt("commonmark", {"html": False, "breaks": True}).disable("image")


def prose(text: str) -> Markup:
    """A model's or a person's text as safe HTML: Markdown without raw HTML and without images."""
    rendered: str = _markdown().render(text)
    return Markup(rendered.replace("<a href=", '<a target="_blank" rel="noopener noreferrer nofollow" href='))


def note(text: str, kind: str = "", symbol: str = "") -> Markup:
    """One sentence in a tinted box: kind is good, warn, bad or empty."""
    return html('<p class="note {}" role="status">{}<span>{}</span></p>', kind, icon(symbol) if symbol else "", text)


def says(place: str) -> Markup:
    """Where errors of this place are shown, next to what caused them."""
    return html('<p class="note bad" role="alert" data-says="{}" data-keep="says" hidden></p>', place)


def ago(at: float, now: float) -> str:
    """How long ago, in words."""
    seconds = max(0.0, now - at)
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def duration(seconds: float) -> str:
    """A length of time in words, rounded: "8 s", "3 min", "1 h 5 min"."""
    if seconds < 59.5:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 vote", "2 votes"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
