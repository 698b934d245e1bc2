"""Ask vLLM over HTTP: complete, load and unload adapters, count tokens, probe. Asynchronous, one session.

Raw streams pass through as the bytes that vLLM sent. It decides nothing about versions and retries nothing but a
connection that had ended before it was used: an error is raised as `VllmError` (vLLM said no) or `VllmUnreachable`
(nobody answered, or the answer broke off).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from serving.chat_template import folded
from serving.errors import VllmError, VllmUnreachable

if TYPE_CHECKING:
    import aiohttp

__all__ = ["ChatChunk", "RawReply", "ServedModel", "VllmClient", "VllmError", "VllmUnreachable"]

COMPLETIONS = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One name that vLLM answers to. `parent` is None for the model itself; `max_model_len` is in tokens."""

    name: str
    parent: str | None
    max_model_len: int | None
    path: str = ""


@dataclass(frozen=True, slots=True)
class ChatChunk:
    """One step of a streamed answer: new text, and at its end the reason and the token counts."""

    delta: str
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RawReply:
    """vLLM's answer as it came: status, content type, and chunks of bytes that are read on demand."""

    status: int
    content_type: str
    chunks: AsyncIterator[bytes]


class VllmClient:
    """An HTTP client of one vLLM.

    Without a `system_role` in the model's chat template, system texts go before the first user's.
    `timeout_s` bounds one whole request, streams included. The session is made at the first use, inside the
    running event loop; `close` ends it. A new loop gets a new session, so one client may outlive a loop.
    """

    def __init__(
        self, base_url: str, *, timeout_s: float = 120.0, connect_s: float = 5.0, system_role: bool = True
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._arrange = list if system_role else folded
        self._timeout_s, self._connect_s = timeout_s, connect_s
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> VllmClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def health(self) -> bool:
        """Whether vLLM answers and calls itself healthy. Never raises."""
        try:
            async with self._request("GET", "/health", timeout_s=10.0) as response:
                return response.status == 200
        except VllmUnreachable:
            return False

    async def models(self) -> list[ServedModel]:
        """Every name vLLM answers to now, the model itself first."""
        listing = await self._json("GET", "/v1/models")
        return [
            ServedModel(card["id"], card.get("parent"), card.get("max_model_len"), card.get("root") or "")
            for card in listing["data"]
        ]

    async def load(self, name: str, path: str) -> None:
        """Load the adapter in `path` (as vLLM's machine sees it) under a new name.

        A published adapter never changes, so a name that is loaded already is left as it is.
        """
        try:
            await self._text("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        except VllmError as error:
            if error.status == 400 and "already been loaded" in error.message:
                return
            raise

    async def unload(self, name: str) -> None:
        """Forget the adapter. A name that is not loaded is no error."""
        try:
            await self._text("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        except VllmError as error:
            if error.status != 404:
                raise

    async def probe(self, name: str) -> None:
        """Have `name` write one token. Raises what a person's request would meet."""
        reply = await self.chat(
            {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}
        )
        if not reply.get("choices"):
            raise VllmError(502, f"{name} answered without a choice")

    async def version(self) -> str:
        """The version of vLLM as it says it; empty when it does not."""
        try:
            return str((await self._json("GET", "/version")).get("version") or "")
        except VllmError:
            return ""

    async def greedy(self, name: str, prompt: str, max_tokens: int) -> tuple[list[int], list[int]]:
        """The tokens of a prompt, as the chat template opens its answer, and those of the likeliest answer."""
        reply = await self.chat(
            {
                "model": name,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": max_tokens,
                "temperature": 0,
                "return_token_ids": True,
                "cache_salt": secrets.token_hex(8),
            }
        )
        try:
            return list(reply["prompt_token_ids"]), list(reply["choices"][0]["token_ids"])
        except (KeyError, IndexError, TypeError) as error:
            raise VllmError(502, f"{name} answered without token ids") from error

    async def next_token(
        self, name: str, context: Sequence[int], *, likeliest: int = 0, tokens: Sequence[int] = ()
    ) -> dict[int, float]:
        """Log-probabilities (natural, untempered) of what follows these tokens, by token id: of the `likeliest`, or of
        `tokens`. What is not a finite number is left out.

        Never by way of `prompt_logprobs`, which can end the engine on CPU, and never out of the prefix cache, so that
        nothing is answered from what another adapter has computed.
        """
        reply = await self._json(
            "POST",
            "/v1/completions",
            {
                "model": name,
                "prompt": list(context),
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": max(1, likeliest),
                "return_tokens_as_token_ids": True,
                "cache_salt": secrets.token_hex(8),
                **({"logprob_token_ids": list(tokens)} if tokens else {}),
            },
        )
        try:
            found = reply["choices"][0]["logprobs"]["top_logprobs"][0]
            by_id = {int(token.removeprefix("token_id:")): value for token, value in found.items()}
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise VllmError(502, f"{name} answered without log-probabilities") from error
        return {
            token: float(value)
            for token, value in by_id.items()
            if isinstance(value, int | float) and math.isfinite(value) and (not tokens or token in tokens)
        }

    async def tokenize(self, messages: Sequence[Mapping[str, Any]], model: str = "base") -> int:
        """How many tokens the messages make with the model's chat template, the answer's opening included."""
        reply = await self._json(
            "POST", "/tokenize", {"model": model, "messages": self._arrange(messages), "add_generation_prompt": True}
        )
        return int(reply["count"])

    async def chat(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """One whole answer, as OpenAI's chat completion object."""
        return await self._json("POST", COMPLETIONS, {**self._arranged(payload), "stream": False})

    async def stream(self, payload: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """A streamed answer as vLLM's own bytes. Closing the iterator makes vLLM stop."""
        async with self.raw(
            "POST", COMPLETIONS, json.dumps({**self._arranged(payload), "stream": True}).encode()
        ) as reply:
            if reply.status != 200:
                raise error_of(reply.status, b"".join([chunk async for chunk in reply.chunks]))
            async for chunk in reply.chunks:
                yield chunk

    def _arranged(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**payload, "messages": self._arrange(payload["messages"])} if "messages" in payload else payload

    async def events(self, payload: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """A streamed answer, read: text as it comes, then finish reason and token counts."""
        options = {"include_usage": True}
        lines = SseLines()
        async with contextlib.aclosing(self.stream({**payload, "stream_options": options})) as chunks:
            async for chunk in chunks:
                for event in lines.feed(chunk):
                    if "error" in event:
                        raise _error_object(502, event)
                    choice = (event.get("choices") or [{}])[0]
                    delta = (choice.get("delta") or {}).get("content") or ""
                    reason, usage = choice.get("finish_reason"), event.get("usage")
                    if delta or reason or usage:
                        yield ChatChunk(delta, reason, usage)

    @contextlib.asynccontextmanager
    async def raw(
        self, method: str, path: str, body: bytes, *, timeout_s: float | None = None
    ) -> AsyncIterator[RawReply]:
        """Send bytes and hand back bytes, whatever the status. Leaving the block before the end makes vLLM stop."""
        async with self._request(method, path, data=body, timeout_s=timeout_s) as response:
            kind = response.headers.get("content-type", "application/json")
            yield RawReply(response.status, kind, self._chunks(response))

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        import aiohttp

        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._broken(error) from error

    async def _json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        text = await self._text(method, path, body)
        try:
            value = json.loads(text)
        except ValueError as error:
            raise VllmError(502, f"{path} did not answer with JSON") from error
        if not isinstance(value, dict):
            raise VllmError(502, f"{path} did not answer with a JSON object")
        return value

    async def _text(self, method: str, path: str, body: object = None) -> str:
        import aiohttp

        data = None if body is None else json.dumps(body).encode()
        async with self._request(method, path, data=data) as response:
            try:
                raw = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._broken(error) from error
            if response.status != 200:
                raise error_of(response.status, raw)
            return raw.decode(errors="replace")

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=timeout_s or self._timeout_s, sock_connect=self._connect_s)
        # Uncompressed, because the bytes are passed on and read as they are.
        headers = {"accept-encoding": "identity"} | ({"content-type": "application/json"} if data else {})
        try:
            response = await self._send(method, path, data, headers, limit)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._broken(error) from error
        try:
            yield response
        finally:
            # A stream that was left before its end must not return to the pool: closing tells vLLM to stop.
            response.close() if not response.content.at_eof() else response.release()

    async def _send(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str], limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Ask, and once more when the connection ended before anything of an answer had come.

        vLLM closes connections that were idle for a few seconds, and may do so just as one of them is used again;
        under load that is often. Nothing it was asked had begun then.
        """
        import aiohttp

        session, url = self._open(), self.base_url + path
        try:
            return await session.request(method, url, data=data, headers=headers, timeout=limit)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            return await session.request(method, url, data=data, headers=headers, timeout=limit)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            # No limit here: how many requests run at once is vLLM's to schedule.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            self._loop = loop
        return self._session

    def _broken(self, error: BaseException) -> VllmUnreachable:
        if isinstance(error, TimeoutError):
            return VllmUnreachable(f"vLLM at {self.base_url} did not answer in time.")
        return VllmUnreachable(f"vLLM at {self.base_url} cannot be reached. Is it running, and is the address right?")


class StreamOptions(TypedDict, total=False):
    """Whether token counts come at the end, and whether in every chunk."""

    include_usage: bool
    continuous_usage_stats: bool


class ChatRequest(TypedDict):
    """A request for one streamed answer, as vLLM's chat completions take it; a smaller `priority` goes first."""

    model: str
    messages: list[dict[str, str]]
    temperature: float
    max_tokens: int
    seed: int
    stream: bool
    stream_options: StreamOptions
    priority: NotRequired[int]


class SseLines:
    """Reads server-sent events out of chunks that may be cut anywhere; `data: [DONE]` and comments are skipped."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """The JSON objects that this chunk completes, in order."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events = []
        for line in lines:
            if line.startswith(b"data:") and (text := line[5:].strip()) not in (b"", b"[DONE]"):
                with contextlib.suppress(ValueError):
                    event = json.loads(text)
                    if isinstance(event, dict):
                        events.append(event)
        return events


def error_of(status: int, raw: bytes) -> VllmError:
    """What vLLM says in the body of an answer with an error status."""
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return _error_object(status, value)
    return VllmError(status, raw.decode(errors="replace")[:500] or "no message")


def _error_object(status: int, value: Mapping[str, Any]) -> VllmError:
    error = value.get("error")
    inner = error if isinstance(error, dict) else value
    code = inner.get("code")
    return VllmError(code if isinstance(code, int) else status, str(inner.get("message") or value)[:500])
