"""Signing in and out, and one's own account: small HTML pages around `collect.people`.

Cookies hold random tokens, HttpOnly and SameSite=Lax; only hashes are stored, as rows that can be revoked. The
device's stays after signing out: by it, this browser's people are told from strangers who guess. Whoever guesses
is slowed by `collect.guessing`, and how many passwords are looked at at once is bounded by `api.password_queue`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from feedback_app.api.guard import COOKIE, DEVICE_COOKIE, signed_in, token_of
from feedback_app.api.password_queue import Turns
from feedback_app.api.plain import plain_page
from feedback_app.collect import people
from feedback_app.collect.guessing import DEVICE_S, network_of
from feedback_app.errors import AlignloopError, NotSignedIn
from feedback_app.parts import Parts
from feedback_app.ui.markup import html

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
    turns = Turns()

    def with_cookies(response: Response, session: people.SignedIn) -> Response:
        for name, token, age_s in (
            (COOKIE, session.token, settings.session_ttl_s),
            (DEVICE_COOKIE, session.device, DEVICE_S),
        ):
            response.set_cookie(
                name,
                token,
                max_age=int(age_s),
                httponly=True,
                samesite="lax",
                secure=settings.secure_cookies,
                path="/",
            )
        return response

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
        address = network_of(request.client.host if request.client else "")
        device = token_of(request.headers, DEVICE_COOKIE)
        try:
            known = await asyncio.to_thread(people.knows_device, store, name, device)
            session = await turns.run(
                device if known and device else address,
                known,
                lambda: people.sign_in(store, name, password, address, settings.session_ttl_s, device=device),
            )
        except AlignloopError as error:
            return sign_in_page(onward, name[: people.LONGEST_NAME], error)
        return with_cookies(RedirectResponse(onward, 303), session)

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
        token, device = request.scope["alignloop.token"], token_of(request.headers, DEVICE_COOKIE)
        keys = form.get("revoke_keys") is not None
        try:
            session = await turns.run(
                person.id,
                True,
                lambda: people.change_password(
                    store,
                    person,
                    old,
                    new,
                    token=token,
                    ttl_s=settings.session_ttl_s,
                    device=device,
                    revoke_keys=keys,
                ),
            )
        except NotSignedIn:
            return account_page(person, error="The present password is wrong. Try again.", status=400)
        except AlignloopError as error:
            return _later(account_page(person, error=error.outside, status=error.http_status), error)
        ended = "Every other session of yours has ended" + (", and your API key no longer works." if keys else ".")
        return with_cookies(account_page(person, said=f"The password is changed. {ended}"), session)

    @routes.post("/account/key")
    async def new_key(request: Request) -> Response:
        person = signed_in(request)
        key = await asyncio.to_thread(people.new_key, store, person)
        return account_page(person, key=key)

    return routes


def _later(response: Response, error: AlignloopError) -> Response:
    """The response, with when to try again where the error says it."""
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after_s)))
    return response


def sign_in_page(onward: str, name: str = "", error: AlignloopError | None = None) -> Response:
    """The form, with what went wrong right above the button."""
    wrong = html('<p class="note bad" role="alert"><span>{}</span></p>', error.outside) if error else ""
    page = plain_page(
        "Sign in",
        html(
            '<h1>Sign in</h1><form method="post" action="/sign-in" class="stack"><input type="hidden" '
            'name="next" value="{onward}"><label>Name<input name="name" value="{name}" autocomplete="username" '
            'required{focus_name}></label><label>Password<input name="password" type="password" '
            'autocomplete="current-password" required{focus_password}></label>{wrong}<button class="primary" '
            'type="submit">Sign in</button></form><p class="small">No account yet? An operator can invite you.'
            "</p>",
            onward=onward,
            name=name,
            focus_name="" if name else " autofocus",
            focus_password=" autofocus" if name else "",
            wrong=wrong,
        ),
        error.http_status if error else 200,
    )
    return _later(page, error) if error else page


def account_page(person: Person, said: str = "", error: str = "", key: str = "", status: int = 200) -> Response:
    """One's own password, API key and session."""
    wrong = html('<p class="note bad" role="alert"><span>{}</span></p>', error) if error else ""
    right = html('<p class="note good" role="status"><span>{}</span></p>', said) if said else ""
    shown = (
        html(
            '<div class="note good"><span>Your new key, shown this once. Earlier keys no longer work.<br><code '
            'id="api-key">{}</code></span></div>',
            key,
        )
        if key
        else ""
    )
    return plain_page(
        "Account",
        html(
            '<h1>{name}</h1><p class="small">Role: {role}</p>{right}<section class="stack"><h2>Change the '
            'password</h2><form method="post" action="/account/password" class="stack"><label>Present password'
            '<input name="old" type="password" autocomplete="current-password" required></label><label>New '
            'password, at least {shortest} characters<input name="new" type="password" '
            'autocomplete="new-password" required minlength="{shortest}"></label><label>New password '
            'again<input name="again" type="password" autocomplete="new-password" required></label><label '
            'class="check"><input type="checkbox" name="revoke_keys">End my API key too</label>{wrong}<button '
            'class="outline" type="submit">Change the password</button></form></section><section class="stack">'
            '<h2>API key</h2><p class="small">For programs: <code>/v1/chat/completions</code> as OpenAI’s '
            'client calls it. A new key ends the one before.</p>{shown}<form method="post" '
            'action="/account/key"><button class="outline" type="submit">Make a new key</button></form>'
            '</section><section class="stack"><h2>Judgements</h2><p class="small">Which rounds and versions '
            'yours went into.</p><p><a class="button outline" href="/lineage">Where my judgements went</a></p>'
            '</section><section class="row spread"><a class="button quiet" href="/">Back to the chat</a><form '
            'method="post" action="/sign-out"><button class="outline" type="submit">Sign out</button></form>'
            "</section>",
            name=person.name,
            role=person.role,
            right=right,
            shortest=people.SHORTEST_PASSWORD,
            wrong=wrong,
            shown=shown,
        ),
        status,
    )
