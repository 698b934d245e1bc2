"""The door: `/v1/models` and `/v1/chat/completions`, as OpenAI's client calls them.

    request → who asks → what `policy` means now → vLLM → its bytes, unchanged → the record, and a ticket

Only the model's name in the request is replaced, and token counts are asked for. The reply's body names
the concrete model; the headers `x-alignloop-version` and `x-alignloop-ticket` name the version and the
ticket by which the answer may be judged. The record is committed before the end of the answer is passed on,
so whoever has seen the end may send a verdict at once. No rules here: what is kept is `collect.door`'s.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from feedback_app.api.json_body import read_json
from feedback_app.api.keys import person_of_request
from feedback_app.api.openai_errors import OpenAIRoute, error_body
from feedback_app.collect.door import record_door
from feedback_app.collect.generate import POLICY, Served, sentence, served
from feedback_app.collect.people import Role
from feedback_app.errors import AlignloopError, NotAllowed, NotFound, Unavailable, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Completion, Person, new_id
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

SAMPLING_KEYS = (
    *("temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "min_tokens", "n", "stop"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias", "response_format", "tool_choice"),
)
MOST_CHOICES = 16
RUNNING_PER_PERSON = 64


class TooMany(AlignloopError):
    """One person has too many requests running at once."""

    http_status = 429


@dataclass
class Door:
    """What the routes need. `inflight` counts running requests by version, for whoever drains one."""

    store: Store
    vllm: VllmClient
    settings: Settings
    facts: ModelFacts | None = None
    inflight: InFlight = field(default_factory=InFlight)
    _running: Counter[str] = field(default_factory=Counter)
    _recording: set[asyncio.Task[None]] = field(default_factory=set)
    # Threads of their own, so that a request that begins never waits behind records that are being written.
    _looking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "door-look"))
    _writing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "door-write"))

    async def models(self, authorization: str | None) -> list[dict[str, Any]]:
        """`policy`, and for operators every version that is loaded now."""

        def look() -> tuple[Person, Served, list[Any]]:
            return person_of_request(self.store, authorization), served(self.store), self.store.versions.listing()

        person, policy, versions = await self._look(look)
        cards = [_card(POLICY, policy.version.created_at, policy.version.name)]
        if Role(person.role).reaches(Role.OPERATOR):
            try:
                loaded = {model.name for model in await self.vllm.models()}
            except ServingError as error:
                raise sentence(error) from error
            for version in versions:
                name = "base" if version.form == "full" else version.name
                if version.state != "unloadable" and name in loaded:
                    cards.append(_card(version.name, version.created_at, version.name))
        return cards

    async def complete(self, authorization: str | None, body: bytes) -> Response:
        """Answer one chat request. Raises errors of `feedback_app.errors` before the answer has begun."""
        person, asked, target = await self._look(self._admit, authorization, body)
        if self._running[person.id] >= RUNNING_PER_PERSON:
            raise TooMany(f"You have {RUNNING_PER_PERSON} requests running already. Wait for one to end.")
        answer = Answer(self, person, asked, target)
        async with AsyncExitStack() as opening:
            opening.enter_context(self.inflight.request(target.version.name))
            self._running[person.id] += 1
            opening.callback(self._left, person.id)
            try:
                call = self.vllm.raw("POST", COMPLETIONS, answer.request(), timeout_s=self.settings.request_deadline_s)
                reply = await opening.enter_async_context(call)
                if reply.status != 200:
                    return await _refusal(reply, asked["model"] == POLICY)
                if not asked.get("stream"):
                    return await answer.whole(reply)
            except ServingError as error:
                raise sentence(error) from error
            stack = opening.pop_all()  # from here on the streamed response ends what was opened
        return PassThrough(answer.pieces(reply), stack, answer.headers(), reply.content_type)

    async def keep(self, work: asyncio.Task[None]) -> None:
        """Wait until a record is committed; it is finished even when this request is cancelled meanwhile."""
        self._recording.add(work)
        work.add_done_callback(self._recording.discard)
        await asyncio.shield(work)

    def _admit(self, authorization: str | None, body: bytes) -> tuple[Person, dict[str, Any], Served]:
        """Who asks, what, and which version answers. Synchronous: two looks at the database."""
        # The key comes first, so that a stranger learns nothing about requests.
        person = person_of_request(self.store, authorization)
        asked = read_request(body)
        model = asked["model"]
        if model != POLICY and not Role(person.role).reaches(Role.OPERATOR):
            raise NotAllowed(f"Only an operator may ask for {model} by name. Ask for the model {POLICY}.")
        try:
            return person, asked, served(self.store, model)
        except UsageError as error:
            raise NotFound(str(error)) from error

    async def _look(self, look: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._looking, look, *arguments)

    def _left(self, person_id: str) -> None:
        self._running[person_id] -= 1
        if self._running[person_id] <= 0:
            del self._running[person_id]


@dataclass
class Answer:
    """One request on its way through the door."""

    door: Door
    person: Person
    asked: Mapping[str, Any]
    target: Served
    ticket_id: str = field(default_factory=new_id)
    began: float = field(default_factory=time.monotonic)

    def request(self) -> bytes:
        """The body for vLLM: as received, but for the model's name, and with token counts at a stream's end."""
        body = {**self.asked, "model": self.target.model}
        if body.get("stream"):
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return json.dumps(body).encode()

    def headers(self) -> dict[str, str]:
        """What a reply says beside its body."""
        return {
            "x-alignloop-ticket": self.ticket_id,
            "x-alignloop-version": self.target.version.name,
            "cache-control": "no-store",
        }

    async def whole(self, reply: RawReply) -> Response:
        """An answer in one piece."""
        raw = b"".join([chunk async for chunk in reply.chunks])
        try:
            said = read_reply(raw)
        except ValueError as error:
            raise Unavailable("vLLM did not answer with a chat completion. Look at its log.") from error
        await self._record(lambda: said, None, "failed")
        return Response(raw, 200, self.headers(), reply.content_type)

    async def pieces(self, reply: RawReply) -> AsyncGenerator[bytes]:
        """A streamed answer: vLLM's bytes as they come. Recorded however it ends, once anything was said."""
        usage_asked = bool((self.asked.get("stream_options") or {}).get("include_usage"))
        transcript = Transcript(hide_usage=not usage_asked)
        ending = "stopped"  # how an answer without vLLM's own reason ended: by its reader, until known better
        recorded = False
        try:
            async for chunk in reply.chunks:
                passing = transcript.feed(chunk)
                if passing.endswith(DONE):
                    recorded = True
                    await self._record(transcript.said, transcript.first_s, "failed")
                if passing:
                    yield passing
            if rest := transcript.rest():
                yield rest
            ending = "failed"
        except ServingError as error:
            ending = "failed"
            yield f"data: {json.dumps(error_body(503, str(sentence(error))))}\n\n".encode()
        finally:
            if not recorded:
                await self._record(transcript.said, transcript.first_s, ending)

    async def _record(self, said: Callable[[], Said], first_s: float | None, ending: str) -> None:
        """Commit what was said; `ending` is for choices to which vLLM gave no reason.

        A failure is logged: the answer itself is not withheld for it.
        """
        seconds = time.monotonic() - self.began
        first_token_s = None if first_s is None else first_s - self.began

        async def commit() -> None:
            try:
                loop, writing = asyncio.get_running_loop(), self.door._writing
                await loop.run_in_executor(writing, self._store, said, first_token_s, seconds, ending)
            except Exception:
                log.exception("an answer of the door could not be recorded")

        await self.door.keep(asyncio.ensure_future(commit()))

    def _store(self, read: Callable[[], Said], first_token_s: float | None, seconds: float, ending: str) -> None:
        door, said = self.door, read()
        if not any(choice.text or choice.finish_reason for choice in said.choices):
            return
        choices = [
            (choice.text, self._completion(choice, said, len(said.choices), first_token_s, seconds, ending))
            for choice in said.choices
        ]
        messages = self.asked["messages"]
        record_door(door.store, self.person, messages, choices, door.settings.ticket_ttl_s, self.ticket_id)

    def _completion(
        self, choice: Choice, said: Said, shares: int, first_token_s: float | None, seconds: float, ending: str
    ) -> Completion:
        version, facts = self.target.version, self.door.facts
        sampling = {key: self.asked[key] for key in SAMPLING_KEYS if self.asked.get(key) is not None}
        if "temperature" not in sampling:
            sampling["temperature"] = facts.temperature if facts and facts.temperature is not None else 1.0
        seed = self.asked.get("seed")
        return Completion(
            message_id="",
            version=version.name,
            adapter_hash=version.artifact_hash if version.form == "adapter" else "",
            template_hash=facts.template_hash if facts else version.template_hash,
            sampling=sampling,
            seed=seed if isinstance(seed, int) and abs(seed) < 2**63 else None,
            finish_reason=choice.finish_reason or ending,
            prompt_tokens=said.prompt_tokens,
            # vLLM counts the choices of a request together.
            completion_tokens=round(said.completion_tokens / shares),
            first_token_s=first_token_s,
            seconds=seconds,
            sent=[],
            created_at=self.door.store.now(),
        )


