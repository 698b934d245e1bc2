"""Lineage as pages: which clicks made a version, and where a person's judgements went. Pure HTML.

Links and one form, no script: it works by keyboard, on a phone, and before Gradio is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup

from feedback_app.domain.judging import Kind
from feedback_app.domain.lineage import Contributor, PersonLineage, RestsOn, VersionLineage
from feedback_app.ui.markup import attributes, count, html, note

ROWS = {"pairs": "pairs", "marks": "good and bad rows", "sft": "SFT rows", "groups": "ranked groups"}
KINDS: Mapping[str, str] = {Kind.LIKE: "like or edit", Kind.COMPARE: "comparison", Kind.RANK: "ranking"}
CLICKS = 100  # judgements on one page


def version_path(name: str) -> str:
    """Where a version's lineage stands."""
    return f"/lineage/version/{quote(name, safe='')}"


def person_path(name: str) -> str:
    """Where a person's lineage stands."""
    return f"/lineage/person/{quote(name, safe='')}"


def link(path: str, text: str) -> Markup:
    """A link to another page of lineage."""
    return html("<a{}>{}</a>", attributes(href=path), text)


def version_view(found: VersionLineage, start: int = 0) -> Markup:
    """One version: what it came from, whose judgements made it, and each of them, `CLICKS` from number `start` on."""
    serving = Markup(' <span class="tag good">serving</span>') if found.serving else ""
    ancestors = Markup(", then ").join(link(version_path(name), name) for name in found.ancestors)
    head = html("<h1>Which clicks made {}{}</h1>", found.version, serving) + _flag(found.flag.capitalize())
    head += html("<p>It came from {}.</p>", ancestors) if ancestors else Markup("<p>Nothing came before it.</p>")
    if found.snapshot is None:
        return html("{}<p>No judgement made it: it is the model that the first round started from.</p>", head)
    rows = _table(
        "Rows it was trained on",
        ("Kind", "Rows"),
        [(ROWS[kind], f"{number:,}") for kind, number in found.rows.items() if number],
    )
    people = _table(
        "People",
        ("Person", "Judgements"),
        [(link(person_path(each.name), each.name) + _left(each), f"{each.judgements:,}")
         for each in found.people],
        "Versions before it that it continued from are counted too.",
    )  # fmt: skip
    return html(
        '{head}<p class="small">Round {round}, dataset <code>{hash}</code></p><div class="halves">'
        "{rows}{people}</div>{clicks}",
        head=head,
        round=found.round,
        hash=found.snapshot.hash[:12],
        rows=rows,
        people=people,
        clicks=_clicks(found, start),
    )


def person_view(found: PersonLineage, *, own: bool, linked: bool) -> Markup:
    """One person: the rounds and the versions that their judgements went into. `linked`: to the versions' pages."""
    name = found.person
    title = "Where my judgements went" if own else f"Where the judgements of {name} went"
    whose = "of yours" if own else f"of {name}"
    head = html(
        "<h1>{}</h1>{}<p>{} {} ", title, _flag(_gone(found, own=own)), count(found.judgements, "judgement"), whose
    )
    one = found.judgements == 1
    if found.set_aside:
        head += html(
            "{} set aside by an operator: no new round uses {}.</p>", "is" if one else "are", "it" if one else "them"
        )
    else:
        head += html("{} now.</p>", "counts" if one else "count")
    if not found.snapshots:
        return html("{}<p>No round has used any yet. The next round takes all that count then.</p>", head)
    rounds = _table(
        "Rounds",
        ("Round", "Judgements"),
        [(", ".join(map(str, each.rounds)) or "none any more", f"{each.judgements:,}")
         for each in found.snapshots],
    )  # fmt: skip
    versions = _table(
        "Versions",
        ("Version", "Judgements"),
        [_version_row(each, linked=linked) for each in found.versions],
        "A version that continued from another one counts that one's judgements too.",
    )
    none = Markup("<section class='panel'><h2>Versions</h2><p>No version was trained on them.</p></section>")
    return html('{}<div class="halves">{}{}</div>', head, rounds, versions if found.versions else none)


