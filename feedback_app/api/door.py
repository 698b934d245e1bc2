"""The door: `/v1/models` and `/v1/chat/completions`, as OpenAI's client calls them.

    request → who asks → what `policy` means now → vLLM → its bytes → the record, and a ticket

Of the request go on the fields that `api.fields` takes, with the name by which vLLM knows the version for the model's,
and in the reply the version's own name stands; token counts are asked for. The headers `x-alignloop-version` and
`x-alignloop-ticket` name the version and the ticket by which the answer may be judged. Where the request could decide
the answer's words there is no ticket, and `x-alignloop-unjudged` names the fields. The ticket is promised, in a commit
of its own, before anything that bears it is passed on: where nothing can be stored, nothing is answered. The record is
committed before the end of the answer is passed on, so whoever has seen the end may send a verdict at once; when that
fails, the end is an error. No rules here: what is kept is `collect.door`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from feedback_app.api.amounts import measured
from feedback_app.api.fields import Asked, read_fields
from feedback_app.api.json_body import read_json
from feedback_app.api.keys import person_of_request
from feedback_app.api.leaving import unless_left
from feedback_app.api.openai_errors import OpenAIRoute, error_body
from feedback_app.collect.admission import Admission, Claim, Load
from feedback_app.collect.door import record_door, with_calls
from feedback_app.collect.generate import POLICY, Served, not_loaded, sentence, served, writes_turns
from feedback_app.collect.reserving import Reserving
from feedback_app.collect.text import clean
from feedback_app.collect.window import longest_token_of, window_of
from feedback_app.domain.conversations import FinishReason
from feedback_app.domain.people import Role
from feedback_app.domain.versions import VersionForm, VersionState
from feedback_app.errors import Conflict, NotAllowed, NotFound, Unavailable, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Completion, Excluded, Person, Version, new_id
from serving.client import COMPLETIONS, RawReply
from serving.errors import ServingError
from serving.inflight import InFlight
from serving.transcript import DONE, Choice, Said, Transcript, read_reply

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.client import VllmClient
    from serving.model_check import ModelFacts

T = TypeVar("T")
log = logging.getLogger(__name__)

LATE_READER_S = 5.0  # after the deadline, for the error event of an answer that vLLM did not end in time
NOT_STORED = (
    "The answer could not be stored, so its ticket cannot be judged: the disk may be full. The server's log says why."
)


@dataclass
class Door:
    """What the routes need. `inflight` counts requests by version, for who drains one; `admission` lets them run."""

    store: Store
    vllm: VllmClient
    settings: Settings
    facts: ModelFacts | None = None
    inflight: InFlight = field(default_factory=InFlight)
    admission: Admission = field(default_factory=Admission)
    reserving: Reserving = field(init=False)
    _recording: set[asyncio.Task[bool]] = field(default_factory=set)
    # Threads of their own, so that a request that begins never waits behind records that are being written.
    _looking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "door-look"))
    _writing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "door-write"))

    def __post_init__(self) -> None:
        self.reserving = Reserving(self.store, self.settings.request_deadline_s)

    async def models(self, authorization: str | None) -> list[dict[str, Any]]:
        """`policy`, and for operators every version that is loaded now."""

        def look() -> tuple[Person, Served, list[Any]]:
            return person_of_request(self.store, authorization), served(self.store), self.store.versions.listing()

        person, policy, versions = await self.look(look)
        cards = [_card(POLICY, policy.version.created_at, policy.version.name)]
        if Role(person.role).reaches(Role.OPERATOR):
            try:
                loaded = {model.name for model in await self.vllm.models()}
            except ServingError as error:
                raise sentence(error) from error
            for version in versions:
                if version.state != VersionState.UNLOADABLE and version.served_name in loaded:
                    cards.append(_card(version.name, version.created_at, version.name))
        return cards

    async def complete(self, authorization: str | None, body: bytes) -> Response:
        """Answer one chat request once it may run. Raises errors of `feedback_app.errors` before the answer has begun.

        No byte goes out while a request waits for its turn, so that a client which waited in vain gets a status
        that makes it try again.
        """
        came = self.admission.clock()
        person, asked, target, load = await self.look(self._admit, authorization, body)
        answer = DoorAnswer(self, person, asked, target)
        async with AsyncExitStack() as opening:
            opening.enter_context(self.inflight.request(target.version.name))
            claim = opening.enter_context(self.admission.claim(person.id, load, self.settings.request_deadline_s, came))
            waited = not claim.running
            await answer.turn(claim)
            if waited:  # whose key was ended meanwhile is not answered any more
                await self.look(person_of_request, self.store, authorization)
            try:
                promised = self.reserving.begin(person, answer.ticket_id)
                if not asked.body.get("stream"):
                    await promised  # vLLM answers such a request only once it is done
                call = self.vllm.raw("POST", COMPLETIONS, answer.request(), timeout_s=claim.left_s)
                reply = await opening.enter_async_context(call)
                if reply.status != 200:
                    return await refusal(reply, target.version, asked.body["model"] == POLICY)
                await promised  # meanwhile the prompt is read
                if not asked.body.get("stream"):
                    return await answer.whole(reply)
            except ServingError as error:
                raise sentence(error, target.version) from error
            stack = opening.pop_all()  # from here on the streamed response ends what was opened
        return PassThrough(
            answer.pieces(reply), stack, answer.headers(), reply.content_type, claim.left_s + LATE_READER_S
        )

    async def keep(self, work: asyncio.Task[bool]) -> bool:
        """Wait until a record is committed; it is finished even when this request is cancelled meanwhile."""
        self._recording.add(work)
        work.add_done_callback(self._recording.discard)
        return await asyncio.shield(work)

    def _admit(self, authorization: str | None, body: bytes) -> tuple[Person, Asked, Served, Load]:
        """Who asks, what, which version answers, and what it asks of vLLM. Synchronous: two looks at the database."""
        # The key comes first, so that a stranger learns nothing about requests.
        person = person_of_request(self.store, authorization)
        operator = Role(person.role).reaches(Role.OPERATOR)
        asked = read_fields(read_request(body), operator=operator, tools=bool(self.settings.tool_parser))
        model = clean(asked.body["model"])
        check_named(model, operator)
        window = window_of(self.settings, self.facts)
        within, load = measured(asked.body, window, longest_token_of(self.facts), len(body))
        try:
            sampling = {name: within.get(name, value) for name, value in asked.sampling.items()}
            return person, replace(asked, body=within, sampling=sampling), served(self.store, model), load
        except UsageError as error:
            raise NotFound(str(error)) from error

    async def look(self, look: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._looking, look, *arguments)


@dataclass
class DoorAnswer:
    """One request on its way through the door; `claim` is its place in vLLM, free again once all has been said."""

    door: Door
    person: Person
    asked: Asked
    target: Served
    ticket_id: str = field(default_factory=new_id)
    claim: Claim | None = None
    began: float = field(default_factory=time.monotonic)

    async def turn(self, claim: Claim) -> None:
        """Wait for the place; the answer's times count from here."""
        self.claim = claim
        await claim.started()
        self.began = time.monotonic()

    def request(self) -> bytes:
        """The body for vLLM: with the version's name, and with token counts at a stream's end."""
        body = {**self.asked.body, "model": self.target.model}
        if self.claim and self.claim.priority:
            body["priority"] = self.claim.priority
        if body.get("stream"):
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return json.dumps(body).encode()

    def headers(self) -> dict[str, str]:
        """What a reply says beside its body."""
        judging = {"x-alignloop-ticket": self.ticket_id}
        if self.asked.excluded is not None:
            judging = {"x-alignloop-unjudged": ", ".join(self.asked.because)}
        return {**judging, "x-alignloop-version": self.target.version.name, "cache-control": "no-store"}

    async def whole(self, reply: RawReply) -> Response:
        """An answer in one piece."""
        raw = b"".join([chunk async for chunk in reply.chunks])
        self._said_all()
        try:
            said = read_reply(raw)
        except ValueError as error:
            raise Unavailable("vLLM did not answer with a chat completion. Look at its log.") from error
        if not await self._record(lambda: said, None, FinishReason.FAILED):
            raise Unavailable(NOT_STORED)
        return Response(shown_names(raw, self.target), 200, self.headers(), reply.content_type)

    async def pieces(self, reply: RawReply) -> AsyncGenerator[bytes]:
        """A streamed answer: vLLM's bytes as they come. Recorded however it ends, once anything was said."""
        usage_asked = bool((self.asked.body.get("stream_options") or {}).get("include_usage"))
        transcript = Transcript(hide_usage=not usage_asked)
        ending = (
            FinishReason.STOPPED
        )  # how an answer without vLLM's own reason ended: by its reader, until known better
        recorded = False
        try:
            async for chunk in reply.chunks:
                passing = transcript.feed(chunk)
                if passing.endswith(DONE):
                    recorded = True
                    self._said_all()
                    if not await self._record(transcript.said, transcript.first_s, FinishReason.FAILED):
                        passing = passing.removesuffix(DONE) + error_event(NOT_STORED)
                if passing:
                    yield shown_names(passing, self.target)
            if rest := transcript.rest():
                yield rest
            ending = FinishReason.FAILED
        except ServingError as error:
            ending = FinishReason.FAILED
            yield error_event(str(sentence(error, self.target.version)))
        finally:
            if not recorded:
                await self._record(transcript.said, transcript.first_s, ending)

    def _said_all(self) -> None:
        if self.claim:
            self.claim.done()  # the place is another's while this is recorded

    async def _record(self, said: Callable[[], Said], first_s: float | None, ending: str) -> bool:
        """Commit what was said; `ending` is for choices to which vLLM gave no reason.

        A failure is logged, and False.
        """
        seconds = time.monotonic() - self.began
        first_token_s = None if first_s is None else first_s - self.began

        async def commit() -> bool:
            try:
                loop, writing = asyncio.get_running_loop(), self.door._writing
                await loop.run_in_executor(writing, self._store, said, first_token_s, seconds, ending)
            except Conflict as error:
                log.warning("an answer of the door is not kept: %s", error)
                return False
            except Exception:
                log.exception("an answer of the door could not be recorded")
                return False
            return True

        return await self.door.keep(asyncio.ensure_future(commit()))

    def _store(self, read: Callable[[], Said], first_token_s: float | None, seconds: float, ending: str) -> None:
        door, said = self.door, read()
        if not any(choice.text or choice.finish_reason for choice in said.choices):
            door.store.reservations.withdraw(self.ticket_id)  # there is nothing to judge
            return
        choices = [
            (
                with_calls(choice.text, [(call.name, call.arguments) for call in choice.calls]),
                self._completion(choice, said, len(said.choices), first_token_s, seconds, ending),
            )
            for choice in said.choices
        ]
        record_door(
            door.store,
            self.person,
            self.asked.body["messages"],
            choices,
            door.settings.ticket_ttl_s,
            self.ticket_id,
            judged=self.asked.excluded is None,
        )

    def _completion(
        self, choice: Choice, said: Said, shares: int, first_token_s: float | None, seconds: float, ending: str
    ) -> Completion:
        version, facts = self.target.version, self.door.facts
        sampling = dict(self.asked.sampling)
        if "temperature" not in sampling:
            sampling["temperature"] = facts.temperature if facts and facts.temperature is not None else 1.0
        seed = self.asked.body.get("seed")
        excluded = self.asked.excluded
        contents = (turn["content"] for turn in self.asked.body["messages"])
        if excluded is None and writes_turns(contents, facts.turn_tokens if facts else ()):
            excluded = Excluded.INVENTED_TURNS
        if excluded is None and choice.stop_string is not None:
            excluded = Excluded.STOP_STRING
        return Completion(
            message_id="",
            version=version.name,
            adapter_hash=version.artifact_hash if version.form == VersionForm.ADAPTER else "",
            template_hash=facts.template_hash if facts else version.template_hash,
            sampling=sampling,
            seed=seed if isinstance(seed, int) and abs(seed) < 2**63 else None,
            finish_reason=choice.finish_reason or ending,
            excluded=None if excluded is None else excluded.value,
            prompt_tokens=said.prompt_tokens,
            # vLLM counts the choices of a request together.
            completion_tokens=round(said.completion_tokens / shares),
            first_token_s=first_token_s,
            seconds=seconds,
            sent=[],
            created_at=self.door.store.now(),
        )