class PassThrough(StreamingResponse):
    """A streamed response that ends what was opened for it, also when its reader leaves before it begins."""

    def __init__(
        self, pieces: AsyncGenerator[bytes], opened: AsyncExitStack, headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(pieces, 200, headers, media_type)
        self._pieces, self._opened = pieces, opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._opened, aclosing(self._pieces):
            await super().__call__(scope, receive, send)


def read_request(body: bytes) -> dict[str, Any]:
    """A chat request. Raises `UsageError` that names what is wrong; the rest is vLLM's to check."""
    asked = read_json(body, "Send a JSON object with model and messages.", half_pairs=True)
    if not isinstance(asked, dict):
        raise UsageError("The request's body is not a JSON object. Send one with model and messages.")
    if not isinstance(asked.get("model"), str) or not asked["model"]:
        raise UsageError(f"The request names no model. Ask for the model {POLICY}.")
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(turn, dict) for turn in messages):
        raise UsageError("messages must be a list of at least one message, each an object with role and content.")
    n = asked.get("n")
    if n is not None and (not isinstance(n, int) or not 1 <= n <= MOST_CHOICES):
        raise UsageError(f"n must be a whole number from 1 to {MOST_CHOICES}.")
    if asked.get("prompt_logprobs") is not None:
        # Costly for everybody else, and known to end vLLM's engine on CPU.
        raise UsageError("prompt_logprobs is not offered here. Leave it out; logprobs of the answer are offered.")
    if not isinstance(asked.get("stream_options") or {}, dict):
        raise UsageError("stream_options must be an object.")
    return asked


def build_door(
    *,
    store: Store,
    vllm: VllmClient,
    settings: Settings,
    facts: ModelFacts | None = None,
    inflight: InFlight | None = None,
) -> APIRouter:
    """The door's routes, to be included in the app at its root."""
    door = Door(store, vllm, settings, facts, inflight or InFlight())
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
        return await door.complete(request.headers.get("authorization"), await request.body())

    return router


def _card(name: str, created_at: float, version: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(created_at), "owned_by": "alignloop", "root": version}


async def _refusal(reply: RawReply, by_alias: bool) -> Response:
    """vLLM's own refusal; of a version that it has not loaded (again) yet, one that makes clients try again."""
    raw = b"".join([chunk async for chunk in reply.chunks])
    if reply.status == 404 and by_alias:
        raise Unavailable("The version that policy means is not loaded yet. Try again in a moment.")
    if reply.status == 404:
        raise NotFound("This version is not loaded now. Ask for a loaded one, or for policy.")
    return Response(raw, reply.status, None, reply.content_type)
