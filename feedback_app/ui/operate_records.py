"""What has been: rounds, versions and collected judgements, as tables on the operate page. Pure HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from feedback_app.domain.judging import Kind
from feedback_app.domain.versions import PublicationReason, VersionState
from feedback_app.ui.lineage_view import link, version_path
from feedback_app.ui.loop_strip import LoopState
from feedback_app.ui.markup import ago, count, duration, html
from feedback_app.ui.operate_evidence import sparkline, status_tag
from feedback_app.ui.operate_panels import METHOD_NAMES

if TYPE_CHECKING:
    from feedback_app.store.tables import Publication, Round, Version

KINDS: Mapping[str, str] = {Kind.LIKE: "Likes and edits", Kind.COMPARE: "Comparisons", Kind.RANK: "Rankings"}


def history(rounds: Sequence[Round], now: float) -> Markup:
    """One line per round and a small trend of what it could do."""
    if not rounds:
        return Markup("<h2>Rounds</h2><p>No rounds yet. Start one when judgements have come in.</p>")
    rights = [
        float(round_.evaluation["capability"]["challenger"])
        for round_ in reversed(rounds)
        if (round_.evaluation or {}).get("capability")
    ]
    rows = []
    for round_ in rounds[:20]:
        took = duration(round_.finished_at - round_.started_at) if round_.finished_at and round_.started_at else ""
        pairs = (round_.rows or {}).get("train")
        reasons = round_.reasons or [""]
        reason = next((said for said in reasons if said.startswith("Promoted by an operator")), reasons[0])
        rows.append(
            html(
                '<tr><td class="number">{id}</td><td>{method}</td><td class="number">{pairs}</td><td>{status_tag}</td>'
                '<td>{version}</td><td>{reason}</td><td class="small">{took}</td><td class="small">{ago}</td></tr>',
                id=round_.id,
                method=METHOD_NAMES.get(round_.method, round_.method),
                pairs="" if pairs is None else pairs,
                status_tag=status_tag(round_.status),
                version=round_.version or "",
                reason=reason,
                took=took,
                ago=ago(round_.created_at, now),
            )
        )
    trend = sparkline(rights, "Questions answered right")
    legend = html('<span class="row small">questions right {}</span>', trend) if trend else ""
    return html(
        '<div class="row spread"><h2>Rounds</h2>{}</div><div class="table"><table class="wide"><thead><tr>'
        '<th class="number">Round</th><th>Method</th><th class="number">Pairs</th><th>Result</th><th>'
        "Version</th><th>Why</th><th>Took</th><th>Started</th></tr></thead><tbody>{}</tbody></table></div>",
        legend,
        Markup().join(rows),
    )


def versions(
    listed: Sequence[Version], published: Sequence[Publication], names: Mapping[str, str], now: float
) -> Markup:
    """Every version, what it is, and when `policy` meant it."""
    if not listed:
        return Markup("<h2>Versions</h2><p>No version yet: the model is still loading.</p>")
    serving = published[0].version if published else ""
    rows = []
    for version in reversed(listed):
        flips = [flip for flip in published if flip.version == version.name]
        when = f"{_reason(flips[0], names)}, {ago(flips[0].at, now)}" if flips else "never served"
        state, kind = (
            ("serving", "good")
            if version.name == serving
            else (version.state, "accent" if version.state == VersionState.CHALLENGER else "")
        )
        note = html('<br><span class="small">“{}”</span>', flips[0].note) if flips and flips[0].note else ""
        name = link(version_path(version.name), version.name)
        rows.append(
            html(
                '<tr><td><strong>{name}</strong></td><td>{kind}</td><td>{parent}</td><td><span class="tag '
                '{tag}">{state}</span></td><td>{when}{note}</td></tr>',
                name=name,
                kind=version.kind,
                parent=version.parent or "",
                tag=kind,
                state=state,
                when=when,
                note=note,
            )
        )
    return html(
        '<h2>Versions</h2><div class="table"><table class="wide"><thead><tr><th>Version</th><th>Kind</th>'
        "<th>From</th><th>State</th><th>Served</th></tr></thead><tbody>{}</tbody></table></div>",
        Markup().join(rows),
    )


def _reason(flip: Publication, names: Mapping[str, str]) -> str:
    by = f" by {names[flip.person_id]}" if flip.person_id is not None and flip.person_id in names else ""
    words: dict[str, str] = {
        PublicationReason.FIRST: "served first",
        PublicationReason.PROMOTED: "promoted by the votes",
        PublicationReason.OPERATOR: f"promoted{by}",
        PublicationReason.ROLLBACK: f"rolled back to{by}",
        PublicationReason.DAMAGED: f"in place of {flip.previous}",
    }
    return words.get(flip.reason, flip.reason)


def collected(loop: LoopState) -> Markup:
    """What has been collected since the last snapshot and in all, scripted people apart."""
    fresh, total = loop.fresh, loop.total
    if not total["total"]:
        return Markup(
            "<h2>Collected</h2><p>No judgements yet: invite annotators below, or try the loop with 40 scripted "
            "votes: <code>alignloop simulate --annotator warm --judgements 40</code></p>"
        )
    kinds = [
        (
            name,
            fresh["by_kind"].get(kind, 0),
            total["by_kind"].get(kind, 0),
            total.get("scripted_by_kind", {}).get(kind, 0),
        )
        for kind, name in KINDS.items()
    ]
    new_by = {(row["name"]): row["count"] for row in fresh["by_person"]}
    people = [
        (row["name"] + (" (scripted)" if row["scripted"] else ""), new_by.get(row["name"], 0), row["count"],
         row["count"] if row["scripted"] else 0)
        for row in sorted(total["by_person"], key=lambda row: bool(row["scripted"]))
    ]  # fmt: skip
    by_version = [
        (name, fresh["by_version"].get(name, 0), number, total.get("scripted_by_version", {}).get(name, 0))
        for name, number in total["by_version"].items()
    ]
    return html(
        '<div class="row spread"><h2>Collected</h2><span class="small">{count} in all, {scripted:,} of them '
        'scripted</span></div><div class="thirds">{kinds}{people}{versions}</div>',
        count=count(int(total["total"]), "judgement"),
        scripted=int(total["scripted"]),
        kinds=_counts("By kind", kinds),
        people=_counts("By person", people),
        versions=_counts("By version judged", by_version),
    )


def _counts(title: str, rows: Sequence[tuple[str, int, int, int]]) -> Markup:
    body = Markup().join(
        html(
            '<tr><th scope="row">{}</th><td class="number">{:,}</td><td class="number">{:,}</td><td '
            'class="number">{:,}</td></tr>',
            name,
            new,
            all_,
            scripted,
        )
        for name, new, all_, scripted in rows
    )
    return html(
        '<div class="table"><table><thead><tr><th>{}</th><th class="number">New</th><th class="number">All'
        '</th><th class="number">Scripted</th></tr></thead><tbody>{}</tbody></table></div>',
        title,
        body,
    )
