"""`alignloop lineage`: which clicks made this version, or where did this person's go."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from feedback_app.domain.lineage import PersonLineage, VersionLineage
from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("lineage")(lineage)


def lineage(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="VERSION|PERSON", help="A version's or a person's name.")],
    as_json: AsJson = False,
) -> None:
    """Say which judgements made a version, or where a person's judgements went."""
    from feedback_app.loop.lineage import lineage as trace
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    result = trace(store, name)
    output(ctx).done(asdict(result), lambda console: _show(console, result))


def _show(console: Console, result: VersionLineage | PersonLineage) -> None:
    if isinstance(result, VersionLineage):
        console.print("\n".join(_version(result)), markup=False)
    else:
        console.print("\n".join(_person(result)), markup=False)


def _version(result: VersionLineage) -> list[str]:
    serving = ", serving" if result.serving else ""
    lines = [f"{result.version}{serving}; from {' from '.join(result.ancestors) or 'nothing before it'}"]
    if result.flag:
        lines.append(f"  flagged: {result.flag}")
    if result.snapshot is None:
        return [*lines, "  No judgement made it."]
    lines.append(f"  round {result.round}, {result.judgements} judgements in training rows")
    for person in result.people:
        left = " (erased)" if person.erased else " (withdrawn)" if person.withdrawn else ""
        lines.append(f"  {person.judgements:>6}  {person.name}{left}")
    return lines


def _person(result: PersonLineage) -> list[str]:
    left = ", erased" if result.erased else ", withdrawn" if result.withdrawn else ""
    now = "are set aside, and no new round uses them" if result.set_aside else "count now"
    lines = [f"{result.person}{left}: {result.judgements} judgements {now}"]
    lines += [
        f"  {snapshot.judgements:>6}  in the dataset of round {', '.join(map(str, snapshot.rounds)) or 'none'}"
        for snapshot in result.snapshots
    ]
    for version in result.versions:
        how = "trained on them" if version.how == "trained" else "continued from a version that was trained on them"
        lines.append(f"  {version.version} was {how}{', serving' if version.serving else ''}")
    return lines if result.versions else [*lines, "  No version was trained on them."]
