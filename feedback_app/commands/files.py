"""`alignloop export`, `alignloop import` and `alignloop gold`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console

NAMES = (
    "trl, trl-unpaired, openai-chat, openai-preference, hh, ranked, oasst, ultrafeedback, llama-factory, open-webui, "
    "fastchat or csv"
)


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
        lines += [f"  left out, {reason}: {count}" for reason, count in result["left_out"].items()]
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
    file: Annotated[Path, typer.Argument(help="Comparisons whose better answer is known: JSON lines, JSON or CSV.")],
    format: Annotated[str, typer.Option(help=f"{NAMES}; else detected.")] = "",
    as_json: AsJson = False,
) -> None:
    """Bring comparisons with a known answer, to learn how far people can be relied on; they never train."""
    from feedback_app import exchange
    from feedback_app.processes.wiring import settings_and_store

    settings, store = settings_and_store()
    result = exchange.add_gold(store, file, format)

    def show(console: Console) -> None:
        lines = [f"Format {result['format']}, {result['read']} records read, {result['added']} gold tasks added."]
        lines += [f"  skipped, {reason}: {count}" for reason, count in result["skipped"].items()]
        lines.append(f"{settings.gold_share:.0%} of new comparisons are drawn from them (ALIGNLOOP_GOLD_SHARE).")
        console.print("\n".join(lines), markup=False)

    output(ctx).done(result, show)


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON lines, a JSON array or CSV.")],
    format: Annotated[str, typer.Option(help=f"{NAMES}; else detected.")] = "",
    as_json: AsJson = False,
) -> None:
    """Read a file of feedback into judgements."""
    from feedback_app import exchange
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    result = exchange.bring_in(store, file, format)

    def show(console: Console) -> None:
        said = "as named" if format else "detected"
        lines = [f"Format {result['format']} ({said}), {result['read']} records read."]
        lines += [f"  imported as {kind}: {count}" for kind, count in result["imported"].items()]
        lines += [f"  skipped, {reason}: {count}" for reason, count in result["skipped"].items()]
        lines += result["notes"]
        console.print("\n".join(lines), markup=False)

    output(ctx).done(result, show)
