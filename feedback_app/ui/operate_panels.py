"""What can be decided on the operate page, and on what evidence: start, cancel, promote, roll back. Pure HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from markupsafe import Markup

from alignment.methods.registry import CARDS
from alignment.records import LeftOutRows
from feedback_app.domain.reports import Evaluation
from feedback_app.domain.rounds import ACTIVE, RoundStatus
from feedback_app.domain.versions import PublicationReason, VersionForm, VersionState
from feedback_app.domain.votes import Tally
from feedback_app.ui.loop_strip import LoopState, headline
from feedback_app.ui.markup import attributes, button, count, html, note
from feedback_app.ui.operate_evidence import guard_rows, guards, samples, sparkline, status_tag, win_rate
from feedback_app.ui.operate_suites import suite_tables
from feedback_app.ui.operate_watch import watched

if TYPE_CHECKING:
    from feedback_app.store.tables import Round

METHOD_NAMES = {name: card.title for name, card in CARDS.items()}


def options(values: Sequence[tuple[str, str]], chosen: str) -> Markup:
    """`<option>`s of a select."""
    return Markup().join(
        html("<option{}>{}</option>", attributes(value=value, selected=value == chosen), text) for value, text in values
    )


def alarms(sentences: Sequence[str]) -> Markup:
    """What cannot be served, above everything else; nothing when all is well."""
    return Markup().join(note(sentence, "bad", "warn") for sentence in sentences)


def action(loop: LoopState, methods: Sequence[str]) -> Markup:
    """The one primary button: start a round; or cancel, while one runs, with its loss so far."""
    sentence = html('<p class="grow lead">{}</p>', headline(loop))
    if loop.active is not None:
        # By step: a training that waits for people says its last step again.
        losses = {
            record.get("step"): float(record["loss"])
            for record in loop.progress
            if isinstance(record.get("loss"), int | float)
        }
        cancel = button(
            "cancel", "Cancel the round", kind="outline", round=loop.active.id, disabled=loop.active.cancel_requested
        )
        return sentence + sparkline(list(losses.values()), "Loss") + cancel
    choice = ""
    if len(methods) > 1:
        listed = options([(name, METHOD_NAMES.get(name, name)) for name in methods], methods[0])
        choice = html('<select name="method" aria-label="Method of the round">{}</select>', listed)
    else:
        choice = html('<input type="hidden" name="method" value="{}">', methods[0])
    serving = next((row for row in loop.versions if loop.published and row.name == loop.published.version), None)
    if serving is not None and serving.form == VersionForm.ADAPTER:  # else both are the same
        starts = options([("base", "from the base"), ("incumbent", f"on top of {serving.name}")], "base")
        choice += html('<select name="start" aria-label="What training starts from">{}</select>', starts)
    choice += Markup(
        '<details class="fold" id="round-settings"><summary>Settings</summary><input name="settings" '
        'maxlength="500" autocomplete="off" spellcheck="false" aria-label="Settings of the training, '
        'KEY=VALUE with spaces between" placeholder="KEY=VALUE …"></details>'
    )
    possible = bool(loop.total["total"])
    start = html('<button type="submit" class="primary"{}>Start round</button>', "" if possible else " disabled")
    return html('{}<form data-act="start-round" class="row start">{}{}</form>', sentence, choice, start)


def evidence(
    loop: LoopState,
    tally: Tally | None,
    limits: Mapping[str, float],
    to_look_at: Callable[[Round], Sequence[str]] = lambda round_: (),
) -> Markup:
    """The latest round that has ended: verdict, reasons, accounts to look at, votes, guards, samples.

    `to_look_at` gives for a round each account that was flagged when it was frozen, with the rule in words.
    """
    ended = [round_ for round_ in loop.rounds if round_.status not in ACTIVE]
    if not ended:
        return Markup(
            "<h2>Evidence</h2><p>No round has ended yet. When one has, this shows whether people prefer the "
            "new version and whether it kept what it could do.</p>"
        )
    newest, round_ = ended[0], next((round_ for round_ in ended if round_.version), ended[0])
    lost = ""
    if newest is not round_:  # a round that left no version must not hide the one before it
        why = "; ".join(newest.reasons or []) or "It left no version."
        lost = html('<p class="row">{}<span>Round {}: {}</span></p>', status_tag(newest.status), newest.id, why)
    title = round_.version or f"Round {round_.id}"
    against = f" against {round_.incumbent}" if round_.version and round_.incumbent else ""
    reasons = Markup().join(html("<li>{}</li>", reason) for reason in round_.reasons or [])
    evaluation = cast(Evaluation, round_.evaluation or {})
    found = guard_rows(guards(evaluation, limits))
    shown = samples(round_.samples or [], round_.incumbent or "before", round_.version or "after")
    fold = Markup('<details class="fold" id="samples"><summary>Sample answers, before and after</summary>')
    support = _held_out(evaluation)
    votes = win_rate(tally, loop.needed) if tally is not None and round_.version else ""
    return (
        lost
        + html(
            '<div class="row spread"><h2>{}<span class="against">{}</span></h2><span class="row">{}<span '
            'class="small">round {}</span></span></div>',
            title,
            against,
            status_tag(round_.status),
            round_.id,
        )
        + (html('<ul class="reasons">{}</ul>', reasons) if reasons else "")
        + _to_look_at(to_look_at(round_))
        + _left_out((round_.rows or {}).get("left_out_rows") or {})
        + votes
        + watched((evaluation.get("training") or {}).get("watch"))
        + (html("<h3>What it kept</h3>{}{}", found, support) if found else "")
        + suite_tables(evaluation)
        + (html("{}{}</details>", fold, shown) if shown else "")
    )


def _to_look_at(flagged: Sequence[str]) -> Markup:
    if not flagged:
        return Markup()
    return note(f"{count(len(flagged), 'account')} to look at: {'; '.join(flagged)}", "warn", "warn")


def _left_out(found: Mapping[str, LeftOutRows]) -> Markup:
    words = [str(each.get("words", "")) for each in found.values()]
    return html('<p class="small">Rows left out of the training: {}.</p>', "; ".join(words)) if words else Markup()


def _held_out(evaluation: Evaluation) -> Markup:
    accuracy = (evaluation.get("training") or {}).get("held_out_accuracy")
    if not isinstance(accuracy, int | float):
        return Markup()
    return html(
        '<p class="small">Held-out pairs ranked right: {:.0%}. Shown as support; it decides nothing.</p>', accuracy
    )


def decisions(loop: LoopState, target: str | None) -> Markup:
    """Promote and roll back, each saying first what will happen."""
    serving = loop.published.version if loop.published else ""
    blocks = []
    latest = next((round_ for round_ in loop.rounds if round_.version and round_.status not in ACTIVE), None)
    version = next((row for row in loop.versions if latest and row.name == latest.version), None)
    if (
        latest
        and version
        and version.name != serving
        and version.state not in (VersionState.DROPPED, VersionState.UNLOADABLE)
    ):
        held = latest.status == RoundStatus.HELD
        waiting = loop.challenger is not None and loop.challenger.name == version.name
        votes = f" It has {loop.tally.n} of {loop.needed} votes; promoting it now ends the vote." if waiting else ""
        what = (
            f"From the next request on, everybody is answered by {version.name}; answers that are being written "
            f"finish with {serving}. {serving} stays and can be brought back.{votes}"
        )
        note = (
            Markup(
                '<label>Why, although it is held? The note is kept.<input name="note" required maxlength="500" '
                'autocomplete="off"></label>'
            )
            if held
            else Markup('<input type="hidden" name="note" value="">')
        )
        blocks.append(_confirm("promote", f"Promote {version.name}", what, note, version=version.name))
    if loop.published is not None and loop.published.reason == PublicationReason.DAMAGED:
        what = (
            f"{serving} has answered since {loop.published.previous} could no longer be served. Keeping it changes "
            "nothing for people and ends the alarm."
        )
        blocks.append(_confirm("keep", f"Keep {serving}", what, Markup(), version=serving))
    if target:
        what = (
            f"From the next request on, everybody is answered by {target} again instead of {serving}. {serving} stays "
            "in the history and can be promoted again."
        )
        blocks.append(_confirm("rollback", f"Roll back to {target}", what, Markup(), version=target))
    return Markup().join(blocks)


def _confirm(act: str, title: str, what: str, fields: Markup, **data: object) -> Markup:
    marks = attributes(data_act=act, **{f"data_{key}": value for key, value in data.items()})
    return html(
        '<details class="confirm" id="confirm-{act}"><summary class="button outline">{title}</summary>'
        '<form{marks} class="stack"><p>{what}</p>{fields}<div class="row"><button type="submit" '
        'class="primary">{title}</button>{button}</div></form></details>',
        act=act,
        title=title,
        marks=marks,
        what=what,
        fields=fields,
        button=button("fold", "Not now"),
    )
