"""`alignloop version`: what can be served, what is, and flipping between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from feedback_app.store.database import Store


def register(app: typer.Typer) -> None:
    """Add these commands."""
    version = typer.Typer(help="What can be served, and what is.", no_args_is_help=True)
    version.command("list")(list_)
    version.command("promote")(promote)
    version.command("rollback")(rollback)
    app.add_typer(version, name="version")


def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the versions, the newest first; the one that is served is marked."""
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    versions = listing(store)

    def show(console: Any) -> None:
        from rich.table import Table

        if not versions:
            console.print("No versions yet: the first start of the worker registers the model.")
            return
        table = Table("version", "kind", "from", "round", "state", box=None)
        for version in versions:
            state = "[bold green]serving[/bold green]" if version["serving"] else version["state"]
            state += f" [yellow]({version['flag']})[/yellow]" if version["flag"] else ""
            table.add_row(version["name"], version["kind"], version["parent"] or "", str(version["round"] or ""), state)
        console.print(table)

    output(ctx).done({"versions": versions}, show)


class VersionReport(TypedDict):
    """One version; `flag` says why it should not be built on, `state` where it stands."""

    name: str
    kind: str
    parent: str | None
    round: int | None
    serving: bool
    state: str
    form: str
    flag: str
    created_at: float


def listing(store: Store) -> list[VersionReport]:
    """Every version as `version list --json` shows it, the newest first."""
    from feedback_app.loop.lineage import flag_of

    published = store.versions.published()
    return [
        {
            "name": version.name,
            "kind": version.kind,
            "parent": version.parent,
            "round": version.round_id,
            "serving": published is not None and published.version == version.name,
            "state": version.state,
            "form": version.form,
            "flag": flag_of(store, version),
            "created_at": version.created_at,
        }
        for version in sorted(store.versions.listing(), key=lambda version: version.created_at, reverse=True)
    ]


def promote(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The version to serve.")],
    note: Annotated[str, typer.Option(help="Why; needed for a version that the gate did not pass. It is kept.")] = "",
    as_json: AsJson = False,
) -> None:
    """Serve this version from the next request on."""
    from feedback_app.loop import publish
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    _flipped(ctx, publish.promote(store, name, None, note))


def rollback(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Serve what was served before."""
    from feedback_app.loop import publish
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    _flipped(ctx, publish.rollback(store, None))


def _flipped(ctx: typer.Context, publication: Any) -> None:
    result = {"version": publication.version, "previous": publication.previous, "reason": publication.reason}
    output(ctx).done(
        result, lambda console: console.print(f"{result['version']} answers now; before it was {result['previous']}.")
    )
