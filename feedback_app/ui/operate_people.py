"""People and the schedule on the operate page: forms and what is shown once. Pure HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from feedback_app.domain.people import Role
from feedback_app.ui.lineage_view import link, person_path
from feedback_app.ui.markup import EMPTY, attributes, button, html
from feedback_app.ui.operate_panels import METHOD_NAMES, options

if TYPE_CHECKING:
    from feedback_app.store.tables import Person, Schedule

ROLES = tuple(Role)


def schedule(row: Schedule, methods: Sequence[str]) -> Markup:
    """When the worker starts rounds by itself."""
    chain = options([(name, METHOD_NAMES.get(name, name)) for name in methods], row.method)
    off = "" if row.enabled else " The schedule is off."
    return html(
        '<h2>Schedule</h2><p class="small">The worker starts a round by itself, never two at once.{off}</p>'
        '<form data-act="schedule" class="stack"><label class="check"><input type="checkbox" '
        'name="enabled"{checked}>Start rounds by schedule</label><div class="fields"><label>After so '
        'many new judgements<input name="every_judgements" type="number" min="1" inputmode="numeric" '
        'value="{every_judgements}" placeholder="never"></label><label>Or every so many hours<input '
        'name="every_hours" type="number" min="0.1" step="any" inputmode="decimal" value="{every_hours}" '
        'placeholder="never"></label><label>Method<select name="method">{chain}</select></label></div><div '
        'class="row"><button type="submit" class="outline">Save the schedule</button></div></form>',
        off=off,
        checked=attributes(checked=row.enabled),
        every_judgements=row.every_judgements or "",
        every_hours=row.every_hours or "",
        chain=chain,
    )


def people(listed: Sequence[Person], me: str, secret: Markup = EMPTY, flags: Mapping[str, str] | None = None) -> Markup:
    """Everybody with their role; invite, disable, reset, set aside. `secret` is shown once, above the list.

    `flags` say by id, in words, why an account should be looked at.
    """
    rows = []
    for person in listed:
        if person.scripted:
            tools, role = "", Markup('<span class="tag">scripted</span>')
        else:
            picker = options([(name, name) for name in ROLES], person.role)
            role = html(
                '<select data-change="role" data-name="{}" aria-label="Role of {}">{}</select>',
                person.name,
                person.name,
                picker,
            )
            tools = html(
                '<form data-act="reset" class="row" data-name="{}"><label class="check small"><input '
                'type="checkbox" name="revoke_keys">and key</label><button type="submit" class="quiet">Reset '
                "password</button></form>",
                person.name,
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
        off = Markup(' <span class="tag bad">disabled</span>') if person.disabled else ""
        off += Markup(' <span class="tag warn">set aside</span>') if aside else ""
        flag = (flags or {}).get(person.id)
        off += html('<br><span class="small">to look at: {}</span>', flag) if flag else ""
        rows.append(
            html(
                '<tr id="p-{id}"><td><strong>{name}</strong>{off}</td><td>{role}</td><td><span class="row end">'
                "{tools}</span></td></tr>",
                id=person.id,
                name=name,
                off=off,
                role=role,
                tools=tools,
            )
        )
    return html(
        '<h2>People</h2>{}<form data-act="invite" class="row invite"><input name="name" class="grow" '
        'maxlength="64" required placeholder="Name of somebody new" aria-label="Name" autocomplete="off">'
        '<select name="role" aria-label="Role">{}</select><button type="submit" class="outline">Invite'
        '</button></form><div class="table"><table class="people"><tbody>{}</tbody></table></div>',
        secret,
        options([(name, name) for name in ROLES], Role.ANNOTATOR),
        Markup().join(rows),
    )


def revoked_note(name: str, keys: int) -> Markup:
    """What revoking somebody's API key has done."""
    said = f"The API key of {name} no longer works." if keys else f"{name} has no API key that works."
    return html('<div class="note good" role="status"><span>{}</span></div>', said)


def secret_note(name: str, password: str, key: str = "") -> Markup:
    """A new password (and key), shown this once, to be handed on."""
    line = html("<br>API key: <code>{}</code>", key) if key else ""
    return html(
        '<div class="note good secret" role="status"><span>Hand this to {} now; it is shown only this once.'
        "<br>Name: <code>{}</code><br>Password: <code data-password>{}</code>{}</span></div>",
        name,
        name,
        password,
        line,
    )