class PassThrough(StreamingResponse):
    """A streamed response that ends what was opened for it, also when its reader leaves before it begins.

    Nobody holds a place for longer than `left_s` by reading slowly: then the answer breaks off where it is.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        opened: AsyncExitStack,
        headers: Mapping[str, str],
        media_type: str,
        left_s: float,
    ) -> None:
        super().__init__(pieces, 200, headers, media_type)
        self._pieces, self._opened, self._left_s = pieces, opened, left_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            async with self._opened, aclosing(self._pieces), asyncio.timeout(self._left_s):
                await super().__call__(scope, receive, send)


def read_request(body: bytes) -> dict[str, Any]:
    """A chat request, as yet with every field. Raises `UsageError` that names what is wrong."""
    asked = read_json(body, "Send a JSON object with model and messages.", half_pairs=True)
    if not isinstance(asked, dict):
        raise UsageError("The request's body is not a JSON object. Send one with model and messages.")
    if not isinstance(asked.get("model"), str) or not asked["model"]:
        raise UsageError(f"The request names no model. Ask for the model {POLICY}.")
    return asked


def check_named(model: str, operator: bool) -> None:
    """Raise `NotAllowed` where somebody else than an operator asks for a version by its name."""
    if model != POLICY and not operator:
        raise NotAllowed(f"Only an operator may ask for {model} by name. Ask for the model {POLICY}.")


def build_chat(door: Door) -> APIRouter:
    """The routes of models and of chat."""
    router = APIRouter(route_class=OpenAIRoute)

    @router.get("/v1/models")
    async def models(request: Request) -> Response:
        cards = await door.models(request.headers.get("authorization"))
        return JSONResponse({"object": "list", "data": cards})

    @router.get("/v1/models/{name}")
    async def model(request: Request, name: str) -> Response:
        for card in await door.models(request.headers.get("authorization")):
            if card["id"] == name:
                return JSONResponse(card)
        raise NotFound(f"There is no model {name} for you. Ask for the model {POLICY}.")

    @router.post(COMPLETIONS)
    async def complete(request: Request) -> Response:
        body = await request.body()
        return await unless_left(request, door.complete(request.headers.get("authorization"), body))

    return router


def shown_names(data: bytes, target: Served) -> bytes:
    """A reply as it came, but with the version's own name for the one that vLLM knows it by.

    Quotes inside an answer are escaped in JSON, so an answer cannot look like this. Of whole events only, so that
    the name is never cut.
    """
    served, shown = (json.dumps(name).encode() for name in (target.model, target.version.name))
    for colon in (b'"model":', b'"model": '):
        data = data.replace(colon + served, colon + shown)
    return data


def error_event(sentence: str) -> bytes:
    """What ends a stream that could not go on."""
    return f"data: {json.dumps(error_body(503, sentence))}\n\n".encode()


def _card(name: str, created_at: float, version: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(created_at), "owned_by": "alignloop", "root": version}


async def refusal(reply: RawReply, version: Version, by_alias: bool) -> Response:
    """vLLM's own refusal; of a version that it has not loaded (again) yet, one that makes clients try again."""
    raw = b"".join([chunk async for chunk in reply.chunks])
    if reply.status == 404 and (by_alias or version.form == VersionForm.FULL):
        raise not_loaded(version)
    if reply.status == 404:
        raise NotFound("This version is not loaded now. Ask for a loaded one, or for policy.")
    return Response(raw, reply.status, None, reply.content_type)
