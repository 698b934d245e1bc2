"""One answer while it is being generated: its text, its end, its tokens and its time.

Nothing is stored here. Errors of vLLM become sentences here, for every page and route.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feedback_app.collect.admission import Claim
from feedback_app.collect.text import clean
from feedback_app.collect.window import ChatMessage
from feedback_app.domain.conversations import FinishReason
from feedback_app.domain.versions import VersionForm, VersionState
from feedback_app.errors import AlignloopError, Unavailable, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Completion, Excluded, Version
from serving.errors import ServingError, VllmError

if TYPE_CHECKING:
    from serving.client import ChatRequest, VllmClient

POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Served:
    """A version and the name under which vLLM knows it, `Version.served_name`."""

    version: Version
    model: str


def served(store: Store, name: str = POLICY) -> Served:
    """What `policy` means now, or the version of this name. Synchronous: one look at the database.

    Raises `Unavailable` before the first publication and on a version of another base model, `NotFound` when
    there is no such version.
    """
    if name == POLICY:
        publication = store.versions.published()
        if publication is None:
            raise Unavailable("No version is served yet: the model is still loading. Try again in a minute.")
        name = publication.version
    version = store.versions.get(name)
    if version is None:
        raise UsageError(f"There is no version called {name}. Ask for policy, or see `alignloop version list`.")
    if version.state == VersionState.UNLOADABLE:
        raise Unavailable(f"{name} belongs to another base model than the one that is served now.")
    return Served(version, version.served_name)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is sampled; stored with it. `seed` is per answer."""

    temperature: float
    max_tokens: int

    def payload(self, model: str, messages: Sequence[ChatMessage], seed: int) -> ChatRequest:
        """The request to vLLM, streamed, with token counts in every chunk so that a stopped answer has them too."""
        return {
            "model": model,
            "messages": list(messages),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": seed,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }


@dataclass
class Generation:
    """One answer being generated in the place of its claim; `finish_reason` is `stopped` until vLLM says otherwise."""

    vllm: VllmClient
    claim: Claim
    served: Served
    messages: Sequence[ChatMessage]
    sampling: Sampling
    seed: int
    deadline_s: float
    template_hash: str = ""
    turn_tokens: Sequence[str] = ()
    text: str = ""
    finish_reason: str = FinishReason.STOPPED
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_s: float | None = None
    seconds: float = 0.0
    _began: float = field(default=0.0, repr=False)

    async def deltas(self) -> AsyncGenerator[str]:
        """The answer piece by piece; closing this ends the request.

        The claim must have its place. Raises `Unavailable` or `UsageError` with a sentence when vLLM fails or when
        the deadline has passed, counted from when the request came; `finish_reason` is then `failed`.
        """
        self._began = time.monotonic()
        payload = self.sampling.payload(self.served.model, self.messages, self.seed)
        if self.claim.priority:
            payload["priority"] = self.claim.priority
        until = self._began + self.claim.left_s
        chunks = self.vllm.events(payload)  # closing it ends the request
        counted = False
        try:
            async with aclosing(chunks):
                while True:
                    try:
                        async with asyncio.timeout(until - time.monotonic()):
                            chunk = await anext(chunks, None)
                    except TimeoutError as error:
                        raise Unavailable(
                            f"The answer took longer than {self.deadline_s:g} s and was ended. Try again in a moment, "
                            "or raise ALIGNLOOP_REQUEST_DEADLINE_S."
                        ) from error
                    if chunk is None:
                        break
                    if chunk.usage:
                        self._count(chunk.usage)
                        counted = True
                    elif chunk.delta and not counted:
                        self.completion_tokens += (
                            1  # vLLM sends a chunk per token; only an unfinished answer needs this
                        )
                    if chunk.finish_reason:
                        self.finish_reason = chunk.finish_reason
                    if chunk.delta:
                        if self.first_token_s is None:
                            self.first_token_s = time.monotonic() - self._began
                        piece = clean(chunk.delta)
                        self.text += piece
                        yield piece
            if self.finish_reason == FinishReason.STOPPED:
                raise Unavailable("The answer ended too early: vLLM closed the connection. Try again.")
        except ServingError as error:
            self.finish_reason = FinishReason.FAILED
            raise sentence(error, self.served.version) from error
        except AlignloopError:
            self.finish_reason = FinishReason.FAILED
            raise
        finally:
            self.seconds = time.monotonic() - self._began

    async def run(self) -> None:
        """Generate to the end without looking at the pieces."""
        async for _ in self.deltas():
            pass

    def completion(self, sent: Sequence[Any], now: float) -> Completion:
        """How this answer came to be, to be stored with it. `sent` is what the model read."""
        forged = writes_turns((message["content"] for message in self.messages), self.turn_tokens)
        return Completion(
            message_id="",
            version=self.served.version.name,
            adapter_hash=self.served.version.artifact_hash if self.served.version.form == VersionForm.ADAPTER else "",
            template_hash=self.template_hash or self.served.version.template_hash,
            sampling={"temperature": self.sampling.temperature, "max_tokens": self.sampling.max_tokens},
            seed=self.seed,
            finish_reason=self.finish_reason,
            excluded=Excluded.INVENTED_TURNS.value if forged else None,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            first_token_s=self.first_token_s,
            seconds=self.seconds,
            sent=list(sent),
            created_at=now,
        )

    def _count(self, usage: Mapping[str, Any]) -> None:
        self.prompt_tokens = int(usage.get("prompt_tokens") or self.prompt_tokens)
        self.completion_tokens = int(usage.get("completion_tokens") or self.completion_tokens)


def writes_turns(contents: Iterable[str], turn_tokens: Sequence[str]) -> bool:
    """Whether a message holds what the model reads as the end of a turn: it may go on as the assistant's."""
    return any(token in content for content in contents for token in turn_tokens)


def not_loaded(version: Version | None) -> Unavailable:
    """What people are told when vLLM does not know what should answer: an adapter comes, another base does not."""
    if version is not None and version.form == VersionForm.FULL:
        return Unavailable(
            "The vLLM that answers here does not serve this installation's model. An operator finds out why with "
            "`alignloop doctor`."
        )
    return Unavailable("The version that should answer is not loaded yet. Try again in a moment.")


def sentence(error: ServingError, version: Version | None = None) -> AlignloopError:
    """An error of vLLM as one that people see; `version` is what was asked."""
    if isinstance(error, VllmError) and error.status == 400:
        return UsageError(f"The model refused this request: {error.message}")
    if isinstance(error, VllmError) and error.status == 404:
        return not_loaded(version)
    if isinstance(error, VllmError):
        return Unavailable(f"{error}. Try again; if it stays, read vLLM's log in ALIGNLOOP_HOME.")
    return Unavailable("The model cannot be reached: it may still be loading. Try again in a moment.")
