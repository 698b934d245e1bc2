"""The loop itself as a strip: Collected → Snapshot → Train → Evaluate → Challenger → Serving, each with its number.

`read_loop` looks at the store once; `strip` draws what it found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from markupsafe import Markup

from alignment.records import StepRecord
from feedback_app.domain.reports import JudgementCounts
from feedback_app.domain.rounds import ACTIVE, RoundStatus, StageStatus
from feedback_app.domain.votes import Tally, tally
from feedback_app.ui.markup import EMPTY, ago, count, duration, html, icon

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.store.tables import Publication, Round, Stage, Version

STATION_STATES: Mapping[str, str] = {
    StageStatus.RUNNING: "now",
    StageStatus.DONE: "done",
    StageStatus.FAILED: "failed",
}
EXAMINING = ("register", "stage", "evaluate", "gate")  # stages that the strip shows as Evaluate


@dataclass(frozen=True)
class LoopState:
    """Where the loop stands now."""

    now: float
    fresh: JudgementCounts  # counts since the last snapshot
    total: JudgementCounts  # counts since the beginning
    rounds: Sequence[Round]  # newest first
    active: Round | None
    stages: Sequence[Stage]  # of the active round, else of the newest
    progress: Sequence[StepRecord] = ()  # records of the running stage, else of the last training
    versions: Sequence[Version] = ()
    published: Publication | None = None
    challenger: Version | None = None
    tally: Tally = field(default_factory=Tally)
    needed: int = 60  # votes that a challenger needs

    @property
    def shown(self) -> Round | None:
        """The round that the strip is about: the active one, else the newest."""
        return self.active or (self.rounds[0] if self.rounds else None)


def read_loop(parts: Parts) -> LoopState:
    """Everything that the strip and the evidence need. Synchronous: call it in a thread."""
    store = parts.store
    rounds = store.rounds.listing()
    seen = max((round_.watermark for round_ in rounds if round_.snapshot_id), default=0)
    active = next((round_ for round_ in rounds if round_.status in ACTIVE), None)
    shown = active or (rounds[0] if rounds else None)
    stages = store.rounds.stages(shown.id) if shown and shown.id is not None else []
    trained = [stage for stage in stages if stage.name not in (*EXAMINING, "snapshot")]
    heard = next((stage for stage in stages if stage.status == StageStatus.RUNNING), None) or (
        trained[-1] if trained else None
    )
    records = store.rounds.progress(stage_id=heard.id) if heard and heard.id is not None else []
    challenger = store.versions.challenger()
    votes = store.judgements.votes(challenger.name) if challenger else []
    return LoopState(
        now=store.now(),
        fresh=store.judgements.counts(seen),
        total=store.judgements.counts(0),
        rounds=rounds,
        active=active,
        stages=stages,
        progress=[cast(StepRecord, record.record) for record in records],
        versions=store.versions.listing(),
        published=store.versions.published(),
        challenger=challenger,
        tally=tally(votes, parts.settings.votes, scripted_count=parts.settings.promote.counts_scripted),
        needed=parts.settings.votes,
    )


def strip(loop: LoopState) -> Markup:
    """Six stations in their order, the running one marked; the last leads back to the first."""
    stations = (collected(loop), snapshot(loop), train(loop), evaluate(loop), challenger(loop), serving(loop))
    return html('<ol class="loop-strip" aria-label="The loop">{}</ol>', Markup().join(stations))


def station(symbol: str, title: str, number: str, below: str, state: str = "", extra: Markup = EMPTY) -> Markup:
    """One station: state is now (running), done, or empty."""
    current = Markup(' aria-current="step"') if state == "now" else ""
    return html(
        '<li class="station {state}"{current}><div class="dot">{icon}</div><h3>{title}</h3><p '
        'class="figure">{number}</p><p class="small">{below}</p>{extra}</li>',
        state=state,
        current=current,
        icon=icon(symbol),
        title=title,
        number=number,
        below=below,
        extra=extra,
    )


def collected(loop: LoopState) -> Markup:
    """New judgements since the last snapshot."""
    fresh, scripted = int(loop.fresh["total"]), int(loop.fresh["scripted"])
    since = "since the last round" if any(round_.snapshot_id for round_ in loop.rounds) else "so far"
    below = since + (f", {scripted:,} scripted" if scripted else "")
    return station("chat", "Collected", f"{fresh:,}", below, "done" if fresh else "")


def _stage(loop: LoopState, *names: str) -> Stage | None:
    found = [stage for stage in loop.stages if stage.name in names]
    return next((stage for stage in found if stage.status == StageStatus.RUNNING), found[-1] if found else None)


def _state(stage: Stage | None) -> str:
    return "" if stage is None else STATION_STATES.get(stage.status, "")


def snapshot(loop: LoopState) -> Markup:
    """Rows of the round's frozen dataset."""
    rows = (loop.shown.rows or {}) if loop.shown else {}
    state = _state(_stage(loop, "snapshot"))
    if "train" not in rows:
        return station("snapshot", "Snapshot", "…" if state == "now" else "–", "pairs to train on", state)
    held = int(rows.get("held_out") or 0)
    return station("snapshot", "Snapshot", f"{int(rows['train']):,}", f"pairs, {held} held out", state)


