"""Lineage as pages: everybody sees where their own judgements went, an operator anybody's and every version's.

The guard holds `/lineage/version`, `/lineage/person` and `/lineage/find` for operators, because these name people.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from feedback_app.api.guard import signed_in
from feedback_app.api.plain import plain_page
from feedback_app.domain.people import Role
from feedback_app.errors import AlignloopError, NotFound
from feedback_app.parts import Parts
from feedback_app.ui import lineage_view as view
from feedback_app.ui import theme

if TYPE_CHECKING:
    from feedback_app.store.tables import Person

NOBODY = "There is neither a version nor a person of this name. Choose one of the list."


def build_lineage(parts: Parts) -> APIRouter:
    """`/lineage` for one's own, and `/lineage/version/NAME`, `/lineage/person/NAME`, `/lineage/find` for operators."""
    routes = APIRouter()
    store = parts.store

    @routes.get("/lineage")
    async def own(request: Request) -> Response:
        return await asyncio.to_thread(show_person, signed_in(request), signed_in(request))

    @routes.get("/lineage/find")
    async def find(request: Request, name: str = "") -> Response:
        return await asyncio.to_thread(found, signed_in(request), name.strip())

    @routes.get("/lineage/version/{name:path}")
    async def version(request: Request, name: str, start: int = 0) -> Response:
        return await asyncio.to_thread(show_version, signed_in(request), name, max(0, start))

    @routes.get("/lineage/person/{name:path}")
    async def person(request: Request, name: str) -> Response:
        asked = await asyncio.to_thread(store.people.by_name, name)
        if asked is None:
            return await asyncio.to_thread(page, signed_in(request), Markup(), name, NotFound(NOBODY))
        return await asyncio.to_thread(show_person, signed_in(request), asked)

    def found(me: Person, name: str) -> Response:
        if store.versions.get(name) is not None:
            return RedirectResponse(view.version_path(name), 303)
        if store.people.by_name(name) is not None:
            return RedirectResponse(view.person_path(name), 303)
        return page(me, Markup(), name, NotFound(NOBODY))

    def show_version(me: Person, name: str, start: int) -> Response:
        try:
            return page(me, view.version_view(parts.loop.version_lineage(name), start), name)
        except AlignloopError as error:
            return page(me, Markup(), name, error)

    def show_person(me: Person, asked: Person) -> Response:
        own = asked.id == me.id
        operator = Role(me.role).reaches(Role.OPERATOR)
        body = view.person_view(parts.loop.person_lineage(asked), own=own, linked=operator)
        return page(me, body, "" if own else asked.name)

    def page(me: Person, body: Markup, asked: str, error: AlignloopError | None = None) -> Response:
        operator = Role(me.role).reaches(Role.OPERATOR)
        finder = Markup()
        if operator:
            versions = [version.name for version in store.versions.listing()]
            people = [person.name for person in store.people.listing()]
            finder = view.finder(versions, people, asked, str(error) if error else "")
        return plain_page(
            "Lineage",
            (body or Markup("<h1>Lineage</h1>")) + finder,
            error.http_status if error else 200,
            top=theme.top_bar("/lineage", me.name, me.role, switch=False),
        )

    return routes
