"""`alignloop round`: start one, follow it, look at it, cancel it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alignment.methods.registry import METHODS
from feedback_app.commands.training import words
from feedback_app.domain.rounds import ENDED, StageStatus
from feedback_app.errors import NotFound
from feedback_app.key_values import read_pairs
from feedback_app.processes.output import AsJson, Output, output

if TYPE_CHECKING:
    from rich.console import Console

    from alignment.records import WatchRecord
    from feedback_app.domain.reports import RoundFigures, RoundReport
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Round

POLL_S = 0.5
Number = Annotated[int, typer.Argument(help="The round's number.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    rounds = typer.Typer(help="Turns of the loop: from judgements to a version.", no_args_is_help=True)
    rounds.command("start")(start)
    rounds.command("list")(list_)
    rounds.command("show")(show)
    rounds.command("cancel")(cancel)
    app.add_typer(rounds, name="round")


def start(
    ctx: typer.Context,
    method: Annotated[str, typer.Option(help=f"How to train: one of {', '.join(METHODS)}.")] = "dpo",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended, and exit by its outcome.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed and judgements, same training.")] = 0,
    start_from: Annotated[str, typer.Option(help="base, or incumbent: training goes on from the served version.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for training, as often as needed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a round; the worker takes it within seconds."""
    from feedback_app.loop.report import round_report
    from feedback_app.loop.rounds import EXIT_CODES, start_round
    from feedback_app.loop.start_version import START
    from feedback_app.processes.wiring import settings_and_store

    settings = {**read_pairs(set_ or []), **({START: start_from} if start_from else {})}
    _, store = settings_and_store()
    out = output(ctx)
    round_ = start_round(store, method, seed=seed, settings=settings)
    if wait:
        round_ = follow(store, round_, out)
    elif missing := worker_problem(store):
        out.console.print(f"The round waits; {missing}.")
    report = round_report(store, round_)
    out.done(report, lambda console: show_round(console, report))
    if wait:
        raise typer.Exit(EXIT_CODES[round_.status])


def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the rounds, the newest first; with --json also what each version gained and what that cost."""
    from feedback_app.loop.history import over_rounds
    from feedback_app.loop.start_version import start_of
    from feedback_app.processes.wiring import settings_and_store

    settings, store = settings_and_store()
    scripted_count = settings.promote.counts_scripted
    listed = store.rounds.listing()
    known = over_rounds(store, needed=settings.votes, scripted_count=scripted_count, last=len(listed))
    figures = {each["round"]: each for each in known}
    rounds: list[dict[str, Any]] = [
        {
            "round": round_.id,
            "method": round_.method,
            "status": round_.status,
            "version": round_.version,
            "incumbent": round_.incumbent,
            "start_from": start_of(round_.settings),
            "reasons": list(round_.reasons or []),
            "created_at": round_.created_at,
            "figures": figures.get(round_.id),
        }
        for round_ in listed
    ]

    def table(console: Console) -> None:
        from rich.table import Table

        if not rounds:
            console.print("No rounds yet. Start one: alignloop round start --method dpo")
            return
        rows = Table("round", "method", "status", "version", "why", box=None)
        for round_ in rounds:
            why = round_["reasons"][0] if round_["reasons"] else ""
            rows.add_row(str(round_["round"]), round_["method"], round_["status"], round_["version"] or "", why)
        console.print(rows)

    output(ctx).done({"rounds": rounds}, table)


def show(ctx: typer.Context, number: Number, as_json: AsJson = False) -> None:
    """Show one round: stages, rows, evidence, reasons."""
    from feedback_app.loop.report import round_report
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    report = round_report(store, _round(store, number))
    output(ctx).done(report, lambda console: show_round(console, report))


def cancel(ctx: typer.Context, number: Number, as_json: AsJson = False) -> None:
    """Cancel a waiting or running round; serving stays as it is."""
    from feedback_app.loop.report import round_report
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    _round(store, number)
    report = round_report(store, store.rounds.request_cancel(number))
    output(ctx).done(report, lambda console: console.print(f"Round {number} is being cancelled."))


def follow(store: Store, round_: Round, out: Output) -> Round:
    """Show a round's stages and training until it ends. Leaving with Ctrl-C leaves the round running."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    assert round_.id is not None
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, TimeElapsedColumn(), console=out.console, transient=out.as_json) as progress:
        bars: dict[str, Any] = {}
        waiting = progress.add_task("waiting for the worker", total=None, words="")
        while True:
            round_ = _round(store, round_.id or 0)
            missing = worker_problem(store)
            progress.update(waiting, visible=bool(missing) or not bars, words=missing)
            for stage in store.rounds.stages(round_.id or 0):
                bar = bars.setdefault(stage.name, None)
                if bar is None:
                    bar = bars[stage.name] = progress.add_task(stage.name, total=None, words="")
                records = store.rounds.progress(stage_id=stage.id) if stage.status == StageStatus.RUNNING else []
                if records:
                    record = records[-1].record
                    progress.update(
                        bar, completed=record.get("step") or 0, total=record.get("steps"), words=words(record)
                    )
                if stage.status != StageStatus.RUNNING:
                    progress.update(bar, total=1, completed=1, words=stage.status)
                    progress.stop_task(bar)
            if round_.status in ENDED:
                return round_
            time.sleep(POLL_S)


