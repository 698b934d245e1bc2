"""`alignloop export` and `alignloop import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feedback_app.commands.output import AsJson, output


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("export")(export)
    app.command("import")(import_)


def export(
    ctx: typer.Context,
    format: Annotated[str, typer.Option(help="trl, trl-unpaired, openai-chat, openai-preference, hh or csv.")],
    out: Annotated[Path, typer.Option(help="An empty or new folder.")],
    as_json: AsJson = False,
) -> None:
    """Write the rows that a round would train on."""
    from feedback_app import exchange
    from feedback_app.compose import settings_and_store

    _, store = settings_and_store()
    result = exchange.export(store, format, out)
    written = ", ".join(f"{split} {count}" for split, count in result["written"].items()) or "nothing"
    output(ctx).done(result, lambda console: console.print(f"Written to {out}: {written}.", markup=False))


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A JSONL file.")],
    format: Annotated[str, typer.Option(help="trl, trl-unpaired, openai-preference or hh; else detected.")] = "",
    as_json: AsJson = False,
) -> None:
    """Read a file of feedback into judgements."""
    from feedback_app import exchange
    from feedback_app.compose import settings_and_store

    _, store = settings_and_store()
    result = exchange.bring_in(store, file, format)

    def show(console: object) -> None:
        said = "as named" if format else "detected"
        lines = [f"Format {result['format']} ({said}), {result['read']} records read."]
        lines += [f"  imported as {kind}: {count}" for kind, count in result["imported"].items()]
        lines += [f"  skipped, {reason}: {count}" for reason, count in result["skipped"].items()]
        console.print("\n".join(lines), markup=False)  # type: ignore[attr-defined]

    output(ctx).done(result, show)
