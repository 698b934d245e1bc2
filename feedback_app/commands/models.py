"""`alignloop model`: the model that this home serves and trains, and exchanging it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedback_app.errors import Conflict, UsageError
from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from rich.console import Console

    from feedback_app.store.database import Store


def register(app: typer.Typer) -> None:
    """Add these commands."""
    model = typer.Typer(help="The model that this home serves and trains.", no_args_is_help=True)
    model.command("show")(show)
    model.command("use")(use)
    app.add_typer(model, name="model")


def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Say which model this home has, and where it lies."""
    from feedback_app.home_model import recorded
    from feedback_app.settings import read_settings

    settings = read_settings()
    folder = Path(settings.model_source)
    result = {
        "model": settings.model_name,
        "folder": str(folder),
        "prepared": folder.is_dir(),
        "begun_with": recorded(settings.home),
    }

    def say(console: Console) -> None:
        begun = "" if result["begun_with"] else " (a new home would begin with it)"
        there = "" if result["prepared"] else ", which is made at the first start"
        console.print(f"{result['model']}{begun}: {result['folder']}{there}", markup=False)

    output(ctx).done(result, say)


def use(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="tiny, smollm2, a folder or a hub name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it although versions can then not be served.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give this home another model. Versions that were trained on the one before stay, and wait for its return."""
    from feedback_app.heartbeat import VLLM, WORKER, Life, look
    from feedback_app.home_model import record
    from feedback_app.processes.model_progress import model_progress
    from feedback_app.processes.preflight import prepare_model
    from feedback_app.processes.wiring import store_of
    from feedback_app.settings import read_settings

    settings = read_settings()
    if settings.model and settings.model != name:
        raise UsageError(
            f"ALIGNLOOP_MODEL names {settings.model}. Unset it first, or it would be refused at every start."
        )
    store = store_of(settings)
    running = [each for each in (VLLM, WORKER) if look(store, each) is not Life.STOPPED]
    if running:
        raise Conflict(
            f"This home is running ({', '.join(running)}). Stop alignloop first; its model is read at a start."
        )
    before = settings.model_name
    with model_progress(output(ctx)) as progress:
        facts = prepare_model(settings.model_copy(update={"model": name}), progress, replacing=True)
    lost, back = of_other_bases(store, facts.weights_hash)
    if lost and not yes:
        raise Conflict(
            f"Trained on {before}, these could not be served any more until it returns: {', '.join(lost)}. "
            f"{name} would answer instead. Add --yes to do it; nothing is deleted."
        )
    record(settings.home, name, facts.weights_hash)
    result = {"model": name, "before": before, "unloadable": lost, "loadable_again": back}

    def say(console: Console) -> None:
        console.print(f"{name} is this home's model from the next start on; before it was {before}.", markup=False)
        if lost:
            console.print(f"Kept, and served again when {before} returns: {', '.join(lost)}.", markup=False)
        if back:
            console.print(f"Trained on {name}, and ready again: {', '.join(back)}.", markup=False)

    output(ctx).done(result, say)


def of_other_bases(store: Store, weights_hash: str) -> tuple[Sequence[str], Sequence[str]]:
    """With a base of these weights: the trained versions that cannot be served any more, and those that can again."""
    from feedback_app.domain.versions import VersionForm, VersionState

    trained = [version for version in store.versions.listing() if version.form != VersionForm.FULL]
    served = (VersionState.READY, VersionState.CHALLENGER)
    lost = [one.name for one in trained if one.base_hash != weights_hash and one.state in served]
    back = [one.name for one in trained if one.base_hash == weights_hash and one.state == VersionState.UNLOADABLE]
    return lost, back
