"""What a PPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignment.methods.shared_training.scale import rate_for
from alignment.methods.shared_training.settings import DTYPES, ROLLOUTS_FROM, read_settings, require
from alignment.stage.spec import PROCESS, Setting

SMALL_MODEL_RATE = 5e-4
WATCH_NEEDS = "watch needs milestones to judge: set milestones=0.5 too, or leave watch out"


@dataclass(frozen=True, slots=True)
class PpoSettings:
    """Settings of one PPO run; 0 means: chosen from the model, or switched off, as said.

    Rollouts: `steps` of `rollouts` answers each, to prompts of the dataset and of the JSONL file `prompts`,
    at `temperature`, at most `max_tokens` long.
    Optimisation: `epochs` over each step's rollouts in minibatches of `minibatch` answers, processed in
    parts of `microbatch`; `rate` (0: from the model) decays linearly to 0; `clip` and `value_clip` are the ε
    of the two losses, `gamma` and `lam` those of GAE; `entropy` is the coefficient of an entropy bonus,
    `value_rate` the value head's own rate.
    KL: `beta` is the penalty per token against the reference; with `target_kl` above 0 it is steered
    towards that many nats per answer, by `kl_gain` a step. An epoch ends early when the policy has moved by
    `stop_step_kl` nats per token from the rollouts' (0: never), the run when it is `stop_kl` nats per answer
    away from the reference (0: never). With `milestones` above 0 the policy is kept each time √KL has changed by that
    much. With `watch` above 0 people are asked for that many blind judgements of these in all (`overoptimization`),
    whose answers end the run and choose the policy; each time they have `patience_minutes`, and then it goes on.
    Rewards: `reward_clip` in units of the starting model's spread (0: none), `missing_end` is taken off an
    unfinished answer, `whiten_rewards` scales each step's rewards.
    `layers` is the share of layers that get an adapter, counted from the last (0: by the model's size, as in `dpo`).
    `mix` is the coefficient of the pretraining-mix term over the dataset's SFT rows.
    `rollouts_from` is process, or vllm at `vllm_url`: it samples under a name of the policy's own.
    """

    steps: int = 8
    rollouts: int = 128
    epochs: int = 4
    minibatch: int = 64
    microbatch: int = 32
    rate: float = 0.0
    value_rate: float = 3e-3
    clip: float = 0.2
    value_clip: float = 0.2
    gamma: float = 1.0
    lam: float = 0.95
    entropy: float = 0.0
    beta: float = 0.05
    target_kl: float = 0.0
    kl_gain: float = 0.1
    stop_kl: float = 0.0
    stop_step_kl: float = 0.1
    milestones: float = 0.0
    watch: int = 0
    patience_minutes: float = 30.0
    reward_clip: float = 5.0
    missing_end: float = 1.0
    whiten_rewards: bool = False
    mix: float = 0.0
    prompts: str = ""
    temperature: float = 1.0
    max_tokens: int = 96
    max_length: int = 0
    rank: int = 16
    alpha: int = 32
    layers: float = 1.0
    max_grad: float = 1.0
    dtype: str = "auto"
    min_prompts: int = 8
    threads: int = 0
    rollouts_from: str = PROCESS
    vllm_url: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> PpoSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        settings = read_settings(cls, "ppo", values)
        require(
            "ppo",
            {
                "steps, epochs, minibatch, microbatch and max_tokens must be at least 1": min(
                    settings.steps, settings.epochs, settings.minibatch, settings.microbatch, settings.max_tokens
                )
                >= 1,
                "rollouts must be at least 2": settings.rollouts >= 2,
                "clip must be between 0 and 1": 0 < settings.clip < 1,
                "gamma and lam must be between 0 and 1": 0 <= settings.gamma <= 1 and 0 <= settings.lam <= 1,
                "temperature must be above 0": settings.temperature > 0,
                "beta, rates, targets and coefficients must not be negative": min(
                    settings.beta,
                    settings.rate,
                    settings.value_rate,
                    settings.target_kl,
                    settings.stop_kl,
                    settings.stop_step_kl,
                    settings.milestones,
                    settings.watch,
                    settings.patience_minutes,
                    settings.mix,
                    settings.entropy,
                    settings.value_clip,
                )
                >= 0,
                f"layers is a share between 0 and 1, not {settings.layers:g}": 0 <= settings.layers <= 1,
                WATCH_NEEDS: not settings.watch or settings.milestones > 0,
                f"dtype must be one of {', '.join(DTYPES)}": settings.dtype in DTYPES,
                f"rollouts_from must be one of {', '.join(ROLLOUTS_FROM)}": settings.rollouts_from in ROLLOUTS_FROM,
                "rollouts_from=vllm needs vllm_url, as http://127.0.0.1:8161": settings.rollouts_from == PROCESS
                or bool(settings.vllm_url),
            },
        )
        return settings

    def rate_for(self, hidden: int) -> float:
        """Peak learning rate for a model of this hidden size."""
        return self.rate or rate_for(hidden, SMALL_MODEL_RATE)
