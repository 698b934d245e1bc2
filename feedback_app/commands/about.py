"""`alignloop status` and `alignloop doctor`: what is going on, and whether this machine can do it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypedDict

import typer

from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console

    from feedback_app.domain.reports import RoundReport
    from feedback_app.settings import Settings
    from feedback_app.store.database import Store


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("status")(status)
    app.command("doctor")(doctor)


def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """What is served, what has been collected, which round runs."""
    from feedback_app.processes.wiring import settings_and_store

    settings, store = settings_and_store()
    result = read_status(settings, store)
    output(ctx).done(result, lambda console: _show_status(console, result))


class ReplicaReport(TypedDict):
    """One vLLM: its state, the versions that it answers for, and more in words."""

    url: str
    state: str
    loaded: list[str]
    detail: str


class ReplicaReports(TypedDict):
    """All of them."""

    replicas: list[ReplicaReport]


class CollectedReport(TypedDict):
    """How much was judged."""

    total: int
    since_last_round: int
    scripted: int
    by_kind: dict[str, int]


class StatusReport(TypedDict):
    """What is served, what has been collected, which round runs; `processes` are seconds since each one's beat."""

    ready: bool
    version: str | None
    versions: list[str]
    judgements: CollectedReport
    round: RoundReport | None
    vllm: ReplicaReports
    alarms: list[str]
    processes: dict[str, float]


def read_status(settings: Settings, store: Store) -> StatusReport:
    """What `status --json` prints. `ready`: vLLM answers with what `policy` means."""
    from feedback_app.commands.versions import listing
    from feedback_app.heartbeat import VLLM, Life, life
    from feedback_app.loop.fallback import alarms
    from feedback_app.loop.report import round_report

    versions = listing(store)
    served = next((version for version in versions if version["serving"]), None)
    replica = asyncio.run(_replica(settings))
    beats = {beat.name: beat for beat in store.heartbeats.all()}
    if replica["state"] != "ready" and VLLM in beats and not settings.vllm_url:
        own = beats[VLLM]
        if life(own, store.now()) is not Life.STOPPED:
            replica["state"] = str(own.state.get("name", "unreachable"))
            replica["detail"] = str(own.state.get("detail", ""))
    by_served_name = {version.served_name: version.name for version in store.versions.listing()}
    # Others may use the same vLLM: what is not ours is no version.
    replica["loaded"] = [by_served_name[name] for name in replica["loaded"] if name in by_served_name]
    counts = store.judgements.counts()
    since = max((round_.watermark for round_ in store.rounds.listing()), default=0)
    running = store.rounds.active()
    return {
        "ready": replica["state"] == "ready" and served is not None and served["name"] in replica["loaded"],
        "version": served["name"] if served else None,
        "versions": [version["name"] for version in versions],
        "judgements": {
            "total": counts["total"],
            "since_last_round": store.judgements.counts(since)["total"],
            "scripted": counts["scripted"],
            "by_kind": counts["by_kind"],
        },
        "round": round_report(store, running) if running else None,
        "vllm": {"replicas": [replica]},
        "alarms": alarms(store),
        "processes": {name: round(store.now() - beat.at, 1) for name, beat in beats.items() if ":" not in name},
    }


async def _replica(settings: Settings) -> ReplicaReport:
    from feedback_app.processes.wiring import client_of
    from serving.errors import ServingError

    async with client_of(settings) as client:
        try:
            loaded = [model.name for model in await client.models()]
        except ServingError as error:
            return {"url": settings.vllm_address, "state": "unreachable", "loaded": [], "detail": str(error)}
        return {"url": settings.vllm_address, "state": "ready", "loaded": loaded, "detail": ""}


def _show_status(console: Console, result: StatusReport) -> None:
    judgements, replica = result["judgements"], result["vllm"]["replicas"][0]
    console.print(f"serving     {result['version'] or 'nothing yet'}{'' if result['ready'] else ' (not ready)'}")
    console.print(f"vLLM        {replica['state']} at {replica['url']}", markup=False)
    for alarm in result["alarms"]:
        console.print(f"alarm       {alarm}", style="bold red", markup=False)
    console.print(
        f"judgements  {judgements['total']}, {judgements['since_last_round']} since the last round, "
        f"{judgements['scripted']} scripted"
    )
    running = result["round"]
    console.print(f"round       {running['round']} is {running['status']}" if running else "round       none runs")


def doctor(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Check this machine part by part; exit 1 when something is broken."""
    from feedback_app.commands.doctor import examine

    rows = examine()
    broken = [row for row in rows if row.state == "broken"]

    def show(console: Console) -> None:
        from rich.table import Table

        colours = {"ok": "green", "note": "yellow", "broken": "red"}
        table = Table(box=None, show_header=False, padding=(0, 2))
        for row in rows:
            table.add_row(
                f"[{colours[row.state]}]{row.state}[/]", row.name, row.found + (f"\n{row.next}" if row.next else "")
            )
        console.print(table)

    result = {"ok": not broken, "checks": [row.record() for row in rows]}
    output(ctx).done(result, show)
    raise typer.Exit(1 if broken else 0)
