"""A model behind any OpenAI-compatible address, as a `Sampler`. Standard library only.

The key, where the address wants one, is handed over by the process that starts the stage; it is never written anywhere.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from alignment.dataset.judgement import Message
from alignment.stage.sampler import Sample, Sampling

AT_ONCE = 8


class AddressSampler:
    """Asks `{url}/chat/completions`. `url` ends where `/chat/completions` begins, as OpenAI's clients name it."""

    def __init__(self, url: str, *, key: str = "", timeout_s: float = 120.0) -> None:
        self._url = url.rstrip("/") + "/chat/completions"
        self._key = key
        self._timeout_s = timeout_s

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        """Per prompt, `sampling.n` samples without token ids. Raises `ConnectionError` with the reason."""
        jobs = [
            (prompt, sampling.seed + i + j * 1_000_003) for i, prompt in enumerate(prompts) for j in range(sampling.n)
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            flat = list(pool.map(lambda job: self._ask(version, job[0], job[1], sampling), jobs))
        return [flat[i * sampling.n : (i + 1) * sampling.n] for i in range(len(prompts))]

    def _ask(self, version: str, prompt: Sequence[Message], seed: int, sampling: Sampling) -> Sample:
        body = {
            "model": version,
            "messages": [{"role": message.role, "content": message.content} for message in prompt],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": seed,
        }
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                choice: dict[str, Any] = json.load(answer)["choices"][0]
        except urllib.error.HTTPError as error:
            raise ConnectionError(
                f"{self._url} answered {error.code}: {error.read()[:200].decode(errors='replace')}"
            ) from error
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise ConnectionError(f"{self._url} did not answer as OpenAI's API does: {error}") from error
        finish = choice.get("finish_reason") or "stop"
        return Sample(str(choice["message"].get("content") or ""), str(finish))
