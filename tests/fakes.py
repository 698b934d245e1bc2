"""One fake of each outside part, shared by all tests. Tests beside these use the real things."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from serving.client import ChatChunk, ServedModel, VllmError, VllmUnreachable


class Clock:
    """A clock that moves when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Reply:
    """What the fake model says next.

    `pause_at`: wait for `go` before this word. `break_at`: lose the connection before this word.
    `error`: refuse the request instead.
    """

    text: str
    finish_reason: str = "stop"
    pause_at: int | None = None
    break_at: int | None = None
    error: VllmError | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


class FakeVllm:
    """A queue-driven stand-in for `serving.client.VllmClient`, without a network.

    Answers come from `replies`, first in first out; when it is empty, each seed has its own answer. A token is
    a word; a message costs two more. `requests` holds every payload and `given` what
    was answered to it, `loaded` the adapters (name to path). It was started with the model of hash `weights`, in the
    folder `root`. An adapter's log-probabilities follow from its weights file, or from its path where there is none;
    `voices` moves those of a path, nats.
    """

    def __init__(
        self, *replies: Reply | str, max_model_len: int = 1024, weights: str = "b" * 64, root: str = ""
    ) -> None:
        self.replies: deque[Reply] = deque(Reply(r) if isinstance(r, str) else r for r in replies)
        self.max_model_len = max_model_len
        self.loaded: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []
        self.given: list[Reply] = []
        self.closed_early = 0
        self.down = False
        self.base_url = "http://fake"
        self.weights, self.root = weights, root
        self.release = "0.32.0"
        self.voices: dict[str, float] = {}

    def queue(self, *replies: Reply | str) -> None:
        self.replies.extend(Reply(r) if isinstance(r, str) else r for r in replies)

    async def close(self) -> None:
        return None

    async def health(self) -> bool:
        return not self.down

    async def models(self) -> list[ServedModel]:
        self._reach()
        adapters = [ServedModel(name, "base", None, path) for name, path in self.loaded.items()]
        bases = [ServedModel(name, None, self.max_model_len, self.root) for name in self.bases]
        return [*bases, *adapters]

    @property
    def bases(self) -> tuple[str, str]:
        """The names of the model it was started with."""
        return "base", f"base-{self.weights[:12]}"

    @property
    def versions(self) -> dict[str, str]:
        """The loaded adapters by their versions' names, without the hash that vLLM's names carry."""
        return {shown(name): path for name, path in self.loaded.items()}

    async def version(self) -> str:
        self._reach()
        return self.release

    async def greedy(self, name: str, prompt: str, max_tokens: int) -> tuple[list[int], list[int]]:
        self._reach()
        self.check_known(name)
        return [len(word) for word in prompt.split()], [len(shown(name)), len(name)]

    async def next_token(
        self, name: str, context: Sequence[int], *, likeliest: int = 0, tokens: Sequence[int] = ()
    ) -> dict[int, float]:
        self._reach()
        self.check_known(name)
        path = self.loaded.get(name, "")
        weights = Path(path) / "adapter_model.safetensors"
        voice = weights.read_bytes() if path and weights.exists() else (path or self.weights).encode()
        found = {}
        for token in tokens or range(likeliest):
            digest = hashlib.sha256(voice + f"{list(context)}{token}".encode()).digest()
            found[token] = -4 * digest[0] / 255 + self.voices.get(path, 0.0)
        return {token: value for token, value in found.items() if math.isfinite(value)}

    async def load(self, name: str, path: str) -> None:
        self._reach()
        self.loaded.setdefault(name, path)

    async def unload(self, name: str) -> None:
        self._reach()
        self.loaded.pop(name, None)

    async def probe(self, name: str) -> None:
        self._reach()
        self.check_known(name)

    async def tokenize(self, messages: Sequence[Mapping[str, Any]], model: str = "base") -> int:
        self._reach()
        self.check_known(model)
        return sum(len(str(message["content"]).split()) + 2 for message in messages)

    async def chat(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        chunks = [chunk async for chunk in self.events(payload)]
        message = {"role": "assistant", "content": "".join(chunk.delta for chunk in chunks)}
        usage = next((chunk.usage for chunk in reversed(chunks) if chunk.usage), None)
        reason = next(chunk.finish_reason for chunk in chunks if chunk.finish_reason)
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {**_envelope(payload, "chat.completion"), "choices": [choice], "usage": usage}

    async def stream(self, payload: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        async for chunk in self.events(payload):
            delta = {"role": "assistant", "content": chunk.delta}
            choices = [{"index": 0, "delta": delta, "finish_reason": chunk.finish_reason}]
            body = _envelope(payload, "chat.completion.chunk") | {"choices": choices}
            if chunk.usage:
                body |= {"choices": [], "usage": chunk.usage}
            yield f"data: {json.dumps(body)}\n\n".encode()
        yield b"data: [DONE]\n\n"

    async def events(self, payload: Mapping[str, Any]) -> AsyncGenerator[ChatChunk]:
        self._reach()
        self.check_known(str(payload["model"]))
        self.requests.append(dict(payload))
        reply = self.replies.popleft() if self.replies else Reply(f"Answer number {payload.get('seed')}.")
        self.given.append(reply)
        if reply.error is not None:
            raise reply.error
        prompt_tokens = await self.tokenize(payload["messages"])
        words = reply.text.split(" ") if reply.text else []
        try:
            for number, word in enumerate(words):
                if number == reply.break_at:
                    raise VllmUnreachable("the connection broke")
                if number == reply.pause_at:
                    reply.reached.set()
                    await reply.go.wait()
                yield ChatChunk(word if number == 0 else " " + word)
                await asyncio.sleep(0)
            if reply.break_at == len(words):
                raise VllmUnreachable("the connection broke")
            yield ChatChunk("", reply.finish_reason)
            yield ChatChunk("", None, {"prompt_tokens": prompt_tokens, "completion_tokens": len(words)})
        except (GeneratorExit, asyncio.CancelledError):
            self.closed_early += 1
            raise

    def _reach(self) -> None:
        if self.down:
            raise VllmUnreachable("Nothing answers at http://fake.")

    def check_known(self, model: str) -> None:
        if model not in (*self.bases, *self.loaded):
            raise VllmError(404, f"The model `{model}` does not exist.")


def shown(name: str) -> str:
    """The version's name of a name that vLLM knows, without the hash that it carries."""
    return "base" if name.startswith("base") else re.sub("-[0-9a-f]{12}$", "", name)


def fake_app(fake: FakeVllm) -> web.Application:
    """The fake behind vLLM's own HTTP routes, for tests that need a real connection."""

    async def guarded(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        except VllmError as error:
            body = {"error": {"message": error.message, "type": "NotFoundError", "code": error.status}}
            return web.json_response(body, status=error.status)

    async def health(request: web.Request) -> web.Response:
        return web.Response(status=503 if fake.down else 200)

    async def models(request: web.Request) -> web.Response:
        cards = [
            {"id": m.name, "object": "model", "parent": m.parent, "max_model_len": m.max_model_len, "root": m.path}
            for m in await fake.models()
        ]
        return web.json_response({"object": "list", "data": cards})

    async def tokenize(request: web.Request) -> web.Response:
        body = await request.json()
        count = await fake.tokenize(body["messages"], body.get("model", "base"))
        return web.json_response({"count": count, "max_model_len": fake.max_model_len, "tokens": []})

    async def completions(request: web.Request) -> web.StreamResponse:
        payload = await request.json()
        fake.check_known(payload["model"])
        if payload.get("return_token_ids"):
            opening, answer = await fake.greedy(payload["model"], payload["messages"][-1]["content"], 1)
            return web.json_response({"prompt_token_ids": opening, "choices": [{"token_ids": answer}]})
        if not payload.get("stream"):
            return web.json_response(await fake.chat(payload))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            async for chunk in fake.stream(payload):
                await response.write(chunk)
        except VllmUnreachable:
            if request.transport is not None:
                request.transport.close()
        return response

    async def next_token(request: web.Request) -> web.Response:
        asked = await request.json()
        tokens = asked.get("logprob_token_ids") or ()
        found = await fake.next_token(asked["model"], asked["prompt"], likeliest=asked["logprobs"], tokens=tokens)
        tops = {f"token_id:{token}": value for token, value in found.items()}
        return web.json_response({"choices": [{"logprobs": {"top_logprobs": [tops]}}]})

    async def version(request: web.Request) -> web.Response:
        return web.json_response({"version": fake.release})

    async def load(request: web.Request) -> web.Response:
        body = await request.json()
        await fake.load(body["lora_name"], body["lora_path"])
        return web.Response(text="Success")

    async def unload(request: web.Request) -> web.Response:
        await fake.unload((await request.json())["lora_name"])
        return web.Response(text="Success")

    app = web.Application(middlewares=[web.middleware(guarded)])
    app.add_routes(
        [
            web.get("/health", health),
            web.get("/v1/models", models),
            web.get("/version", version),
            web.post("/tokenize", tokenize),
            web.post("/v1/chat/completions", completions),
            web.post("/v1/completions", next_token),
            web.post("/v1/load_lora_adapter", load),
            web.post("/v1/unload_lora_adapter", unload),
        ]
    )
    return app


@asynccontextmanager
async def fake_server(fake: FakeVllm, port: int = 0) -> AsyncIterator[str]:
    """Serve `fake_app` on loopback while the block runs; yields its base URL."""
    runner = web.AppRunner(fake_app(fake), handler_cancellation=True)  # as vLLM: a client that leaves ends the answer
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _envelope(payload: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-fake", "object": kind, "created": 0, "model": payload["model"]}


async def collected(events: AsyncIterator[Any] | Iterable[Any]) -> list[Any]:
    """Everything an async generator yields."""
    return [event async for event in events]  # type: ignore[union-attr]
