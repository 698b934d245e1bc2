"""Rollouts: prompts, answers and what the sampler thought of their tokens.

Answers come through the `Sampler` protocol. In this process it is `BatchSampler`, on the very model that is
trained: big batches, a row leaves when its answer ends. Over HTTP it is whatever the caller hands in; the
policy must then be published to it before each step. What may not be done here: rewards, gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from alignment.dataset.judgement import Message
from alignment.methods.online.model import OneBase
from alignment.stage.sampler import Sample, Sampler, Sampling

BATCH = 256  # rows generated at once
BASE = "base"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One answer. `answer` are its token ids, the end of turn included when `finished`; never empty.

    `logged` are the sampler's own log-probabilities of them, empty when it gave none.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    finished: bool
    logged: tuple[float, ...]
    text: str


def render(tokenizer: Any, prompt: Sequence[Message]) -> list[int]:
    """A conversation's token ids, up to where the model's answer begins."""
    turns = [{"role": message.role, "content": message.content} for message in prompt]
    ids = tokenizer.apply_chat_template(turns, tokenize=True, add_generation_prompt=True, return_dict=False)
    return list(ids)


def collect(
    sampler: Sampler, version: str, tokenizer: Any, prompts: Sequence[Sequence[Message]], sampling: Sampling
) -> list[Rollout]:
    """`sampling.n` rollouts for each prompt, in order. An answer without a token becomes a bare end of turn."""
    found = []
    for prompt, samples in zip(prompts, sampler.sample(version, prompts, sampling), strict=True):
        ids = tuple(render(tokenizer, prompt))
        for sample in samples:
            finished = sample.finish_reason == "stop"
            tokens = sample.tokens or _tokens(tokenizer, sample.text, finished)
            logged = sample.logprobs if len(sample.logprobs) == len(tokens) else ()
            found.append(Rollout(ids, tokens, finished, logged, sample.text))
    return found


def _tokens(tokenizer: Any, text: str, finished: bool) -> tuple[int, ...]:
    """The ids of an answer whose sampler gave its text alone."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return tuple([*ids, tokenizer.eos_token_id] if finished or not ids else ids)


class BatchSampler:
    """Samples from a `OneBase`: `policy` as it is now, `reference`, or `base` with no adapter.

    All rows of a batch take one step together; when enough have ended, the rest go on as a smaller batch.
    One generator per call, seeded by `sampling.seed`, so a call repeats bit for bit on one machine.
    """

    def __init__(self, model: OneBase, tokenizer: Any, *, top_p: float = 1.0, batch: int = BATCH) -> None:
        """`top_p` cuts the tail of every step's distribution; policy gradients want it at 1."""
        self._model = model
        self._tokenizer = tokenizer
        self._top_p = top_p
        self._batch = batch
        named = model.causal.generation_config.eos_token_id
        ends = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id}
        self._ends = torch.tensor(sorted(end for end in ends if end is not None), device=model.device)

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        """Per prompt, `sampling.n` samples with token ids and log-probabilities at `sampling.temperature`.

        Raises `ConnectionError` on a version that is not here.
        """
        rows = [ids for prompt in prompts for ids in [render(self._tokenizer, prompt)] * sampling.n]
        order = sorted(range(len(rows)), key=lambda row: (len(rows[row]), row))  # equal lengths together
        noise = torch.Generator(self._model.device).manual_seed(sampling.seed)
        found: dict[int, Sample] = {}
        with self._as(version):
            for start in range(0, len(order), self._batch):
                chosen = order[start : start + self._batch]
                found.update(zip(chosen, self._generate([rows[row] for row in chosen], sampling, noise), strict=True))
        return [[found[i * sampling.n + j] for j in range(sampling.n)] for i in range(len(prompts))]

    def _as(self, version: str) -> Any:
        if version == "policy":
            return self._model.folded()
        if version == "reference":
            return self._model.reference()
        if version == BASE:
            return self._model.frozen(None)
        raise ConnectionError(f"{version} is not loaded; the versions here are policy, reference and {BASE}.")

    @torch.no_grad()
    def _generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling, noise: torch.Generator) -> list[Sample]:
        from transformers import DynamicCache

        causal, device = self._model.causal, self._model.device
        width, count = max(map(len, prompts)), len(prompts)
        pad = self._model.pad
        ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=device)
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)
        tokens = torch.zeros(count, sampling.max_tokens, dtype=torch.long, device=device)
        logps = torch.zeros(count, sampling.max_tokens, device=device)
        lengths = torch.zeros(count, dtype=torch.long, device=device)
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        alive = torch.arange(count, device=device)  # which rows the cache holds
        cache = DynamicCache()
        for step in range(sampling.max_tokens):
            states = causal.base_model(
                input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True
            ).last_hidden_state[:, -1]
            drawn, logp = self._draw(states, sampling.temperature, noise)
            going = ~ended[alive]
            rows = alive[going]
            tokens[rows, step] = drawn[going]
            logps[rows, step] = logp[going]
            lengths[rows] += 1
            ended[rows] = torch.isin(drawn[going], self._ends)
            left = ~ended[alive]
            remaining = int(left.sum())
            if not remaining:
                break
            ids, places = drawn[:, None], places[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
            if remaining <= 0.75 * len(alive):  # worth copying the cache for
                keep = left.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                alive, ids, places, mask = alive[keep], ids[keep], places[keep], mask[keep]
        return [
            self._sample(tokens[row, :length].tolist(), logps[row, :length].tolist(), bool(ended[row]))
            for row, length in enumerate(lengths.tolist())
        ]

    def _draw(
        self, states: torch.Tensor, temperature: float, noise: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Next tokens (B,) and their log-probabilities; temperature 0 takes the likeliest."""
        logits = self._model.logits(states) * self._model.temperature
        if temperature == 0:
            chosen = logits.argmax(dim=-1)
            return chosen, torch.log_softmax(logits, dim=-1).gather(1, chosen[:, None])[:, 0]
        logps = torch.log_softmax(logits / temperature, dim=-1)
        waits = torch.empty_like(logps).exponential_(generator=noise)
        kept = logps if self._top_p >= 1 else self._nucleus(logps)
        chosen = (kept - waits.log()).argmax(dim=-1)  # Gumbel-max: −log of Exp(1) is Gumbel
        return chosen, logps.gather(1, chosen[:, None])[:, 0]

    def _nucleus(self, logps: torch.Tensor) -> torch.Tensor:
        ordered, order = logps.sort(dim=-1, descending=True)
        before = ordered.exp().cumsum(dim=-1) - ordered.exp()  # mass above each token
        outside = torch.zeros_like(logps, dtype=torch.bool).scatter(1, order, before >= self._top_p)
        return logps.masked_fill(outside, -torch.inf)

    def _sample(self, tokens: list[int], logps: list[float], ended: bool) -> Sample:
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return Sample(text, "stop" if ended else "length", tuple(tokens), tuple(logps))
