"""`alignloop person`: who may chat, annotate and operate."""

from __future__ import annotations

from typing import Annotated

import typer

from feedback_app.commands.output import AsJson, output


def register(app: typer.Typer) -> None:
    """Add these commands."""
    person = typer.Typer(help="Who may chat, annotate and operate.", no_args_is_help=True)
    person.command("add")(add)
    app.add_typer(person, name="person")


def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the person signs in with.")],
    role: Annotated[str, typer.Option(help="chatter, annotator or operator.")],
    as_json: AsJson = False,
) -> None:
    """Add a person; the password and the API key are shown once."""
    from feedback_app.collect.people import add_person
    from feedback_app.compose import settings_and_store

    _, store = settings_and_store()
    new = add_person(store, name, role)
    result = {
        "name": new.person.name,
        "role": str(new.person.role),
        "password": new.password,
        "api_key": new.api_key,
    }
    output(ctx).done(
        result,
        lambda console: console.print(
            f"{result['name']} may sign in as {result['role']}. Shown once, keep them safe:\n"
            f"  password  {result['password']}\n  API key   {result['api_key']}",
            markup=False,
        ),
    )
