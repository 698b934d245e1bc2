"""Online DPO: the policy answers twice, the reward model says which is better, DPO learns from that pair.

Guo et al. 2024 (arXiv:2402.04792). One frozen base holds policy, reference and reward model (`ppo.model`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypedDict

import torch
from torch.nn.functional import logsigmoid

from alignment.errors import StageError
from alignment.methods.online.model import OneBase
from alignment.methods.online.prompts import drawn
from alignment.methods.online.publish import publisher
from alignment.methods.online.rewards import Unit, answer_rewards, kl_per_answer
from alignment.methods.online.rollouts import BatchSampler, Rollout, collect
from alignment.methods.online.scoring import Scored, batch_of, score
from alignment.methods.online.setup import asked_prompts, folders, one_base
from alignment.methods.online_dpo.settings import OnlineDpoSettings
from alignment.methods.shared_training.adapters import save_adapter
from alignment.methods.shared_training.loading import load_tokenizer
from alignment.methods.shared_training.resuming import LoopCheckpoints, LoopState
from alignment.records import StageMetrics, StepRecord
from alignment.stage.sampler import Sampler, Sampling
from alignment.stage.spec import Progress, StageSpec


@dataclass(frozen=True, slots=True)
class Contest:
    """Places of two answers to one prompt among a step's rollouts."""

    better: int
    worse: int


def train(spec: StageSpec, progress: Progress, *, sampler: Sampler | None = None) -> StageMetrics:
    """Train an adapter against `spec.reward` and save it into `spec.out`.

    Progress records: `step`, `steps`, `loss`, `margin` and `accuracy` (of the implicit rewards, before each
    update), `pairs` (that were no tie), `reward` (mean over answers, in spreads of the starting model's), `kl`
    (nats per answer), `entropy` (nats per token), `length` (tokens), `sampler_gap`, `seconds_left`.
    `sampler` is as in `ppo`. Returns the metrics.
    Raises `StageError` with one sentence when the data are unusable or the loss is not finite.
    """
    source, _ = folders(spec)
    settings = OnlineDpoSettings.read(spec.settings)
    began = time.perf_counter()
    tokenizer = load_tokenizer(source)
    prompts, left = asked_prompts(spec, settings, tokenizer)
    model = one_base(spec, settings, tokenizer)
    run = OnlineDpoRun(model, settings, spec.seed)
    asked = drawn(prompts, spec.seed)
    inside, publish = sampler or BatchSampler(model, tokenizer), publisher(sampler, spec)
    checkpoints = LoopCheckpoints[LoopState[OnlineDpoState]](spec)
    history = checkpoints.take_up(run, asked, settings.pairs, checkpoints.state())
    if not history:
        progress({"step": 0, "steps": settings.steps})
    set_up = time.perf_counter()
    for step in range(checkpoints.step, settings.steps):
        version = publish(model.model, step) if publish else "policy"
        sampling = Sampling(settings.temperature, settings.max_tokens, seed=spec.seed * 1_000_003 + step, n=2)
        record = run.step(collect(inside, version, tokenizer, list(islice(asked, settings.pairs)), sampling), step)
        remaining = (time.perf_counter() - set_up) / (step + 1 - checkpoints.step) * (settings.steps - step - 1)
        history.append(record)
        progress({"step": step + 1, "steps": settings.steps, **record, "seconds_left": round(remaining, 1)})
        if step + 1 < settings.steps:
            checkpoints.offer(step + 1, lambda: {"run": run.state(), "history": history})
    save_adapter(model.model, spec.out)
    return {
        "prompts": len(prompts),
        **left.to_record(),
        "pairs": sum(record["pairs"] for record in history),
        "rollouts": 2 * settings.pairs * settings.steps,
        "steps": settings.steps,
        "rate": settings.rate_for(model.hidden_size),
        "beta": settings.beta,
        "rank": settings.rank,
        "dtype": "bf16" if model.bf16 else "fp32",
        "started_from": "adapter" if spec.adapter else "model",
        "first": history[0],
        "last": history[-1],
        "seconds_set_up": round(set_up - began, 3),
        "seconds_training": round(time.perf_counter() - set_up, 3),
    }


class OnlineDpoState(TypedDict):
    """All that the next step depends on: the policy's parameters, the optimiser, the rewards' unit, chance."""

    policy: list[torch.Tensor]
    optimiser: dict[str, Any]
    unit: tuple[float, float] | None
    order: Any


