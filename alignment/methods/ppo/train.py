"""The PPO stage: rollouts, rewards, a few epochs of clipped updates, again and again.

Reads a reward model's folder (`spec.reward`) beside the dataset; leaves an adapter that vLLM serves as it is.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypedDict

import torch

from alignment.errors import StageError
from alignment.methods.online.advantages import generalised_advantages, whitened
from alignment.methods.online.model import OneBase, ValueHead
from alignment.methods.online.prompts import drawn
from alignment.methods.online.publish import publisher
from alignment.methods.online.rewards import Unit, answer_rewards, kl_per_answer, token_rewards
from alignment.methods.online.rollouts import BatchSampler, Rollout, collect
from alignment.methods.online.scoring import PART, Scored, batch_of, by_length, score
from alignment.methods.online.setup import asked_prompts, folders, one_base
from alignment.methods.ppo.kl import controller
from alignment.methods.ppo.losses import policy_loss, value_loss
from alignment.methods.ppo.milestones import Milestones, MilestonesState
from alignment.methods.ppo.mix import Mix, read_mix
from alignment.methods.ppo.overoptimization import Watch
from alignment.methods.ppo.people import watched_by_people
from alignment.methods.ppo.settings import PpoSettings
from alignment.methods.shared_training.adapters import save_adapter
from alignment.methods.shared_training.allocator import keep_freed_memory
from alignment.methods.shared_training.loading import load_tokenizer
from alignment.methods.shared_training.resuming import LoopCheckpoints, LoopState
from alignment.records import StageMetrics, StepRecord
from alignment.stage.sampler import Sampler, Sampling
from alignment.stage.spec import Progress, StageSpec


def train(
    spec: StageSpec, progress: Progress, *, sampler: Sampler | None = None, watch: Watch | None = None
) -> StageMetrics:
    """Train an adapter against `spec.reward` and save it into `spec.out`.

    Progress records: `step`, `steps`, `loss` (policy), `value_loss`, `reward` (mean over answers, in spreads of
    the starting model's), `kl` (to the reference, nats per answer), `beta`, `entropy` (nats per token),
    `clipped` (share of tokens), `length` (tokens), `finished` (share), `sampler_gap`, `seconds_left`.
    `sampler` answers instead of the model in this process; an `Elsewhere` is handed the policy before each step.
    `watch` judges the setting's `milestones`, ends the run when its peak is behind, and says where to go back to; by
    default the setting's `watch`, which asks people through files (`people_channel`). While it waits for them, the
    last record is sent again with `waiting`, in words.
    Returns the metrics. Raises `StageError` with one sentence when the data are unusable or a loss is not finite.
    """
    source, _ = folders(spec)
    settings = PpoSettings.read(spec.settings)
    began = time.perf_counter()
    tokenizer = load_tokenizer(source)
    prompts, left = asked_prompts(spec, settings, tokenizer)
    mix = read_mix(spec.data, tokenizer, settings.mix, spec.seed, left)
    model = one_base(spec, settings, tokenizer)
    keep_freed_memory(model.hidden_size)
    run = PpoRun(model, settings, spec.seed, mix)
    asked = drawn(prompts, spec.seed)
    inside, publish = sampler or BatchSampler(model, tokenizer), publisher(sampler, spec)
    sampling_s = 0.0
    stopped = ""
    checkpoints = LoopCheckpoints[_Kept](spec)
    state = checkpoints.state()
    history = checkpoints.take_up(run, asked, settings.rollouts, state)
    latest: StepRecord = {"step": len(history), "steps": settings.steps}
    if history:
        latest |= history[-1]
    if not history:
        progress(latest)
    watch = watch or watched_by_people(
        spec, settings, lambda words: progress({**latest, "waiting": words} if words else latest)
    )
    milestones = Milestones(model, spec.out, settings.milestones, watch)
    milestones.begin(state.get("milestones") if state else None)
    set_up = time.perf_counter()
    ended = milestones.stop()  # where the run was killed while people were asked
    for step in range(checkpoints.step, settings.steps):
        if ended:
            break
        version = publish(model.model, step) if publish else "policy"
        started = time.perf_counter()
        sampling = Sampling(settings.temperature, settings.max_tokens, seed=spec.seed * 1_000_003 + step)
        rollouts = collect(inside, version, tokenizer, list(islice(asked, settings.rollouts)), sampling)
        sampling_s += time.perf_counter() - started
        milestones.before()
        record = run.step(rollouts, step)
        elapsed = time.perf_counter() - set_up - milestones.waited_s
        remaining = elapsed / (step + 1 - checkpoints.step) * (settings.steps - step - 1)
        history.append(record)
        latest = {"step": step + 1, "steps": settings.steps, **record, "seconds_left": round(remaining, 1)}
        progress(latest)
        if settings.stop_kl and record["kl"] > settings.stop_kl:
            stopped = f"The policy was {record['kl']:.1f} nats per answer from the reference at step {step + 1}."
            break
        asks = milestones.after(step, record) and watch is not None
        if asks or step + 1 < settings.steps:  # people may take their time: what they are asked after is kept first
            checkpoints.offer(
                step + 1,
                lambda: {"run": run.state(), "history": history, "milestones": milestones.state()},
                now=asks,
            )
        ended = milestones.stop()
    stopped = milestones.go_back(stopped)
    save_adapter(model.model, spec.out)
    trained = time.perf_counter()
    evidence = milestones.evidence(stopped)
    metrics: StageMetrics = {
        "prompts": len(prompts),
        **left.to_record(),
        "rollouts": settings.rollouts * len(history),
        "steps": len(history),
        "stopped": stopped,
        "rate": settings.rate_for(model.hidden_size),
        "beta": run.controller.beta,
        "rank": settings.rank,
        "dtype": "bf16" if model.bf16 else "fp32",
        "started_from": "adapter" if spec.adapter else "model",
        "first": history[0],
        "last": history[-1],
        "seconds_set_up": round(set_up - began, 3),
        "seconds_training": round(trained - set_up - milestones.waited_s, 3),
        "seconds_sampling": round(sampling_s, 3),
    }
    if evidence is not None:
        metrics |= {"watch": evidence, "seconds_waiting": round(milestones.waited_s, 3)}
    return metrics


@dataclass(slots=True)
class _Sums:
    """What the minibatches of a step add up to."""

    loss: float = 0.0
    value: float = 0.0
    clipped: float = 0.0
    drift: float = 0.0
    grad: float = 0.0
    updates: int = 0

    def mean(self, name: str) -> float:
        return float(getattr(self, name)) / max(1, self.updates)


class PpoState(TypedDict):
    """All that the next step depends on: parameters, optimisers, the KL's weight, the rewards' unit, chance, texts."""

    policy: list[torch.Tensor]
    value_head: dict[str, torch.Tensor]
    optimisers: list[dict[str, Any]]
    beta: float
    unit: tuple[float, float] | None
    order: Any
    texts: int


class _Kept(LoopState[PpoState]):
    milestones: MilestonesState


class PpoRun:
    """The optimiser's side of PPO: takes rollouts, leaves a changed policy. One per run."""

    def __init__(self, model: OneBase, settings: PpoSettings, seed: int, mix: Mix | None = None) -> None:
        self.model = model
        self.settings = settings
        self.controller = controller(settings.beta, settings.target_kl, settings.kl_gain)
        self.unit: Unit | None = None
        self._rng = random.Random(seed)
        self._mix = mix
        self.value_head: ValueHead = model.value_head()
        rate = settings.rate_for(model.hidden_size)
        self._policy = torch.optim.AdamW(model.policy, lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
        self._values = torch.optim.AdamW(self.value_head.parameters(), lr=settings.value_rate, weight_decay=0.0)
        self._rates = [(self._policy, rate), (self._values, settings.value_rate)]

    def state(self) -> PpoState:
        """For a checkpoint."""
        return {
            "policy": [parameter.detach() for parameter in self.model.policy],
            "value_head": self.value_head.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser, _ in self._rates],
            "beta": self.controller.beta,
            "unit": None if self.unit is None else (self.unit.mean, self.unit.std),
            "order": self._rng.getstate(),
            "texts": self._mix.drawn if self._mix else 0,
        }

    def load_state(self, state: PpoState) -> None:
        """Go on where `state` was taken; this run has taken no step yet."""
        self.model.load_policy(state["policy"])
        self.value_head.load_state_dict(state["value_head"])
        for (optimiser, _), then in zip(self._rates, state["optimisers"], strict=True):
            optimiser.load_state_dict(then)
        self.controller.beta = state["beta"]
        self.unit = Unit(*state["unit"]) if state["unit"] else None
        self._rng.setstate(state["order"])
        if self._mix is not None:
            self._mix.skip(state["texts"])

    def step(self, rollouts: Sequence[Rollout], number: int) -> StepRecord:
        """Learn from one step's rollouts; `number` counts from 0. Returns the record's figures."""
        settings = self.settings
        for optimiser, rate in self._rates:
            for group in optimiser.param_groups:
                group["lr"] = rate * (1 - number / settings.steps)
        # Without gradients twice as many answers fit; smaller parts of similar lengths hold less padding.
        scored = score(self.model, rollouts, min(PART, 2 * settings.microbatch))
        if self.unit is None:
            self.unit = Unit.of(scored.scores)
        scores = self.unit(scored.scores)
        kl = kl_per_answer(scored.old, scored.reference, scored.mask)
        answers = answer_rewards(scores, scored.finished, clip=settings.reward_clip, missing_end=settings.missing_end)
        rewards = token_rewards(
            answers, scored.old, scored.reference, scored.mask, self.controller.beta, whiten=settings.whiten_rewards
        )
        with torch.no_grad():
            values = self._value(scored.states) * scored.mask
        advantages, returns = generalised_advantages(rewards, values, scored.mask, settings.gamma, settings.lam)
        sums = self._epochs(rollouts, scored, whitened(advantages, scored.mask), values, returns, number)
        used = self.controller.beta
        self.controller.saw(kl)
        lengths = scored.mask.sum(dim=1).float()
        figures: StepRecord = {
            "loss": sums.mean("loss"),
            "value_loss": round(sums.mean("value"), 5),
            "reward": round(float(answers.mean()), 4),
            "kl": round(kl, 4),
            "beta": round(used, 6),
            "entropy": round(scored.entropy, 4),
            "clipped": round(sums.mean("clipped"), 4),
            "grad_norm": round(sums.mean("grad"), 4),
            "updates": sums.updates,
            "length": round(float(lengths.mean()), 2),
            "finished": round(float(scored.finished.float().mean()), 4),
        }
        if scored.gap is not None:
            figures["sampler_gap"] = round(scored.gap, 6)
        return figures

    def _value(self, states: torch.Tensor) -> torch.Tensor:
        """Values in the reward's unit."""
        assert self.unit is not None
        return self.unit(self.value_head(states))

    def _epochs(
        self,
        rollouts: Sequence[Rollout],
        scored: Scored,
        advantages: torch.Tensor,
        values: torch.Tensor,
        returns: torch.Tensor,
        number: int,
    ) -> _Sums:
        sums = _Sums()
        for _ in range(self.settings.epochs):
            for rows in self._minibatches(len(rollouts)):
                drift = self._update(rollouts, rows, scored, advantages, values, returns, sums, number)
                if self.settings.stop_step_kl and drift > self.settings.stop_step_kl:
                    return sums
        return sums

    def _minibatches(self, count: int) -> Iterator[list[int]]:
        order = list(range(count))
        self._rng.shuffle(order)
        for start in range(0, count, self.settings.minibatch):
            yield order[start : start + self.settings.minibatch]

    def _update(
        self,
        rollouts: Sequence[Rollout],
        rows: Sequence[int],
        scored: Scored,
        advantages: torch.Tensor,
        values: torch.Tensor,
        returns: torch.Tensor,
        sums: _Sums,
        number: int,
    ) -> float:
        """One optimiser step on a minibatch; returns how far the policy has moved, nats per token."""
        settings, model = self.settings, self.model
        tokens = float(scored.mask[list(rows)].sum())
        drift = 0.0
        for part in by_length(rollouts, rows, settings.microbatch):
            at = torch.tensor(part, device=model.device)
            width = int(scored.mask[at].sum(dim=1).max())
            mask = scored.mask[at, :width]
            ids, attention, answer = batch_of(model, rollouts, part)
            with model.gradients():
                flat = model.answer_logps(ids, attention, answer)
            logps = torch.zeros(mask.shape, device=model.device).masked_scatter(mask, flat)
            outcome = policy_loss(
                logps, scored.old[at, :width], advantages[at, :width], mask, settings.clip, tokens=tokens
            )
            loss = outcome.loss
            if settings.entropy:
                loss = loss - settings.entropy * self._entropy(ids, attention, answer) / tokens
            loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
            new = self._value(scored.states[at, :width])
            lost = value_loss(new, values[at, :width], returns[at, :width], mask, settings.value_clip, tokens=tokens)
            lost.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
            share = float(mask.sum()) / tokens
            sums.loss += float(outcome.loss.detach())
            sums.value += float(lost.detach())
            sums.clipped += outcome.clipped * share
            drift += outcome.drift * share
        if self._mix is not None:
            self._mix.backward(model)
        norm = float(torch.nn.utils.clip_grad_norm_(model.policy, settings.max_grad))
        if not (math.isfinite(norm) and math.isfinite(sums.loss) and math.isfinite(sums.value)):
            raise StageError(
                f"ppo ended at step {number + 1} because its loss is not a number any more. "
                "Use a smaller rate or value_rate."
            )
        torch.nn.utils.clip_grad_norm_(self.value_head.parameters(), settings.max_grad)
        for optimiser, _ in self._rates:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        sums.grad += norm
        sums.updates += 1
        sums.drift += drift
        return drift

    def _entropy(self, ids: torch.Tensor, attention: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        """The summed entropy of the answers' distributions, with its gradient."""
        model = self.model
        with model.gradients():
            hidden = model.backbone(ids, attention)[:, :-1][answer[:, 1:].bool()]
            logps = torch.log_softmax(model.logits(hidden), dim=-1)
        return -(logps.exp() * logps).sum()
