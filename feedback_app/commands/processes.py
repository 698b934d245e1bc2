"""`alignloop up | serve | app | worker`: all processes together, or one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from feedback_app.private import keep_private
from feedback_app.processes.output import AsJson, output

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from feedback_app.store.database import Store


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("up")(up)
    app.command("serve")(serve)
    app.command("app")(pages)
    app.command("worker")(worker)


def up(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Start everything on this machine, print one address, and stop everything at Ctrl-C."""
    from feedback_app.processes.up_display import run_up

    raise typer.Exit(run_up(output(ctx)))


def serve(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Run vLLM with the model, and keep it running."""
    from feedback_app.processes import parent_watch
    from feedback_app.processes.model_progress import model_progress
    from feedback_app.processes.preflight import check_disk, check_port, prepare_model
    from feedback_app.processes.run import serve_vllm
    from feedback_app.processes.wiring import settings_and_store

    parent_watch.tie_to_parent()
    settings, store = settings_and_store()
    keep_private(settings.home)
    check_disk(settings.home)
    with model_progress(output(ctx)) as progress:
        facts = prepare_model(settings, progress)
    check_port("127.0.0.1", settings.vllm_port, "ALIGNLOOP_VLLM_PORT")
    result = serve_vllm(settings, store, facts)
    output(ctx).done(result, lambda console: console.print("vLLM has stopped."))


def pages(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Run the pages and the HTTP routes."""
    from feedback_app.processes import parent_watch
    from feedback_app.processes.preflight import check_port
    from feedback_app.processes.run import serve_app
    from feedback_app.processes.wiring import settings_and_store

    parent_watch.tie_to_parent()
    settings, store = settings_and_store()
    keep_private(settings.home)
    check_port(settings.host, settings.port, "ALIGNLOOP_PORT")
    first = _first_operator(settings, store)
    if first is not None:
        output(ctx).console.print(first, markup=False)
    serve_app(settings, store)
    output(ctx).done({"stopped": "app"}, lambda console: console.print("The app has stopped."))


def worker(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Run the worker: it runs rounds and loads versions."""
    from feedback_app.processes import parent_watch
    from feedback_app.processes.preflight import check_disk
    from feedback_app.processes.run import run_worker
    from feedback_app.processes.wiring import settings_and_store

    parent_watch.tie_to_parent()
    settings, store = settings_and_store()
    keep_private(settings.home)
    check_disk(settings.home)
    run_worker(settings, store)
    output(ctx).done({"stopped": "worker"}, lambda console: console.print("The worker has stopped."))


def _first_operator(settings: Settings, store: Store) -> str | None:
    """For an app that is started alone: make the first operator when a password was given for it."""
    from feedback_app.collect.people import ensure_operator

    if settings.operator_password is None:
        return None
    new = ensure_operator(store, settings.operator_password.get_secret_value())
    return None if new is None else f"Sign in as {new.person.name} with the password in ALIGNLOOP_OPERATOR_PASSWORD."
