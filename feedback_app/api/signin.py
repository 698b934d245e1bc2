"""Signing in and out, and one's own account: small HTML pages around `collect.people`.

The cookie holds a random token, HttpOnly and SameSite=Lax; only the token's hash is stored, as a row that can
be revoked. Wrong passwords are slowed by `collect.people`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from feedback_app.api.guard import COOKIE, signed_in
from feedback_app.api.plain import plain_page
from feedback_app.collect import people
from feedback_app.errors import AlignloopError, NotSignedIn
from feedback_app.parts import Parts
from feedback_app.ui.markup import esc

if TYPE_CHECKING:
    from feedback_app.store.tables import Person


def safe_next(path: str) -> str:
    """Where to go after signing in: a path on this host, nothing else."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain else "/"


def build_signin(parts: Parts) -> APIRouter:
    """`/sign-in`, `/sign-out`, `/account` and what its forms post to."""
    routes = APIRouter()
    store, settings = parts.store, parts.settings

    @routes.get("/sign-in")
    async def show_sign_in(request: Request, next: str = "/") -> Response:
        if request.scope.get("alignloop.person") is not None:
            return RedirectResponse(safe_next(next), 303)
        return sign_in_page(safe_next(next))

    @routes.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        form = await request.form()
        name, password = str(form.get("name", "")), str(form.get("password", ""))
        onward = safe_next(str(form.get("next", "/")))
        address = request.client.host if request.client else ""
        try:
            session = await asyncio.to_thread(people.sign_in, store, name, password, address, settings.session_ttl_s)
        except AlignloopError as error:
            return sign_in_page(onward, name, error.outside, error.http_status)
        response = RedirectResponse(onward, 303)
        response.set_cookie(
            COOKIE,
            session.token,
            max_age=int(settings.session_ttl_s),
            httponly=True,
            samesite="lax",
            secure=settings.secure_cookies,
            path="/",
        )
        return response

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        await asyncio.to_thread(people.sign_out, store, request.scope["alignloop.token"])
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, path="/")
        return response

    @routes.get("/account")
    async def account(request: Request) -> Response:
        return account_page(signed_in(request))

    @routes.post("/account/password")
    async def change_password(request: Request) -> Response:
        person, form = signed_in(request), await request.form()
        old, new = str(form.get("old", "")), str(form.get("new", ""))
        if new != str(form.get("again", "")):
            return account_page(person, error="The two new passwords differ. Type the same one twice.", status=400)
        address = request.client.host if request.client else ""
        token = request.scope["alignloop.token"]
        try:
            await asyncio.to_thread(people.change_password, store, person, old, new, address=address, keep_token=token)
        except NotSignedIn:
            return account_page(person, error="The present password is wrong. Try again.", status=400)
        except AlignloopError as error:
            return account_page(person, error=error.outside, status=error.http_status)
        return account_page(person, said="The password is changed. Every other session of yours has ended.")

    @routes.post("/account/key")
    async def new_key(request: Request) -> Response:
        person = signed_in(request)
        key = await asyncio.to_thread(people.new_key, store, person)
        return account_page(person, key=key)

    return routes


def sign_in_page(onward: str, name: str = "", error: str = "", status: int = 200) -> Response:
    """The form, with what went wrong right above the button."""
    wrong = f'<p class="note bad" role="alert"><span>{esc(error)}</span></p>' if error else ""
    return plain_page(
        "Sign in",
        '<h1>Sign in</h1><form method="post" action="/sign-in" class="stack">'
        f'<input type="hidden" name="next" value="{esc(onward)}">'
        f'<label>Name<input name="name" value="{esc(name)}" autocomplete="username" required'
        f"{'' if name else ' autofocus'}></label>"
        '<label>Password<input name="password" type="password" autocomplete="current-password" required'
        f"{' autofocus' if name else ''}></label>{wrong}"
        '<button class="primary" type="submit">Sign in</button></form>'
        '<p class="small">No account yet? An operator can invite you.</p>',
        status,
    )


def account_page(person: Person, said: str = "", error: str = "", key: str = "", status: int = 200) -> Response:
    """One's own password, API key and session."""
    wrong = f'<p class="note bad" role="alert"><span>{esc(error)}</span></p>' if error else ""
    right = f'<p class="note good" role="status"><span>{esc(said)}</span></p>' if said else ""
    shown = (
        '<div class="note good"><span>Your new key, shown this once. Earlier keys no longer work.<br>'
        f'<code id="api-key">{esc(key)}</code></span></div>'
        if key
        else ""
    )
    return plain_page(
        "Account",
        f'<h1>{esc(person.name)}</h1><p class="small">Role: {esc(person.role)}</p>{right}'
        '<section class="stack"><h2>Change the password</h2>'
        '<form method="post" action="/account/password" class="stack">'
        "<label>Present password"
        '<input name="old" type="password" autocomplete="current-password" required></label>'
        f"<label>New password, at least {people.SHORTEST_PASSWORD} characters"
        '<input name="new" type="password" autocomplete="new-password" required '
        f'minlength="{people.SHORTEST_PASSWORD}">'
        "</label><label>New password again"
        '<input name="again" type="password" autocomplete="new-password" required></label>'
        f'{wrong}<button class="outline" type="submit">Change the password</button></form></section>'
        '<section class="stack"><h2>API key</h2><p class="small">For programs: <code>/v1/chat/completions</code> as '
        "OpenAI’s client calls it. A new key ends the one before.</p>"
        f'{shown}<form method="post" action="/account/key">'
        '<button class="outline" type="submit">Make a new key</button></form></section>'
        '<section class="stack"><h2>Judgements</h2><p class="small">Which rounds and versions yours went into.</p>'
        '<p><a class="button outline" href="/lineage">Where my judgements went</a></p></section>'
        '<section class="row spread"><a class="button quiet" href="/">Back to the chat</a>'
        '<form method="post" action="/sign-out">'
        '<button class="outline" type="submit">Sign out</button></form></section>',
        status,
    )
