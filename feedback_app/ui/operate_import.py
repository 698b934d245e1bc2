"""Bring a file, on the operate page: the form, what an import would do, and what it did. Pure HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from feedback_app.ui.markup import button, count, html, note, says
from feedback_app.ui.mounts import LARGEST_FILE

if TYPE_CHECKING:
    from feedback_app.exchange.brought_file import Preview, Reason, Shown
    from feedback_app.exchange.importing import Imported

NOUNS = {
    "compare": ("comparison", "comparisons"),
    "rank": ("ranking", "rankings"),
    "like": ("like or dislike", "likes and dislikes"),
    "demonstration": ("demonstration", "demonstrations"),
}
SIGNS = {"better": "good", "good": "good", "worse": "bad", "bad": "bad"}
ENDINGS = ".jsonl,.json,.csv,.tsv,.txt,.parquet,.arrow,.gz,.zst,.bz2,.xz,.zip"

FORM = html(
    '<h2>Bring a file</h2><p class="small">Feedback from another tool: JSON lines, JSON, CSV, parquet or arrow, packed '
    "or not, up to {most} MiB. Larger files go by <code>alignloop import FILE</code>. It is shown first; nothing is "
    'kept until you import it.</p>{says}<form data-act="preview" data-most="{bytes}" class="stack bring"><label>File'
    '<input type="file" name="file" required accept="{endings}"></label><label><span>Columns, where they are not '
    'understood <span class="small">(optional; what --map says on the command line)</span></span>'
    '<input name="map" maxlength="2000" autocomplete="off" '
    'autocapitalize="off" spellcheck="false" placeholder="prompt=…,a=…,b=…,winner=…"></label><div class="row switches">'
    '<label class="check"><input type="checkbox" name="text_only">Leave images out, keep their rows</label><label '
    'class="check"><input type="checkbox" name="strict">Stop at the first row that would be left out</label></div>'
    '<div class="row"><button type="submit" class="outline">Preview</button><span class="spin" data-keep="spin" '
    'hidden></span><span class="small" data-keep="doing" role="status"></span></div></form>'
    '<div class="stack" data-region="bring" aria-live="polite"></div>',
    most=LARGEST_FILE // 2**20,
    bytes=LARGEST_FILE,
    says=says("bring"),
    endings=ENDINGS,
)


def preview(found: Preview, strict: bool = False) -> Markup:
    """What an import would do, with the button that does it."""
    total = sum(found.kinds.values())
    heading = html(
        '<h3 tabindex="-1" data-focus>{} of {} would be imported</h3>',
        kinds(found.kinds) or "Nothing",
        count(found.read, "record"),
    )
    ends = ""
    if strict and found.left_out:
        line, words = min((reason.lines[0], reason.words) for reason in found.left_out)
        ends = note(f"The import would end at line {line}: {words}.", "warn", "warn")
    facts = [("Format", found.format), ("File holds", found.container), ("Read as", found.columns.replace(",", ", "))]
    act = button("bring", f"Import {total:,}", kind="primary") if total else Markup()
    return Markup().join(
        (
            heading,
            ends,
            html(
                '<dl class="facts">{}</dl>',
                Markup().join(html("<dt>{}</dt><dd>{}</dd>", *fact) for fact in facts if fact[1]),
            ),
            _left_out(found.left_out),
            _notes(found.notes),
            html('<div class="row">{}</div>', act) if total else Markup(),
            _first(found.first),
        )
    )


def imported(name: str, done: Imported) -> Markup:
    """What an import has done."""
    first = done.get("first", {})
    said = (
        f"Imported from {name}: {kinds(done['imported'])}."
        if done["imported"]
        else f"Nothing was imported from {name}."
    )
    skipped = [
        html("<tr><td>{}</td><td>{:,}</td><td>{}</td></tr>", words, number, first.get(words, ""))
        for words, number in done["skipped"].items()
    ]
    return Markup().join(
        (
            note(said, "good" if done["imported"] else "warn", "check" if done["imported"] else "warn"),
            _table("first line", skipped),
            _notes(done["notes"]),
        )
    )


def kinds(counts: Mapping[str, int]) -> str:
    """Counts by kind in words: "2 comparisons, 1 ranking"."""
    return ", ".join(count(number, *NOUNS.get(kind, (kind, kind))) for kind, number in counts.items() if number)


def _left_out(reasons: Sequence[Reason]) -> Markup:
    rows = [
        html(
            "<tr><td>{}</td><td>{:,}</td><td>{}{}</td></tr>",
            reason.words,
            reason.count,
            ", ".join(map(str, reason.lines)),
            " …" if reason.count > len(reason.lines) else "",
        )
        for reason in reasons
    ]
    return _table("lines", rows)


def _table(lines: str, rows: Sequence[Markup]) -> Markup:
    if not rows:
        return Markup()
    return html(
        '<div class="table"><table class="left-out"><thead><tr><th>Left out, because</th><th>rows</th><th>{}</th></tr>'
        "</thead><tbody>{}</tbody></table></div>",
        lines,
        Markup().join(rows),
    )


def _notes(notes: Sequence[str]) -> Markup:
    if not notes:
        return Markup()
    return html('<ul class="reasons small">{}</ul>', Markup().join(html("<li>{}</li>", each) for each in notes))


def _first(shown: Sequence[Shown]) -> Markup:
    if not shown:
        return Markup()
    return html(
        '<details class="fold" id="bring-rows" open><summary>The first rows, as they would be read</summary>'
        '<ol class="read-rows">{}</ol></details>',
        Markup().join(map(_row, shown)),
    )


def _row(row: Shown) -> Markup:
    earlier = html('<p class="small">{} before these</p>', count(row.earlier, "message")) if row.earlier else ""
    turns = Markup().join(html('<p><span class="who">{}</span>{}</p>', role, text) for role, text in row.turns)
    answers = Markup().join(
        html('<div class="read-answer"><span class="tag {}">{}</span><p>{}</p></div>', SIGNS.get(said, ""), said, text)
        for said, text in row.answers
    )
    return html(
        '<li><p class="small">line {}</p>{}{}<div class="read-answers">{}</div></li>', row.line, earlier, turns, answers
    )
