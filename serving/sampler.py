"""Completions for whoever trains or evaluates, over vLLM's HTTP interface. Synchronous and thread-safe.

The shapes equal `alignment.stage.sampler`'s, without importing it: this room knows nothing of ours.
"""

from __future__ import annotations

import http.client
import json
import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

from serving.chat_template import folded
from serving.client import error_of
from serving.errors import VllmError, VllmUnreachable


class Turn(Protocol):
    """One message of a prompt."""

    @property
    def role(self) -> str:
        """system, user or assistant."""
        ...

    @property
    def content(self) -> str:
        """The text."""
        ...


class SamplingLike(Protocol):
    """How to sample: `alignment.stage.sampler.Sampling` has this shape."""

    @property
    def temperature(self) -> float:
        """0 is greedy."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest completion, tokens."""
        ...

    @property
    def seed(self) -> int:
        """Prompt i uses seed + i."""
        ...

    @property
    def n(self) -> int:
        """Samples per prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion. `logprobs` are natural-log probabilities of its tokens under the untempered model."""

    text: str
    finish_reason: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class HttpSampler:
    """Samples from one vLLM; `version` is the name vLLM serves it under.

    At most `concurrency` requests run at once, whichever threads ask. Raises `VllmUnreachable` (a
    `ConnectionError`) when vLLM cannot be reached and `VllmError` when it refuses.
    """

    def __init__(
        self,
        base_url: str,
        concurrency: int = 8,
        *,
        timeout_s: float = 300.0,
        system_role: bool = True,
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """`extra` goes into every request for samples as it is.

        Without a `system_role` in the model's chat template, system texts go before the first user's.
        """
        self._arrange = list if system_role else folded
        self._extra = extra
        address = urlsplit(base_url)
        self._base_url, self._timeout_s = base_url, timeout_s
        self._scheme, self._host, self._port = address.scheme, address.hostname or "127.0.0.1", address.port
        self._prefix = address.path.rstrip("/")
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="sampler")
        self._local = threading.local()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def sample(self, version: str, prompts: Sequence[Sequence[Turn]], sampling: SamplingLike) -> list[list[Sample]]:
        """Per prompt, `sampling.n` samples, in order, with token ids and log probabilities."""
        return list(
            self._pool.map(
                lambda item: self._one(version, item[1], sampling, sampling.seed + item[0]), enumerate(prompts)
            )
        )

    def score(self, version: str, prompts: Sequence[Sequence[Turn]], samples: Sequence[Sample]) -> list[list[float]]:
        """Log probabilities (natural, untempered) that `version` gives each sample's tokens after its prompt."""
        return list(self._pool.map(lambda pair: self._score(version, *pair), zip(prompts, samples, strict=True)))

    def encode(self, version: str, prompts: Sequence[Sequence[Turn]], answers: Sequence[str]) -> list[Sample]:
        """Each given answer as a sample: the tokens that the chat template puts behind its prompt.

        None where the template renders a prompt otherwise once it is answered.
        """
        return list(self._pool.map(lambda pair: self._encode(version, *pair), zip(prompts, answers, strict=True)))

    def continued(
        self, version: str, prompts: Sequence[Sequence[Turn]], lead: str, texts: Sequence[Sequence[str]]
    ) -> list[tuple[list[int], list[list[int]]] | None]:
        """Tokens of each prompt with an answer that begins with `lead`, and those that each of its texts adds behind
        the lead and a space.

        None where the texts' tokens cannot be told from the lead's: where both make one token together.
        """
        return list(
            self._pool.map(lambda pair: self._continued(version, lead, *pair), zip(prompts, texts, strict=True))
        )

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> list[dict[int, float]]:
        """Log probabilities (natural, untempered) of these tokens behind each context, by token id.

        One request a context, of one token. Not by way of `prompt_logprobs`, which switches the prefix cache off. What
        is not a finite number is left out.
        """
        return list(self._pool.map(lambda pair: self._next(version, *pair), zip(contexts, tokens, strict=True)))

    def _continued(
        self, version: str, lead: str, prompt: Sequence[Turn], texts: Sequence[str]
    ) -> tuple[list[int], list[list[int]]] | None:
        opening = self._begun(version, prompt, lead)
        wholes = [self._begun(version, prompt, f"{lead} {text}") for text in texts]
        if any(whole[: len(opening)] != opening for whole in wholes):
            return None
        return opening, [whole[len(opening) :] for whole in wholes]

    def _begun(self, version: str, prompt: Sequence[Turn], beginning: str) -> list[int]:
        """The tokens of a prompt whose answer has begun so and goes on."""
        messages = [*self._messages(prompt), {"role": "assistant", "content": beginning}]
        body = {"model": version, "messages": messages, "add_generation_prompt": False, "continue_final_message": True}
        tokens: list[int] = self._post("/tokenize", body)["tokens"]
        return tokens

    def _next(self, version: str, context: Sequence[int], tokens: Sequence[int]) -> dict[int, float]:
        reply = self._post(
            "/v1/completions",
            {
                "model": version,
                "prompt": list(context),
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": 1,
                "logprob_token_ids": list(tokens),
                "return_tokens_as_token_ids": True,
            },
        )
        try:
            found = reply["choices"][0]["logprobs"]["top_logprobs"][0]
            by_id = {int(token.removeprefix("token_id:")): value for token, value in found.items()}
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise VllmError(502, f"{version} answered without log-probabilities") from error
        wanted = set(tokens)
        return {
            token: float(value)
            for token, value in by_id.items()
            if token in wanted and isinstance(value, int | float) and math.isfinite(value)
        }

    def _one(self, version: str, prompt: Sequence[Turn], sampling: SamplingLike, seed: int) -> list[Sample]:
        reply = self._post(
            "/v1/chat/completions",
            {
                "model": version,
                "messages": self._messages(prompt),
                "temperature": sampling.temperature,
                "max_tokens": sampling.max_tokens,
                "seed": seed,
                "n": sampling.n,
                "logprobs": True,
                "top_logprobs": 0,
                "return_token_ids": True,
                **self._extra,
            },
        )
        choices = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
        return [_sample(choice) for choice in choices]

    def _score(self, version: str, prompt: Sequence[Turn], sample: Sample) -> list[float]:
        if not sample.tokens:
            return []
        opening = self.opening_of(version, prompt)
        reply = self._post(
            "/v1/completions",
            {
                "model": version,
                "prompt": [*opening, *sample.tokens],
                "max_tokens": 1,
                "temperature": 0,
                "prompt_logprobs": 0,
            },
        )
        table = reply["choices"][0]["prompt_logprobs"][len(opening) :]
        return [float(row[str(token)]["logprob"]) for row, token in zip(table, sample.tokens, strict=True)]

    def opening_of(self, version: str, prompt: Sequence[Turn]) -> list[int]:
        """The tokens of a prompt, the opening of the answer among them."""
        tokens: list[int] = self._post("/tokenize", {"model": version, "messages": self._messages(prompt)})["tokens"]
        return tokens

    def _encode(self, version: str, prompt: Sequence[Turn], answer: str) -> Sample:
        messages = [*self._messages(prompt), {"role": "assistant", "content": answer}]
        body = {"model": version, "messages": messages, "add_generation_prompt": False}
        whole, opening = self._post("/tokenize", body)["tokens"], self.opening_of(version, prompt)
        return Sample(answer, "stop", tokens=tuple(whole[len(opening) :] if whole[: len(opening)] == opening else ()))

    def _messages(self, prompt: Sequence[Turn]) -> list[Mapping[str, str]]:
        return self._arrange([{"role": str(turn.role), "content": turn.content} for turn in prompt])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST on this thread's own kept-alive connection; once more on a fresh one if the old had gone stale."""
        data = json.dumps(body).encode()
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        for connection in [kept, None] if kept is not None else [None]:
            try:
                return self._exchange(connection or self._connect(), path, data)
            except (http.client.HTTPException, OSError) as error:
                self._local.connection = None
                if connection is None:
                    raise VllmUnreachable(f"vLLM at {self._base_url} cannot be reached: {error}") from error
        raise AssertionError("unreachable")

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._scheme == "https" else http.client.HTTPConnection
        self._local.connection = kind(self._host, self._port, timeout=self._timeout_s)
        return self._local.connection  # type: ignore[no-any-return]

    def _exchange(self, connection: http.client.HTTPConnection, path: str, data: bytes) -> dict[str, Any]:
        connection.request("POST", self._prefix + path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        raw = response.read()
        if response.status != 200:
            raise error_of(response.status, raw)
        value: dict[str, Any] = json.loads(raw)
        return value


def _sample(choice: dict[str, Any]) -> Sample:
    logprobs = (choice.get("logprobs") or {}).get("content") or []
    return Sample(
        text=choice["message"]["content"] or "",
        finish_reason=choice["finish_reason"] or "",
        tokens=tuple(choice.get("token_ids") or ()),
        logprobs=tuple(float(entry["logprob"]) for entry in logprobs),
    )
