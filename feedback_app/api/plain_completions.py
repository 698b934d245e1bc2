"""`/v1/completions`, as OpenAI's older client calls it: a text goes on. Nothing of it is kept, and nothing is judged.

Who sends a prompt that no chat template wraps writes the turns themselves, the assistant's too, so its answer is no
evidence about the model: there is no ticket, `x-alignloop-unjudged` says `prompt`, and no record is made. It has the
same key, the same window and the same turn in the queue as a chat request. `echo` is not offered: with `logprobs` it
asks vLLM for those of the prompt, which is costly for everybody else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from feedback_app.api.amounts import MOST_CHOICES, measured
from feedback_app.api.door import (
    LATE_READER_S,
    Door,
    PassThrough,
    check_named,
    error_event,
    read_request,
    refusal,
    shown_names,
)
from feedback_app.api.fields import STREAM_OPTIONS, Type, check_finite, fits, short
from feedback_app.api.keys import person_of_request
from feedback_app.api.leaving import unless_left
from feedback_app.api.openai_errors import OpenAIRoute
from feedback_app.collect.admission import Load
from feedback_app.collect.generate import POLICY, Served, sentence, served
from feedback_app.collect.text import clean
from feedback_app.collect.window import longest_token_of, window_of
from feedback_app.domain.people import Role
from feedback_app.errors import NotFound, UsageError
from feedback_app.store.tables import Person
from serving.client import RawReply
from serving.errors import ServingError
from serving.transcript import Transcript

PLAIN = "/v1/completions"
USUAL_TOKENS = 16  # how long an answer is where nothing is said, as OpenAI's and vLLM's
FIELDS: Mapping[str, Type] = {
    "model": Type.TEXT,
    "prompt": Type.TEXTS,
    "max_tokens": Type.INT,
    "n": Type.INT,
    "seed": Type.INT,
    "stop": Type.TEXTS,
    "stream": Type.BOOL,
    "stream_options": Type.OBJECT,
    "temperature": Type.NUMBER,
    "top_p": Type.NUMBER,
    "top_k": Type.INT,
    "min_p": Type.NUMBER,
    "frequency_penalty": Type.NUMBER,
    "presence_penalty": Type.NUMBER,
    "repetition_penalty": Type.NUMBER,
    "logit_bias": Type.OBJECT,
    "logprobs": Type.INT,
}
WITHOUT_EFFECT = frozenset({"metadata", "service_tier", "store", "user"})
INSTEAD = {
    "best_of": "Send n, and choose.",
    "echo": "The prompt is what you sent.",
    "suffix": "The model writes forwards only.",
}


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A request that may be answered: what vLLM gets but for the model's name, and what it asks of vLLM."""

    person: Person
    body: dict[str, Any]
    target: Served
    load: Load

    @property
    def headers(self) -> dict[str, str]:
        """What a reply says beside its body."""
        version = self.target.version.name
        return {"x-alignloop-unjudged": "prompt", "x-alignloop-version": version, "cache-control": "no-store"}


def read_plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A request without what it may not say; a field that is null says nothing. Raises `UsageError` naming a field."""
    check_finite(asked)
    body: dict[str, Any] = {"max_tokens": USUAL_TOKENS}
    for name, value in asked.items():
        if value is None or name in WITHOUT_EFFECT or (name in INSTEAD and not value):
            continue
        if name in INSTEAD:
            raise UsageError(f"{name} is not offered here. {INSTEAD[name]}")
        if name not in FIELDS:
            raise UsageError(f"{short(name)} is not a field that is taken here. Leave it out.")
        if not fits(value, FIELDS[name]):
            raise UsageError(f"{name} must be {FIELDS[name].value}.")
        body[name] = value
    if not body.get("prompt"):
        raise UsageError("The request has no prompt. Send one as a text.")
    if "stream_options" in body:
        body["stream_options"] = {key: body["stream_options"].get(key) is True for key in STREAM_OPTIONS}
    return body


def weighed(body: Mapping[str, Any], window: int, longest_token: int, size: int) -> tuple[dict[str, Any], Load]:
    """The request with its amounts capped, and its load: every prompt alone must fit. Raises as `amounts.measured`."""
    prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
    loads = []
    within: dict[str, Any] = {}
    for prompt in prompts:
        turns = [{"role": "user", "content": prompt}]
        within, load = measured({**body, "messages": turns}, window, longest_token, size)
        loads.append(load)
    answers = (body.get("n") or 1) * len(prompts)
    if answers > MOST_CHOICES:
        raise UsageError(f"One request may ask for at most {MOST_CHOICES} answers: fewer prompts, or a smaller n.")
    del within["messages"]
    longest = max(load.max_tokens for load in loads)
    return within, Load(sum(load.prompt_tokens for load in loads), longest, answers, size)


async def answer_plain(door: Door, authorization: str | None, body: bytes) -> Response:
    """Answer once it may run. Raises errors of `feedback_app.errors` before the answer has begun."""
    came = door.admission.clock()
    asked = await door.look(_admit, door, authorization, body)
    version = asked.target.version
    async with AsyncExitStack() as opening:
        opening.enter_context(door.inflight.request(version.name))
        deadline_s = door.settings.request_deadline_s
        claim = opening.enter_context(door.admission.claim(asked.person.id, asked.load, deadline_s, came))
        waited = not claim.running
        await claim.started()
        if waited:  # whose key was ended meanwhile is not answered any more
            await door.look(person_of_request, door.store, authorization)
        request = {**asked.body, "model": asked.target.model}
        if claim.priority:
            request["priority"] = claim.priority
        call = door.vllm.raw("POST", PLAIN, json.dumps(request).encode(), timeout_s=claim.left_s)
        try:
            reply = await opening.enter_async_context(call)
            if reply.status != 200:
                return await refusal(reply, version, asked.body["model"] == POLICY)
            if not asked.body.get("stream"):
                raw = b"".join([chunk async for chunk in reply.chunks])
                return Response(shown_names(raw, asked.target), 200, asked.headers, reply.content_type)
        except ServingError as error:
            raise sentence(error, version) from error
        stack = opening.pop_all()  # from here on the streamed response ends what was opened
    pieces, left_s = _pieces(reply, asked.target), claim.left_s + LATE_READER_S
    return PassThrough(pieces, stack, asked.headers, reply.content_type, left_s)


def _admit(door: Door, authorization: str | None, body: bytes) -> PlainRequest:
    person = person_of_request(door.store, authorization)
    asked = read_plain(read_request(body))
    model = clean(asked["model"])
    check_named(model, Role(person.role).reaches(Role.OPERATOR))
    within, load = weighed(asked, window_of(door.settings, door.facts), longest_token_of(door.facts), len(body))
    try:
        return PlainRequest(person, within, served(door.store, model), load)
    except UsageError as error:
        raise NotFound(str(error)) from error


async def _pieces(reply: RawReply, target: Served) -> AsyncGenerator[bytes]:
    whole = Transcript()
    try:
        async for chunk in reply.chunks:
            if passing := whole.feed(chunk):
                yield shown_names(passing, target)
        if rest := whole.rest():
            yield rest
    except ServingError as error:
        yield error_event(str(sentence(error, target.version)))


def build_plain_completions(door: Door) -> APIRouter:
    """The route."""
    router = APIRouter(route_class=OpenAIRoute)

    @router.post(PLAIN)
    async def complete(request: Request) -> Response:
        body = await request.body()
        return await unless_left(request, answer_plain(door, request.headers.get("authorization"), body))

    return router
