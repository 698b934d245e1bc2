"""`alignloop prompts`: which prompts people compare on, methods sample from and evaluations hold out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console

    from alignment.dataset.reading.prompts import BadRow

NAMED = 10  # bad rows that are named on the screen


class Listed(TypedDict):
    """One set: how many prompts it has for training and how many held out, and whether it is the one in use."""

    name: str
    train: int
    held_out: int
    in_use: bool


def register(app: typer.Typer) -> None:
    """Add these commands."""
    prompts = typer.Typer(
        help="The prompts for comparing, ranking, training and evaluating: the shipped sets, and your own.",
        no_args_is_help=True,
    )
    prompts.command("add")(add)
    prompts.command("list")(listing)
    prompts.command("use")(use)
    app.add_typer(prompts, name="prompts")


def add(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="JSON lines, JSON, a table with a column prompt, a .txt of lines, or a folder."),
    ],
    name: Annotated[str, typer.Option(help="What the set is called; the file's name by default.")] = "",
    use_it: Annotated[bool, typer.Option("--use/--no-use", help="Use the set from now on.")] = True,
    as_json: AsJson = False,
) -> None:
    """Keep a file's prompts in the home, one in seven held out for evaluations, and use them."""
    from feedback_app.prompt_sets import add_prompts, choose
    from feedback_app.settings import read_settings

    settings = read_settings()
    added = add_prompts(settings.home, file, name)
    in_use = use_it and settings.prompts is None
    if in_use:
        choose(settings, added.set.name)
    record = added.set.record()
    result = {**record, "new": added.new, "in_use": in_use, "bad": [_bad(row) for row in added.bad]}

    def say(console: Console) -> None:
        console.print(
            f"{added.set.name}: {record['train']} prompts for comparing and training, {record['held_out']} held out."
            + ("" if added.new else " They were here already."),
            markup=False,
        )
        _say_bad(console, added.bad)
        if settings.prompts is not None:
            console.print(f"ALIGNLOOP_PROMPTS names {settings.prompts}, and decides what is used.", markup=False)
        if in_use:
            console.print("In use once the app and the worker are started again.", markup=False)

    output(ctx).done(result, say)


def listing(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the sets, the shipped ones and those of this home."""
    from feedback_app.prompt_sets import all_sets, prompt_set
    from feedback_app.settings import read_settings

    settings = read_settings()
    used = prompt_set(settings)
    sets = [
        Listed(
            name=name,
            train=len(each.training()),
            held_out=len(each.evaluation()),
            in_use=name == used.name,
        )
        for name, each in {**all_sets(settings), used.name: used}.items()
    ]

    def say(console: Console) -> None:
        for each in sets:
            mark = ", in use" if each["in_use"] else ""
            console.print(f"{each['name']}: {each['train']} prompts, {each['held_out']} held out{mark}", markup=False)

    output(ctx).done({"sets": sets, "in_use": used.name}, say)


def use(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A set, as `alignloop prompts list` names it.")],
    as_json: AsJson = False,
) -> None:
    """Use a set from the next start of the app and the worker on."""
    from feedback_app.prompt_sets import choose
    from feedback_app.settings import read_settings

    record = choose(read_settings(), name).record()
    output(ctx).done(
        record,
        lambda console: console.print(
            f"{name} is in use once the app and the worker are started again: {record['train']} prompts, "
            f"{record['held_out']} held out.",
            markup=False,
        ),
    )


def _say_bad(console: Console, bad: Sequence[BadRow]) -> None:
    if not bad:
        return
    console.print(f"{len(bad)} rows are no prompts and were left out:", markup=False)
    for row in bad[:NAMED]:
        console.print(f"  line {row.line}: {row.reason}", markup=False)
    if len(bad) > NAMED:
        console.print(f"  and {len(bad) - NAMED} more; --json names all", markup=False)


def _bad(row: BadRow) -> dict[str, int | str]:
    return {"line": row.line, "reason": row.reason}
