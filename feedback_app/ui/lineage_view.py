"""Lineage as pages: which clicks made a version, and where a person's judgements went. Pure HTML.

Links and one form, no script: it works by keyboard, on a phone, and before Gradio is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from feedback_app.domain.judging import Kind
from feedback_app.ui.markup import attributes, count, esc, note

ROWS = {"pairs": "pairs", "marks": "good and bad rows", "sft": "SFT rows", "groups": "ranked groups"}
KINDS = {Kind.LIKE: "like or edit", Kind.COMPARE: "comparison", Kind.RANK: "ranking"}
CLICKS = 100  # judgements on one page


def version_path(name: str) -> str:
    """Where a version's lineage stands."""
    return f"/lineage/version/{quote(name, safe='')}"


def person_path(name: str) -> str:
    """Where a person's lineage stands."""
    return f"/lineage/person/{quote(name, safe='')}"


def link(path: str, text: str) -> str:
    """A link to another page of lineage."""
    return f"<a{attributes(href=path)}>{esc(text)}</a>"


def version_view(found: Mapping[str, Any], start: int = 0) -> str:
    """One version: what it came from, whose judgements made it, and each of them, `CLICKS` from number `start` on."""
    serving = ' <span class="tag good">serving</span>' if found["serving"] else ""
    ancestors = ", then ".join(link(version_path(name), name) for name in found["ancestors"])
    head = f"<h1>Which clicks made {esc(found['version'])}{serving}</h1>" + _flag(found["flag"].capitalize())
    head += f"<p>{f'It came from {ancestors}.' if ancestors else 'Nothing came before it.'}</p>"
    if found["snapshot"] is None:
        return f"{head}<p>No judgement made it: it is the model that the first round started from.</p>"
    rows = _table(
        "Rows it was trained on",
        ("Kind", "Rows"),
        [(esc(ROWS[kind]), f"{number:,}") for kind, number in found["rows"].items() if number],
    )
    people = _table(
        "People",
        ("Person", "Judgements"),
        [(link(person_path(each["name"]), each["name"]) + _left(each), f"{each['judgements']:,}")
         for each in found["people"]],
        "Versions before it that it continued from are counted too.",
    )  # fmt: skip
    return (
        f'{head}<p class="small">Round {found["round"]}, dataset '
        f"<code>{esc(found['snapshot']['hash'][:12])}</code></p>"
        f'<div class="halves">{rows}{people}</div>{_clicks(found, start)}'
    )


def person_view(found: Mapping[str, Any], *, own: bool, linked: bool) -> str:
    """One person: the rounds and the versions that their judgements went into. `linked`: to the versions' pages."""
    name = esc(found["person"])
    title = "Where my judgements went" if own else f"Where the judgements of {name} went"
    whose = "of yours" if own else f"of {name}"
    head = f"<h1>{title}</h1>{_flag(_gone(found, own=own))}<p>{count(found['judgements'], 'judgement')} {whose} "
    one = found["judgements"] == 1
    if found["set_aside"]:
        head += f"{'is' if one else 'are'} set aside by an operator: no new round uses {'it' if one else 'them'}.</p>"
    else:
        head += f"{'counts' if one else 'count'} now.</p>"
    if not found["snapshots"]:
        return f"{head}<p>No round has used any yet. The next round takes all that count then.</p>"
    rounds = _table(
        "Rounds",
        ("Round", "Judgements"),
        [(", ".join(map(str, each["rounds"])) or "none any more", f"{each['judgements']:,}")
         for each in found["snapshots"]],
    )  # fmt: skip
    versions = _table(
        "Versions",
        ("Version", "Judgements"),
        [_version_row(each, linked=linked) for each in found["versions"]],
        "A version that continued from another one counts that one's judgements too.",
    )
    none = "<section class='panel'><h2>Versions</h2><p>No version was trained on them.</p></section>"
    return f'{head}<div class="halves">{rounds}{versions if found["versions"] else none}</div>'


