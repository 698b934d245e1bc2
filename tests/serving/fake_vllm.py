"""The fake of vLLM that all fast tests share: the same routes, shapes and error texts, without a model.

It answers `"<version> heard: <last user message>"` word by word, as far as `max_tokens` and `stop` let it. Use
`FakeVllm` inside a test's event loop, or run this file as a program (`fake_vllm.py PORT [child]`) where a test needs
a real process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web


class FakeVllm:
    """An in-process vLLM. `requests` holds every chat body as received, `served` the bytes of each stream;
    `tokenized` counts the calls of /tokenize.

    `delay_s` is slept before every streamed word; `hold` (when set to an Event) stops streams after the first
    word until it is set; `broken` makes streams break off after the first word; `window` is in words; `logprobs` are
    those of completions' tokens, minus the token's id where nothing is said; `bases` are the names of the model itself;
    Asked with tools, it calls the first of them with its last message, where `calls` is set.
    `aborted` is set once a client has left a stream before its end.
    """

    def __init__(self) -> None:
        self.adapters: dict[str, str] = {}
        self.logprobs: dict[int, float | None] = {}
        self.bases: tuple[str, ...] = ("base",)
        self.requests: list[bytes] = []
        self.served: list[bytes] = []
        self.tokenized = 0
        self.aborted = asyncio.Event()
        self.delay_s = 0.0
        self.hold: asyncio.Event | None = None
        self.broken = False
        self.window = 512
        self.healthy = True
        self.calls = False
        self.url = ""

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=2**26)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/v1/models", self._models),
                web.post("/v1/load_lora_adapter", self._load),
                web.post("/v1/unload_lora_adapter", self._unload),
                web.post("/tokenize", self._tokenize),
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._complete),
            ]
        )
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)

    async def _models(self, _: web.Request) -> web.Response:
        cards: list[dict[str, Any]] = [
            {"id": name, "object": "model", "parent": None, "root": "/m", "max_model_len": self.window}
            for name in self.bases
        ]
        cards += [
            {"id": name, "object": "model", "parent": "base", "root": path, "max_model_len": None}
            for name, path in self.adapters.items()
        ]
        return web.json_response({"object": "list", "data": cards})

    async def _load(self, request: web.Request) -> web.Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        if "missing" in path:
            return _error(404, f"The lora adapter '{name}' cannot be found at {path}.")
        self.adapters[name] = path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        if self.adapters.pop(name, None) is None:
            return _error(404, f"The lora adapter '{name}' cannot be found.")
        return web.Response(text="Success")

    async def _tokenize(self, request: web.Request) -> web.Response:
        self.tokenized += 1
        body = await request.json()
        count = _count(body["messages"])
        if body.get("continue_final_message"):  # a token a word of the answer that has begun, and no end
            before, begun = _count(body["messages"][:-1]), body["messages"][-1]["content"].split()
            tokens = [*range(before), *(sum(map(ord, word)) for word in begun)]
            return web.json_response({"count": len(tokens), "max_model_len": self.window, "tokens": tokens})
        return web.json_response({"count": count, "max_model_len": self.window, "tokens": list(range(count))})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests.append(raw)
        body = json.loads(raw)
        if body["model"] not in (*self.bases, *self.adapters):
            return _error(404, f"The model `{body['model']}` does not exist.")
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            return _error(400, "messages: at least one is needed")
        if _count(body["messages"]) > self.window:
            return _error(400, f"This model's maximum context length is {self.window} tokens.")
        words = f"{re.sub('-[0-9a-f]{12}$', '', body['model'])} heard: {body['messages'][-1]['content']}".split()
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or self.window
        reason = "length" if len(words) > limit else "stop"
        words, n, stopped = words[:limit], body.get("n") or 1, None
        for stop in [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []:
            if stop and stop in " ".join(words):
                words, reason, stopped = " ".join(words).split(stop)[0].split(), "stop", stop
        usage = {"prompt_tokens": _count(body["messages"]), "completion_tokens": len(words) * n}
        usage["total_tokens"] = sum(usage.values())
        call = None
        if self.calls and body.get("tools"):
            arguments = json.dumps({"text": body["messages"][-1]["content"]})
            call = {"name": body["tools"][0]["function"]["name"], "arguments": arguments}
            words, reason = [], "tool_calls"
        head = {"id": "chatcmpl-1", "created": int(time.time()), "model": body["model"]}
        if body["model"] in self.bases:
            head["model"] = self.bases[0]  # vLLM answers under the first name it was given
        if not body.get("stream"):
            choices = [
                {
                    "index": i,
                    "message": {
                        "role": "assistant",
                        "content": None if call else " ".join(words) + _mark(i),
                        "tool_calls": [{"id": f"call-{i}", "type": "function", "function": call}] if call else [],
                    },
                    "finish_reason": reason,
                    "stop_reason": stopped,
                }
                for i in range(n)
            ]
            await asyncio.sleep(self.delay_s)
            if body.get("return_token_ids"):
                head["prompt_token_ids"] = list(range(_count(body["messages"])))
                choices[0]["token_ids"] = [len(word) for word in words]
            return web.json_response({**head, "object": "chat.completion", "choices": choices, "usage": usage})
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        sent = b""
        try:
            async for event in self.events(words, n, reason, stopped, call):
                chunk = {**head, "object": "chat.completion.chunk", **event}
                sent += (data := f"data: {json.dumps(chunk)}\n\n".encode())
                await response.write(data)
            if self.broken:
                assert request.transport is not None
                request.transport.abort()
                return response
            if (body.get("stream_options") or {}).get("include_usage"):
                chunk = {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
                sent += (data := f"data: {json.dumps(chunk)}\n\n".encode())
                await response.write(data)
            sent += b"data: [DONE]\n\n"
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.aborted.set()
            raise
        finally:
            self.served.append(sent)
        return response

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.read())
        body = json.loads(self.requests[-1])
        if body["model"] not in (*self.bases, *self.adapters):
            return _error(404, f"The model `{body['model']}` does not exist.")
        if "logprob_token_ids" not in body and not body.get("logprobs"):
            return await self._go_on(request, body)
        tokens = body.get("logprob_token_ids") or range(body["logprobs"])
        # The sampled token comes first, whatever was asked for; what is no number is null.
        tops = {f"token_id:{token}": self.logprobs.get(token, -float(token)) for token in (99, *tokens)}
        return web.json_response({"choices": [{"text": "a", "logprobs": {"top_logprobs": [tops]}}]})

    async def _go_on(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
        head = {"id": "cmpl-1", "object": "text_completion", "created": int(time.time()), "model": body["model"]}
        choices = [
            {"index": i, "text": f" {prompt.split()[-1]} goes on", "finish_reason": "length", "logprobs": None}
            for i, prompt in enumerate(prompts)
        ]
        await asyncio.sleep(self.delay_s)
        if not body.get("stream"):
            return web.json_response({**head, "choices": choices})
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for choice in choices:
            await response.write(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def events(
        self, words: list[str], n: int, reason: str, stopped: str | None, call: dict[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        for i in range(n):
            yield _choice(i, {"role": "assistant", "content": ""}, None)
        if call:  # the name first, then its arguments in pieces, as vLLM streams them
            half = len(call["arguments"]) // 2
            about = {"index": 0, "id": "call-0", "type": "function", "function": {"name": call["name"]}}
            yield _choice(0, {"tool_calls": [about]}, None)
            for piece in (call["arguments"][:half], call["arguments"][half:]):
                yield _choice(0, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None)
        for number, word in enumerate(words):
            await asyncio.sleep(self.delay_s)
            for i in range(n):
                last = number == len(words) - 1
                yield _choice(i, {"content": (" " if number else "") + word + (_mark(i) if last else "")}, None)
            if number == 0 and self.hold is not None:
                await self.hold.wait()
            if self.broken:
                return
        for i in range(n):
            yield _choice(i, {"content": ""}, reason, stopped)


@contextlib.asynccontextmanager
async def running(fake: FakeVllm, port: int = 0) -> AsyncIterator[FakeVllm]:
    """Serve `fake` on loopback; `fake.url` is its address."""
    runner = web.AppRunner(fake.app(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def _mark(index: int) -> str:
    return f" ({index})" if index else ""


def _choice(index: int, delta: dict[str, Any], reason: str | None, stopped: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason, "stop_reason": stopped}]}


def _count(messages: list[dict[str, Any]]) -> int:
    return sum(len(str(message["content"]).split()) + 1 for message in messages)


def _error(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "BadRequestError" if status == 400 else "NotFoundError", "code": status}
    return web.json_response({"error": {**error, "param": None}}, status=status)


async def _serve_forever(port: int) -> None:
    async with running(FakeVllm(), port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    if "child" in sys.argv:  # like vLLM's engine: a process of its own that ignores its parent's end
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if "dies" in sys.argv:
        sys.exit("ValueError: this model cannot be loaded")
    asyncio.run(_serve_forever(int(sys.argv[1])))
