"""`alignloop suspects`: which accounts an operator should look at."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console

    from feedback_app.loop.suspects import Suspects


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("suspects")(suspects)


def suspects(
    ctx: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Without influence, which asks the base model.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name the accounts whose judgements an operator should look at; nobody is shut out by it."""
    from feedback_app.loop.suspects import suspects as look
    from feedback_app.processes.wiring import settings_and_store

    settings, store = settings_and_store()
    out = output(ctx)
    with out.console.status("Looking"):
        result = look(store, settings.model_source, quick=quick)
    out.done(asdict(result), lambda console: _show(console, result))


def _show(console: Console, result: Suspects) -> None:
    from rich.table import Table
    from rich.text import Text

    from feedback_app.loop.suspects import chance

    if result.flags:
        rows = Table("person", "what stands out", "chance, were they like the others", box=None)
        for flag in result.flags:
            rows.add_row(Text(flag.person), flag.words, chance(flag.p))
        console.print(rows)
        console.print(
            "An attack looks like a taste of one's own: look and ask first. "
            "alignloop person set-aside NAME leaves their judgements out.",
        )
    else:
        console.print(f"Nobody stands out (people: {result.people}, judgements: {result.judgements}).")
    for note in result.notes:
        console.print(note)
    if result.set_aside:
        console.print(f"{result.set_aside} judgements were not looked at: an operator has set them aside.")