def train(loop: LoopState) -> Markup:
    """Step, loss and time left of the training, or the method and last loss."""
    names = [stage.name for stage in loop.stages if stage.name not in (*EXAMINING, "snapshot")]
    stage = _stage(loop, *names) if names else None
    if stage is None:
        return station("train", "Train", "–", "steps")
    records = [record for record in loop.progress if "step" in record]
    losses = [float(record["loss"]) for record in records if isinstance(record.get("loss"), int | float)]
    last = records[-1] if records else {}
    loss = f"loss {losses[-1]:.3f}" if losses else stage.name
    if stage.status != StageStatus.RUNNING:
        took = (stage.finished_at or loop.now) - (stage.started_at or loop.now)
        number = duration(took) if stage.status == StageStatus.DONE else stage.status
        return station(
            "train", "Train", number, f"{stage.name.upper()}, {loss}" if losses else stage.name, _state(stage)
        )
    step, steps = int(last.get("step") or 0), int(last.get("steps") or 0)
    left = last.get("seconds_left")
    below = loss + (f", {duration(float(left))} left" if isinstance(left, int | float) and step else "")
    below = waiting(loop) or below
    bar = _bar("Training", 100 * step / steps if steps else 0)
    return station("train", "Train", f"{step} of {steps}" if steps else "starting", below, "now", bar)


def _bar(label: str, share: float) -> Markup:
    """How much is done, in percent."""
    return html(
        '<div class="bar" role="progressbar" aria-label="{label}" aria-valuenow="{share:.0f}" '
        'aria-valuemin="0" aria-valuemax="100"><i style="width:{share:.1f}%"></i></div>',
        label=label,
        share=share,
    )


def waiting(loop: LoopState) -> str:
    """What the running training waits for, in its own words; empty when it does not."""
    return str(loop.progress[-1].get("waiting") or "") if loop.active and loop.progress else ""


def evaluate(loop: LoopState) -> Markup:
    """The share of capability questions answered right, or what is being examined."""
    stage = _stage(loop, *EXAMINING)
    state = _state(stage)
    if stage is not None and stage.status == StageStatus.RUNNING:
        said = {
            "register": "keeping the version",
            "stage": "loading it",
            "gate": "deciding",
        }.get(stage.name, "asking questions")
        took = duration(loop.now - (stage.started_at or loop.now))
        last = loop.progress[-1] if stage.name == "evaluate" and loop.progress else {}
        if not last.get("steps"):
            return station("scales", "Evaluate", took, said, "now", Markup('<span class="spin"></span>'))
        left = duration(float(last.get("seconds_left") or 0))
        share = 100 * last.get("step", 0) / last["steps"]
        return station("scales", "Evaluate", took, f"{said}, {left} left", "now", _bar("Evaluating", share))
    capability = ((loop.shown.evaluation or {}) if loop.shown else {}).get("capability") or {}
    if not capability or loop.active:
        return station("scales", "Evaluate", "–", "questions right", state)
    return station(
        "scales", "Evaluate", f"{float(capability['challenger']):.1%}", f"of {capability['n']} questions right", state
    )


def challenger(loop: LoopState) -> Markup:
    """Votes on the version that waits for them."""
    if loop.challenger is None:
        return station("flag", "Challenger", "–", "none waits for votes")
    return station(
        "flag", "Challenger", f"{loop.tally.n} of {loop.needed}", f"votes on {loop.challenger.name}", "waits"
    )


def serving(loop: LoopState) -> Markup:
    """What `policy` means now."""
    if loop.published is None:
        return station("serve", "Serving", "–", "no version yet")
    return station("serve", "Serving", loop.published.version, f"since {ago(loop.published.at, loop.now)}", "live")


def headline(loop: LoopState) -> str:
    """The present state of the loop in one sentence."""
    if loop.active is not None:
        if loop.active.cancel_requested:
            return f"Round {loop.active.id} is being cancelled."
        if loop.active.status == RoundStatus.QUEUED:
            return f"Round {loop.active.id} is queued; the worker takes it within seconds."
        if said := waiting(loop):
            return f"Round {loop.active.id} waits for people: {said}. Compare tasks show it now."
        return f"Round {loop.active.id} is running."
    if loop.challenger is not None:
        more = loop.needed - loop.tally.n
        return (
            f"{loop.challenger.name} waits for {count(more, 'more blind vote')}: compare tasks show it now."
            if more > 0
            else f"The votes on {loop.challenger.name} are in."
        )
    if not loop.total["total"]:
        return "No judgements yet: invite annotators, or try the loop with 40 scripted votes."
    fresh = int(loop.fresh["total"])
    if not fresh:
        return "Nothing new since the last round. Collect more judgements, then start one."
    return f"{count(fresh, 'new judgement')} can be learned from."