def finder(versions: Sequence[str], people: Sequence[str], asked: str = "", error: str = "") -> Markup:
    """An operator's question: a version's name, or a person's."""
    options = Markup().join(html('<option value="{}">', name) for name in (*reversed(versions), *people))
    wrong = html('<p class="note bad" role="alert"><span>{}</span></p>', error) if error else ""
    return html(
        '<section class="panel" aria-label="Look for another"><form action="/lineage/find" class="stack">'
        '<label>A version or a person<input name="name" list="names" required autocomplete="off" '
        'value="{}"></label><datalist id="names">{}</datalist>{}<div class="row"><button type="submit" '
        'class="outline">Show the lineage</button></div></form></section>',
        asked,
        options,
        wrong,
    )


def _version_row(each: RestsOn, *, linked: bool) -> tuple[Markup, str]:
    name = link(version_path(each.version), each.version) if linked else each.version
    serving = Markup(' <span class="tag good">serving</span>') if each.serving else ""
    how = (
        ""
        if each.how == "trained"
        else Markup('<br><span class="small">continued from a version trained on them</span>')
    )
    return html("{}{}{}", name, serving, how), f"{each.judgements:,}"


def _clicks(found: VersionLineage, start: int) -> Markup:
    clicks = sorted(found.clicks, key=lambda each: (-each.at, each.judgement))
    shown = clicks[start : start + CLICKS]
    rows = [
        html(
            '<tr id="j-{judgement}"><td>{when}</td><td>{link}</td><td>{kind}</td><td>{rows}</td><td><a '
            'href="#j-{judgement}"><code>{judgement}</code></a></td></tr>',
            judgement=each.judgement,
            when=_when(each.at),
            link=link(person_path(each.person), each.person),
            kind=KINDS.get(each.kind, each.kind),
            rows=", ".join(f"{number} in {ROWS[kind]}" for kind, number in each.rows.items()),
        )
        for each in shown
    ]
    here = version_path(found.version)
    turns = []
    if start:
        turns.append(html('<a class="button outline" href="{}?start={}">Newer</a>', here, max(0, start - CLICKS)))
    if start + CLICKS < len(clicks):
        turns.append(html('<a class="button outline" href="{}?start={}">Older</a>', here, start + CLICKS))
    pages = html('<nav class="row" aria-label="Judgements">{}</nav>', Markup().join(turns)) if turns else ""
    at = f"{start + 1:,} to {start + len(shown):,} of " if turns else ""
    return html(
        '<section class="panel"><div class="row spread"><h2>Judgements</h2><span class="small">{}{} in '
        'training rows, the newest first</span></div><div class="table"><table class="wide"><thead><tr><th>'
        "When (UTC)</th><th>Person</th><th>Kind</th><th>Rows</th><th>Judgement</th></tr></thead><tbody>{}"
        "</tbody></table></div>{}</section>",
        at,
        count(len(clicks), "judgement"),
        Markup().join(rows),
        pages,
    )


def _table(title: str, heads: tuple[str, str], rows: Iterable[tuple[str, str]], small: str = "") -> Markup:
    body = Markup().join(html('<tr><td>{}</td><td class="number">{}</td></tr>', name, number) for name, number in rows)
    under = html('<p class="small">{}</p>', small) if small else ""
    return html(
        '<section class="panel"><h2>{title}</h2><div class="table"><table><thead><tr><th>{first}</th><th '
        'class="number">{second}</th></tr></thead><tbody>{body}</tbody></table></div>{under}</section>',
        title=title,
        first=heads[0],
        second=heads[1],
        body=body,
        under=under,
    )


def _flag(flag: str) -> Markup:
    return note(f"{flag}.", "warn", "warn") if flag else Markup()


def _gone(found: PersonLineage, *, own: bool) -> str:
    who = "You" if own else found.person
    if found.erased:
        return f"{who}: every text was erased"
    if found.withdrawn:
        return f"{who} withdrew: nothing said counts any more, and no new version is trained on it"
    return ""


def _left(person: Contributor) -> Markup:
    word = "erased" if person.erased else "withdrew" if person.withdrawn else ""
    tags = [html('<span class="tag warn">{}</span>', word)] * bool(word)
    tags += [Markup('<span class="tag">scripted</span>')] * bool(person.scripted)
    return Markup().join(html(" {}", tag) for tag in tags)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