class OnlineDpoRun:
    """Takes two answers to each prompt, leaves a changed policy. One per run."""

    def __init__(self, model: OneBase, settings: OnlineDpoSettings, seed: int) -> None:
        self.model = model
        self.settings = settings
        self.unit: Unit | None = None
        self._rng = random.Random(seed)
        self._rate = settings.rate_for(model.hidden_size)
        self._optimiser = torch.optim.AdamW(model.policy, lr=self._rate, betas=(0.9, 0.95), weight_decay=0.0)

    def state(self) -> OnlineDpoState:
        """For a checkpoint."""
        return {
            "policy": [parameter.detach() for parameter in self.model.policy],
            "optimiser": self._optimiser.state_dict(),
            "unit": None if self.unit is None else (self.unit.mean, self.unit.std),
            "order": self._rng.getstate(),
        }

    def load_state(self, state: OnlineDpoState) -> None:
        """Go on where `state` was taken; this run has taken no step yet."""
        self.model.load_policy(state["policy"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.unit = Unit(*state["unit"]) if state["unit"] else None
        self._rng.setstate(state["order"])

    def step(self, rollouts: Sequence[Rollout], number: int) -> StepRecord:
        """Learn from one step's rollouts, two of each prompt side by side; `number` counts from 0."""
        settings = self.settings
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * (1 - number / settings.steps)
        scored = score(self.model, rollouts)
        if self.unit is None:
            self.unit = Unit.of(scored.scores)
        rewards = answer_rewards(self.unit(scored.scores), scored.finished, clip=0.0, missing_end=settings.missing_end)
        contests = decided(rewards.tolist(), settings.tie)
        losses, margins, right = [0.0], [0.0], [0.0]
        for _ in range(settings.epochs):
            self._rng.shuffle(contests)
            for start in range(0, len(contests), settings.minibatch):
                loss, gaps = self._update(rollouts, scored, contests[start : start + settings.minibatch], number)
                losses.append(loss)
                margins += gaps
                right += [float(gap > 0) for gap in gaps]
        figures: StepRecord = {
            "loss": sum(losses) / max(1, len(losses) - 1),
            "margin": round(sum(margins) / max(1, len(margins) - 1), 4),
            "accuracy": round(sum(right) / max(1, len(right) - 1), 4),
            "pairs": len(contests),
            "reward": round(float(rewards.mean()), 4),
            "kl": round(kl_per_answer(scored.old, scored.reference, scored.mask), 4),
            "entropy": round(scored.entropy, 4),
            "length": round(float(scored.mask.sum(dim=1).float().mean()), 2),
        }
        if scored.gap is not None:
            figures["sampler_gap"] = round(scored.gap, 6)
        return figures

    def _update(
        self, rollouts: Sequence[Rollout], scored: Scored, contests: Sequence[Contest], number: int
    ) -> tuple[float, list[float]]:
        model = self.model
        rows = [contest.better for contest in contests] + [contest.worse for contest in contests]
        at = torch.tensor(rows, device=model.device)
        ids, attention, answer = batch_of(model, rollouts, rows)
        with model.gradients():
            flat = model.answer_logps(ids, attention, answer)
        counts = answer[:, 1:].sum(dim=1).tolist()
        logps = torch.stack([part.sum() for part in torch.split(flat, counts)])
        rewards = self.settings.beta * (logps - (scored.reference[at] * scored.mask[at]).sum(dim=1))
        better, worse = rewards.chunk(2)
        loss = -logsigmoid(better - worse).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
        norm = float(torch.nn.utils.clip_grad_norm_(model.policy, self.settings.max_grad))
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise StageError(
                f"online-dpo ended at step {number + 1} because its loss is not a number any more. Use a smaller rate."
            )
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return value, (better - worse).detach().tolist()


def decided(rewards: Sequence[float], tie: float) -> list[Contest]:
    """Of answers that stand in twos, those whose rewards differ by more than `tie`."""
    found = []
    for first in range(0, len(rewards) - 1, 2):
        gap = rewards[first] - rewards[first + 1]
        if abs(gap) > tie:
            found.append(Contest(first, first + 1) if gap > 0 else Contest(first + 1, first))
    return found