def finder(versions: Sequence[str], people: Sequence[str], asked: str = "", error: str = "") -> str:
    """An operator's question: a version's name, or a person's."""
    options = "".join(f'<option value="{esc(name)}">' for name in (*reversed(versions), *people))
    wrong = f'<p class="note bad" role="alert"><span>{esc(error)}</span></p>' if error else ""
    return (
        '<section class="panel" aria-label="Look for another"><form action="/lineage/find" class="stack">'
        f'<label>A version or a person<input name="name" list="names" required autocomplete="off" '
        f'value="{esc(asked)}"></label><datalist id="names">{options}</datalist>{wrong}'
        '<div class="row"><button type="submit" class="outline">Show the lineage</button></div></form></section>'
    )


def _version_row(each: Mapping[str, Any], *, linked: bool) -> tuple[str, str]:
    name = link(version_path(each["version"]), each["version"]) if linked else esc(each["version"])
    serving = ' <span class="tag good">serving</span>' if each["serving"] else ""
    how = "" if each["how"] == "trained" else '<br><span class="small">continued from a version trained on them</span>'
    return f"{name}{serving}{how}", f"{each['judgements']:,}"


def _clicks(found: Mapping[str, Any], start: int) -> str:
    clicks = sorted(found["clicks"], key=lambda each: (-each["at"], each["judgement"]))
    shown = clicks[start : start + CLICKS]
    rows = [
        f'<tr id="j-{esc(each["judgement"])}"><td>{esc(_when(each["at"]))}</td>'
        f"<td>{link(person_path(each['person']), each['person'])}</td><td>{esc(KINDS.get(each['kind'], each['kind']))}"
        f"</td><td>{esc(', '.join(f'{number} in {ROWS[kind]}' for kind, number in each['rows'].items()))}</td>"
        f'<td><a href="#j-{esc(each["judgement"])}"><code>{esc(each["judgement"])}</code></a></td></tr>'
        for each in shown
    ]
    here = version_path(found["version"])
    turns = []
    if start:
        turns.append(f'<a class="button outline" href="{here}?start={max(0, start - CLICKS)}">Newer</a>')
    if start + CLICKS < len(clicks):
        turns.append(f'<a class="button outline" href="{here}?start={start + CLICKS}">Older</a>')
    pages = f'<nav class="row" aria-label="Judgements">{"".join(turns)}</nav>' if turns else ""
    at = f"{start + 1:,} to {start + len(shown):,} of " if turns else ""
    return (
        f'<section class="panel"><div class="row spread"><h2>Judgements</h2><span class="small">{at}'
        f"{count(len(clicks), 'judgement')} in training rows, the newest first</span></div>"
        '<div class="table"><table class="wide"><thead><tr><th>When (UTC)</th><th>Person</th><th>Kind</th>'
        f"<th>Rows</th><th>Judgement</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>{pages}</section>"
    )


def _table(title: str, heads: tuple[str, str], rows: Iterable[tuple[str, str]], small: str = "") -> str:
    body = "".join(f'<tr><td>{name}</td><td class="number">{number}</td></tr>' for name, number in rows)
    under = f'<p class="small">{esc(small)}</p>' if small else ""
    return (
        f'<section class="panel"><h2>{esc(title)}</h2><div class="table"><table><thead><tr><th>{esc(heads[0])}</th>'
        f'<th class="number">{esc(heads[1])}</th></tr></thead><tbody>{body}</tbody></table></div>{under}</section>'
    )


def _flag(flag: str) -> str:
    return note(f"{flag}.", "warn", "warn") if flag else ""


def _gone(found: Mapping[str, Any], *, own: bool) -> str:
    who = "You" if own else found["person"]
    if found["erased"]:
        return f"{who}: every text was erased"
    if found["withdrawn"]:
        return f"{who} withdrew: nothing said counts any more, and no new version is trained on it"
    return ""


def _left(person: Mapping[str, Any]) -> str:
    word = "erased" if person["erased"] else "withdrew" if person["withdrawn"] else ""
    tags = [f'<span class="tag warn">{word}</span>'] * bool(word)
    tags += ['<span class="tag">scripted</span>'] * bool(person["scripted"])
    return "".join(f" {tag}" for tag in tags)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
