"""`alignloop suite`: the questions that the gate asks of every new version."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console

    from feedback_app.loop.suites import Entry, Suites

SHOWN_BAD = 5


class Switch(StrEnum):
    """Whether the gate asks it."""

    ON = "on"
    OFF = "off"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    suite = typer.Typer(help="Questions with known answers, of which a new version may not lose.", no_args_is_help=True)
    suite.command("add")(add)
    suite.command("list")(list_)
    suite.command("show")(show)
    suite.command("gate")(gate)
    app.add_typer(suite, name="suite")


def add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON lines: one question each, in a form of docs/extend/suite.md.")],
    name: Annotated[str, typer.Option(help="What to call it. Default the file's name.")] = "",
    margin: Annotated[
        float | None, typer.Option(help="Percentage points that a version may lose. Default what its size can tell.")
    ] = None,
    listed: Annotated[
        bool, typer.Option("--listed", help="Put choices under letters into the question, and compare the letters.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a suite. The gate asks it from the next round on; lines that cannot be read are counted."""
    suites = _suites()
    entry = suites.add(file, name, margin, listed=listed)
    _done(ctx, suites, entry)


def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All suites of this home, and which of them the gate asks."""
    suites = _suites()
    entries = suites.entries()

    def say(console: Console) -> None:
        for entry in entries:
            console.print(f"{entry.name}: {_asked(entry)}, margin {entry.margin:g} points", markup=False)

    output(ctx).done({"suites": [_record(entry) for entry in entries]}, say)


def show(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="A suite's name.")], as_json: AsJson = False
) -> None:
    """What a suite holds: categories, forms, the lines that were left out, and what its margin needs."""
    suites = _suites()
    _done(ctx, suites, suites.get(name))


def gate(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A suite's name.")],
    switch: Annotated[Switch, typer.Argument(help="on or off")],
    as_json: AsJson = False,
) -> None:
    """Choose whether the gate asks a suite from the next round on."""
    entry = _suites().set_gate(name, switch is Switch.ON)
    output(ctx).done(_record(entry), lambda console: console.print(f"{name}: {_asked(entry)}", markup=False))


def _suites() -> Suites:
    from feedback_app.loop.suites import Suites
    from feedback_app.processes.wiring import settings_and_store

    settings, _ = settings_and_store()  # makes the home, readable by its owner alone
    return Suites(settings)


def _asked(entry: Entry) -> str:
    if not entry.fits:
        return "not for this model"
    return "asked by the gate" if entry.gate else "not asked"


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "sha256": entry.sha256,
        "margin": entry.margin,
        "listed": entry.listed,
        "shipped": entry.shipped,
        "fits": entry.fits,
        "gate": entry.gate,
        "asked": entry.asked,
    }


def _done(ctx: typer.Context, suites: Suites, entry: Entry) -> None:
    contents = suites.contents(entry)
    result = {
        **_record(entry),
        "items": contents.items,
        "needed": contents.needed,
        "forms": contents.forms,
        "categories": contents.categories,
        "left_out": [{"line": bad.line, "reason": bad.reason} for bad in contents.bad],
    }

    def say(console: Console) -> None:
        forms = ", ".join(f"{number:,} {form}" for form, number in contents.forms.items())
        console.print(
            f"{entry.name}: {contents.items:,} questions ({forms}), {_asked(entry)}, margin {entry.margin:g} points",
            markup=False,
        )
        if contents.items < contents.needed:
            console.print(
                f"  A margin of {entry.margin:g} points needs {contents.needed:,} questions; the gate will hold.",
                markup=False,
            )
        for category, number in sorted(contents.categories.items()):
            console.print(f"  {category}: {number:,}", markup=False)
        if contents.bad:
            console.print(f"  left out: {len(contents.bad):,} lines", markup=False)
        for bad in contents.bad[:SHOWN_BAD]:
            console.print(f"    line {bad.line}: {bad.reason}", markup=False)

    output(ctx).done(result, say)