def show_round(console: Console, report: RoundReport) -> None:
    """A round in a few lines."""
    version = f", version {report['version']}" if report["version"] else ""
    console.print(f"Round {report['round']} ({report['method']}) {report['status']}{version}", markup=False)
    for reason in report["reasons"]:
        console.print(f"  {reason}", markup=False)
    if report["waiting"]:
        console.print(f"  waits for people: {report['waiting']} (Compare tasks show it now)", markup=False)
    for line in watched((report["evaluation"].get("training") or {}).get("watch")):
        console.print(f"  {line}", markup=False)
    for line in cost(report["figures"]):
        console.print(f"  {line}", markup=False)
    left_out = [each["words"] for each in (report["rows"].get("left_out_rows") or {}).values()]
    if left_out:
        console.print(f"  rows left out of the training: {'; '.join(left_out)}", markup=False)
    flagged = len(report["rows"].get("suspects") or ())
    if flagged:
        console.print(f"  {flagged} {'account' if flagged == 1 else 'accounts'} to look at: alignloop suspects")
    if report["stages"]:
        steps = ", ".join(f"{stage['name']} {stage['seconds']:.1f} s" for stage in report["stages"])
        console.print(f"  {steps}", markup=False, style="dim")


def watched(watch: WatchRecord | None) -> list[str]:
    """What a watch saw on the way: why the run ended, and one line for each milestone; empty where there was none."""
    if not watch:
        return []
    return [
        watch["why"],
        *(
            f"step {seen['step']}: √KL {seen['distance']:.2f}, reward {seen['reward']:.2f}, "
            f"{seen['wins']:g} of {seen['judged']} blind judgements for it"
            + (", handed on" if seen["step"] == watch["chosen"] else "")
            for seen in watch["milestones"]
        ),
    ]


def cost(figures: RoundFigures | None) -> list[str]:
    """What a version cost against the base, in at most two lines; empty where none was evaluated."""
    if figures is None:
        return []
    capability, language, kl = figures["capability"], figures["language"], figures["kl"]
    parts = [f"capability {-capability['lost_to_base']['points']:+.1f} points against the base"]
    if language:
        parts.append(f"language-model loss {language['added']:+.3f} nats per token")
    parts += [
        f"KL {nats:.1f} {where.replace('_', ' the ')}"
        for where, nats in (("to_incumbent", kl.get("to_incumbent")), ("to_base", kl.get("to_base")))
        if nats is not None
    ]
    answers = figures["answers"]
    look = [
        f"{answers['words']:.1f} words" if answers["words"] is not None else "",
        f"{answers['repetition']:.0%} repeated" if answers["repetition"] is not None else "",
        f"{answers['refusals']:.0%} refused" if answers["refusals"] is not None else "",
    ]
    return [
        f"trained from {figures['started_from'] or figures['start_from']}: {', '.join(parts)}",
        *([f"its answers: {', '.join(filter(None, look))}"] if any(look) else []),
    ]


def _round(store: Store, number: int) -> Round:
    round_ = store.rounds.get(number)
    if round_ is None:
        raise NotFound(f"There is no round {number}. `alignloop round list` shows them.")
    return round_


def worker_problem(store: Store) -> str:
    """What is to be said about the worker that a round waits for; empty while it lives."""
    from feedback_app.heartbeat import WORKER, Life, look

    return {
        Life.ALIVE: "",
        Life.LATE: "the worker is late: this machine may be busy",
        Life.STOPPED: "no worker runs: start alignloop up, or alignloop worker",
    }[look(store, WORKER)]
