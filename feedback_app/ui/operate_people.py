"""People and the schedule on the operate page: forms and what is shown once. Pure HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from feedback_app.domain.people import Role
from feedback_app.ui.lineage_view import link, person_path
from feedback_app.ui.markup import attributes, button, esc
from feedback_app.ui.operate_panels import METHOD_NAMES, options

if TYPE_CHECKING:
    from feedback_app.store.tables import Person, Schedule

ROLES = tuple(Role)


def schedule(row: Schedule, methods: Sequence[str]) -> str:
    """When the worker starts rounds by itself."""
    chain = options([(name, METHOD_NAMES.get(name, name)) for name in methods], row.method)
    off = "" if row.enabled else " The schedule is off."
    return (
        f'<h2>Schedule</h2><p class="small">The worker starts a round by itself, never two at once.{off}</p>'
        '<form data-act="schedule" class="stack">'
        f'<label class="check"><input type="checkbox" name="enabled"{attributes(checked=row.enabled)}>'
        "Start rounds by schedule</label>"
        '<div class="fields"><label>After so many new judgements<input name="every_judgements" type="number" min="1" '
        f'inputmode="numeric" value="{row.every_judgements or ""}" placeholder="never"></label>'
        '<label>Or every so many hours<input name="every_hours" type="number" min="0.1" step="any" inputmode="decimal" '
        f'value="{row.every_hours or ""}" placeholder="never"></label>'
        f'<label>Method<select name="method">{chain}</select></label></div>'
        '<div class="row"><button type="submit" class="outline">Save the schedule</button></div></form>'
    )


def people(listed: Sequence[Person], me: str, secret: str = "", flags: Mapping[str, str] | None = None) -> str:
    """Everybody with their role; invite, disable, reset, set aside. `secret` is shown once, above the list.

    `flags` say by id, in words, why an account should be looked at.
    """
    rows = []
    for person in listed:
        if person.scripted:
            tools, role = "", '<span class="tag">scripted</span>'
        else:
            picker = options([(name, name) for name in ROLES], person.role)
            role = (
                f'<select data-change="role" data-name="{esc(person.name)}" aria-label="Role of {esc(person.name)}">'
                f"{picker}</select>"
            )
            tools = (
                f'<form data-act="reset" class="row" data-name="{esc(person.name)}">'
                '<label class="check small"><input type="checkbox" name="revoke_keys">and key</label>'
                '<button type="submit" class="quiet">Reset password</button></form>'
            )
            tools += button("revoke-key", "Revoke key", name=person.name) + button(
                "disable", "Enable" if person.disabled else "Disable", name=person.name,
                disabled_now=str(person.disabled).lower(), disabled=person.id == me and not person.disabled,
            )  # fmt: skip
        name = link(person_path(person.name), person.name)
        aside = person.set_aside_at is not None
        if person.withdrawn_at is None:
            tools += button(
                "set-aside", "Take back in" if aside else "Set aside", name=person.name, aside_now=str(aside).lower()
            )
        off = ' <span class="tag bad">disabled</span>' if person.disabled else ""
        off += ' <span class="tag warn">set aside</span>' if aside else ""
        flag = (flags or {}).get(person.id)
        off += f'<br><span class="small">to look at: {esc(flag)}</span>' if flag else ""
        rows.append(
            f'<tr id="p-{esc(person.id)}"><td><strong>{name}</strong>{off}</td><td>{role}</td>'
            f'<td><span class="row end">{tools}</span></td></tr>'
        )
    return (
        f'<h2>People</h2>{secret}<form data-act="invite" class="row invite">'
        '<input name="name" class="grow" maxlength="64" required placeholder="Name of somebody new" '
        'aria-label="Name" autocomplete="off"><select name="role" aria-label="Role">'
        f"{options([(name, name) for name in ROLES], Role.ANNOTATOR)}</select>"
        '<button type="submit" class="outline">Invite</button></form>'
        f'<div class="table"><table class="people"><tbody>{"".join(rows)}</tbody></table></div>'
    )


def revoked_note(name: str, keys: int) -> str:
    """What revoking somebody's API key has done."""
    said = f"The API key of {esc(name)} no longer works." if keys else f"{esc(name)} has no API key that works."
    return f'<div class="note good" role="status"><span>{said}</span></div>'


def secret_note(name: str, password: str, key: str = "") -> str:
    """A new password (and key), shown this once, to be handed on."""
    line = f"<br>API key: <code>{esc(key)}</code>" if key else ""
    return (
        f'<div class="note good secret" role="status"><span>'
        f"Hand this to {esc(name)} now; it is shown only this once.<br>"
        f"Name: <code>{esc(name)}</code><br>Password: <code data-password>{esc(password)}</code>{line}</span></div>"
    )
