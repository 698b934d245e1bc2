"""`alignloop person`: who may chat, annotate and operate, whom to trust, to set aside, and who leaves."""

from __future__ import annotations

from typing import Annotated

import typer

from feedback_app.processes.output import AsJson, output


def register(app: typer.Typer) -> None:
    """Add these commands."""
    person = typer.Typer(help="Who may chat, annotate and operate.", no_args_is_help=True)
    person.command("add")(add)
    person.command("reset-password")(reset_password)
    person.command("revoke-key")(revoke_key)
    person.command("trust")(trust)
    person.command("set-aside")(set_aside)
    person.command("withdraw")(withdraw)
    person.command("erase")(erase)
    app.add_typer(person, name="person")


def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the person signs in with.")],
    role: Annotated[str, typer.Option(help="chatter, annotator or operator.")],
    as_json: AsJson = False,
) -> None:
    """Add a person; the password and the API key are shown once."""
    from feedback_app.collect.people import add_person
    from feedback_app.processes.wiring import settings_and_store

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


def reset_password(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Who needs a new password.")],
    revoke_key: Annotated[bool, typer.Option("--revoke-key", help="Their API key ends too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give somebody a new password, shown once; every session of theirs ends."""
    from feedback_app.collect.people import named, renew_password
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    person = named(store, name)
    password = renew_password(store, person, revoke_keys=revoke_key)
    result = {"name": person.name, "password": password, "key_revoked": revoke_key}
    key = " Their API key no longer works." if revoke_key else ""
    output(ctx).done(
        result,
        lambda console: console.print(
            f"{person.name} signs in anew.{key} Shown once, keep it safe:\n  password  {password}", markup=False
        ),
    )


def revoke_key(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose API key is to end.")],
    as_json: AsJson = False,
) -> None:
    """End somebody's API key; they make a new one on their account page."""
    from feedback_app.collect.people import named
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    person = named(store, name)
    revoked = store.people.revoke_keys(person.id)
    said = f"The API key of {person.name} no longer works." if revoked else f"{person.name} has no API key that works."
    output(ctx).done(
        {"name": person.name, "revoked": revoked},
        lambda console: console.print(said, markup=False),
    )


def trust(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose corrections train at once.")],
    revoke: Annotated[bool, typer.Option("--revoke", help="No longer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Trust somebody's corrections without a second person; operators are trusted anyway."""
    from feedback_app.collect.people import named
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    person = store.people.set_trusted(named(store, name).id, not revoke)
    result = {"name": person.name, "trusted": person.trusted_at is not None}
    words = "are trusted" if result["trusted"] else "wait for a second person"
    output(ctx).done(result, lambda console: console.print(f"Corrections of {person.name} {words}.", markup=False))


def set_aside(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose judgements are to be left out.")],
    revoke: Annotated[bool, typer.Option("--revoke", help="Take them back in.")] = False,
    as_json: AsJson = False,
) -> None:
    """Leave somebody's judgements out of new rounds and exports; nothing is removed, and it can be undone."""
    from feedback_app.collect.people import named
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    person = store.people.set_aside(named(store, name).id, not revoke)
    count = store.judgements.live_of(person.id)
    result = {"name": person.name, "set_aside": person.set_aside_at is not None, "judgements": count}
    words = "are set aside: new rounds and exports leave them out" if result["set_aside"] else "count again"
    output(ctx).done(
        result, lambda console: console.print(f"{count} judgements of {person.name} {words}.", markup=False)
    )


def withdraw(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Who takes their judgements back.")],
    as_json: AsJson = False,
) -> None:
    """Take all judgements of a person back: from now on as if they had never been given."""
    from feedback_app.collect.people import named
    from feedback_app.loop.lineage import person_lineage
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    person = named(store, name)
    count = store.withdrawals.withdraw(person.id)
    flagged = [version.version for version in person_lineage(store, person).versions]
    result = {"person": person.name, "judgements": count, "flagged": flagged}
    output(ctx).done(
        result,
        lambda console: console.print(
            f"{count} judgements of {person.name} are withdrawn. {_resting(flagged)}", markup=False
        ),
    )


def erase(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose texts are to go.")],
    yes: Annotated[bool, typer.Option("--yes", help="Without asking; it cannot be undone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person's texts from the database and from every stored snapshot; it cannot be undone."""
    from feedback_app.collect.people import named
    from feedback_app.errors import UsageError
    from feedback_app.loop import erasure
    from feedback_app.processes.wiring import settings_and_store

    _, store = settings_and_store()
    person = named(store, name)
    if not yes and (as_json or not typer.confirm(f"Erase every text of {person.name}? It cannot be undone.")):
        raise UsageError("Nothing was erased. Add --yes to erase without being asked.")
    result = erasure.erase(store, person)
    output(ctx).done(
        result,
        lambda console: console.print(
            f"Erased: {result['messages']} messages and {result['judgements']} judgements in the database, and "
            f"{result['snapshots']} snapshots rewritten. {_resting(result['flagged'])}",
            markup=False,
        ),
    )


def _resting(flagged: list[str]) -> str:
    if not flagged:
        return "No version was trained on them."
    return f"Trained on them before, and flagged now: {', '.join(flagged)}."
