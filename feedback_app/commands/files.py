"""`alignloop export`, `alignloop import` and `alignloop gold`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from alignment.dataset.reading.mapping import ColumnMap
    from feedback_app.exchange.importing import GoldAdded, Imported

NAMES = (
    "trl, trl-unpaired, openai-chat, openai-preference, hh, ranked, oasst, ultrafeedback, llama-factory, open-webui, "
    "fastchat or csv"
)
FILES = "JSON lines, JSON, CSV, parquet, arrow, a folder of these, or - for standard input"
Format = Annotated[str, typer.Option(help="What it is called in docs/reference/formats.md; else detected.")]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map", help="Columns by name, as prompt=COLUMN,a=COLUMN,b=COLUMN,winner=COLUMN; wins over --format."
    ),
]
TextOnly = Annotated[bool, typer.Option("--text-only", help="Leave images out instead of the rows that hold them.")]
Strict = Annotated[bool, typer.Option("--strict", help="The first row that would be left out is an error.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("export")(export)
    app.command("import")(import_)
    app.command("gold")(gold)


def export(
    ctx: typer.Context,
    format: Annotated[str, typer.Option(help=f"{NAMES}; or parquet, for pandas.")],
    out: Annotated[Path, typer.Option(help="An empty or new folder.")],
    personal: Annotated[
        str, typer.Option(help="Personal data and secrets: off, flag or replace; default ALIGNLOOP_PERSONAL_DATA.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Write the rows that a round would train on."""
    from feedback_app import exchange
    from feedback_app.processes.wiring import settings_and_store

    settings, store = settings_and_store()
    result = exchange.export(store, format, out, personal or settings.personal_data.value)

    def show(console: Console) -> None:
        written = ", ".join(f"{split} {count}" for split, count in result["written"].items()) or "nothing"
        lines = [f"Written to {out}: {written}."]
        lines += [f"  rows left out, {reason}: {count}" for reason, count in result["left_out"].items()]
        lines += [f"  lost, {what}: {count} judgements" for what, count in result["lost"].items()]
        if result["set_aside"]:
            lines.append(f"  left out, set aside by an operator: {result['set_aside']} judgements")
        found = ", ".join(f"{kind} {count}" for kind, count in result["personal"]["found"].items())
        if found:
            done = "replaced" if result["personal"]["handling"] == "replace" else "still there (--personal replace)"
            lines.append(f"Personal data and secrets in {result['personal']['rows']} rows, {done}: {found}.")
        console.print("\n".join(lines), markup=False)

    output(ctx).done(result, show)


def gold(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help=f"Comparisons whose better answer is known: {FILES}.")],
    format: Format = "",
    map: Map = None,
    text_only: TextOnly = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Bring comparisons with a known answer, to learn how far people can be relied on; they never train."""
    from feedback_app import exchange
    from feedback_app.exchange.writing import BEFORE
    from feedback_app.processes.wiring import settings_and_store

    mapping = parsed(map)
    settings, store = settings_and_store()
    result = exchange.add_gold(store, source(file), format, mapping=mapping, text_only=text_only, strict=strict)

    def show(console: Console) -> None:
        lines = [f"Format {result['format']}, {result['read']} records read, {result['added']} gold tasks added."]
        lines += skipped_lines(result["skipped"], result.get("first", {}))
        lines += result["notes"]
        lines.append(f"{settings.gold_share:.0%} of new comparisons are drawn from them (ALIGNLOOP_GOLD_SHARE).")
        console.print("\n".join(lines), markup=False)

    if not result["added"] and (not result["skipped"] or set(result["skipped"]) - set(BEFORE)):
        step = "Gold needs two answers of which one is better."
        nothing(ctx, f"No gold task was added from {source_name(file)}", step, result)
    output(ctx).done(result, show)


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help=f"{FILES[0].upper()}{FILES[1:]}.")],
    format: Format = "",
    map: Map = None,
    text_only: TextOnly = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Read a file of feedback into judgements."""
    from feedback_app import exchange
    from feedback_app.exchange.writing import BEFORE
    from feedback_app.processes.wiring import settings_and_store

    mapping = parsed(map)
    _, store = settings_and_store()
    result = exchange.bring_in(store, source(file), format, mapping=mapping, text_only=text_only, strict=strict)

    def show(console: Console) -> None:
        said = "as named" if format or mapping else "detected"
        lines = [f"Format {result['format']} ({said}), {result['read']} records read."]
        lines += [f"  imported as {kind}: {count}" for kind, count in result["imported"].items()]
        lines += skipped_lines(result["skipped"], result.get("first", {}))
        lines += result["notes"]
        console.print("\n".join(lines), markup=False)

    if not result["imported"] and (not result["skipped"] or set(result["skipped"]) - set(BEFORE)):
        step = "Mend these rows, or say with --map what its columns hold."
        nothing(ctx, f"Nothing was imported from {source_name(file)}", step, result)
    output(ctx).done(result, show)


def source(file: Path) -> Path | None:
    """What to read; None for `-`, standard input."""
    return None if str(file) == "-" else file


def source_name(file: Path) -> str:
    """What is read, for a sentence."""
    return "standard input" if str(file) == "-" else str(file)


def parsed(maps: list[str] | None) -> ColumnMap | None:
    """The map of columns that was given, if one was. Raises `ReadingProblem`."""
    from alignment.dataset.reading.mapping import parse

    return parse(maps) if maps else None


def skipped_lines(skipped: Mapping[str, int], first: Mapping[str, int]) -> list[str]:
    """A line for each reason, with its count and where it was met first."""
    return [
        f"  skipped, {reason}: {count}" + (f" (first in line {first[reason]})" if reason in first else "")
        for reason, count in skipped.items()
    ]


def nothing(ctx: typer.Context, begin: str, step: str, result: Imported | GoldAdded) -> None:
    """End with exit code 1 and one sentence: the reasons with their counts, and the next step."""
    first = result.get("first", {})
    reasons = "; ".join(
        f"{reason} ({count}, line {first.get(reason, 0)})" for reason, count in result["skipped"].items()
    )
    output(ctx).failed(f"{begin}: {result['read']} records were read. Left out: {reasons}. {step}", result)
    raise typer.Exit(1)
