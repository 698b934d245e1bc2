"""One page of ours inside Gradio: a `gr.HTML` whose regions the server renders.

The browser calls `act` (one request, one answer) and listens to streams (a Gradio event with a generator). Both
get the signed-in person from the server's own guard, never from the page. A listener's value is a whole state,
so that a lost update costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import fastapi
import gradio as gr
from markupsafe import Markup

from feedback_app.errors import AlignloopError, NotSignedIn
from feedback_app.parts import Parts
from feedback_app.ui.acts import Act as Act
from feedback_app.ui.acts import Malformed, read_act
from feedback_app.ui.theme import asset

log = logging.getLogger(__name__)
SORRY = "Something went wrong here; the log says what. Reload the page and try again."


@dataclass
class Answer:
    """What an act gives back: regions to replace, state for the page's script, and a sentence to show.

    `error` is shown at `where` (a `data-says` place); `said` is a confirmation.
    """

    regions: dict[str, Markup] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    where: str = "page"
    said: str = ""


if TYPE_CHECKING:
    from feedback_app.store.tables import Person

    Acts = Callable[[Person, Act], Awaitable[Answer]]
    Listens = Callable[[Person, Act], AsyncIterator[object]]


def caller(parts: Parts, request: Any) -> Person:
    """The person whom the guard or Gradio's `auth_dependency` recognised, read from the database at this call.

    Raises `NotSignedIn` without one.
    """
    person = request.scope.get("alignloop.person") if isinstance(request, fastapi.Request) else None
    if person is None:
        person = parts.store.people.by_id(getattr(request, "username", None) or "")
    if person is None or person.disabled:
        raise NotSignedIn("You are signed out. Sign in again; what you typed is kept.")
    return cast("Person", person)


def island(
    parts: Parts, scripts: tuple[str, ...], shell: Markup, acts: Acts, listens: Listens | None = None
) -> gr.HTML:
    """Put the page's shell and scripts into the current Blocks and connect them."""

    async def act(data: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        try:
            person = await asyncio.to_thread(caller, parts, request)
            answer = await acts(person, read_act(data))
        except Malformed as error:
            raise fastapi.HTTPException(400, str(error)) from error
        except AlignloopError as error:
            answer = Answer(error=error.outside)
        except (KeyError, TypeError, ValueError):
            log.exception("an act of a page was refused")
            answer = Answer(error=SORRY)
        return vars(answer)

    listening = "" if listens is None else "'listen';\n"  # Gradio knows an event by its quoted name
    component = gr.HTML(
        value={},
        html_template="<div class='al-root'></div>",
        js_on_load=listening + "\n".join(asset(name) for name in ("page.js", *scripts)),
        server_functions=[act],
        apply_default_css=False,
        shell=shell,
    )
    if listens is not None:

        async def listen(event: gr.EventData, request: gr.Request) -> AsyncIterator[object]:
            try:
                person = await asyncio.to_thread(caller, parts, request)
                async for value in listens(person, read_act(event._data or {})):
                    yield value
            except AlignloopError as error:  # the page's next act says it to the person
                log.warning("a page stopped listening: %s", error)

        component.listen(
            listen,
            outputs=[component],
            show_progress="hidden",
            concurrency_limit=None,
            trigger_mode="multiple",
            api_name=False,
        )
    return component
