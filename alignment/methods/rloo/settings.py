"""What an RLOO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignment.methods.shared_training.scale import rate_for
from alignment.methods.shared_training.settings import DTYPES, ROLLOUTS_FROM, read_settings, require
from alignment.stage.spec import PROCESS, Setting

SMALL_MODEL_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class RlooSettings:
    """Settings of one RLOO run; 0 means: chosen from the model.

    `steps` of `rollouts` answers each, `answers` to every prompt, so that each is measured against the mean
    of the others; `iterations` of updates on them in minibatches of `minibatch` answers. `beta` is the KL
    penalty's coefficient; `reward_clip` in units of the starting model's spread (0: none); `missing_end` is
    taken off an unfinished answer; prompts are the dataset's and those of the JSONL file `prompts`.
    `layers` is the share of layers that get an adapter, counted from the last (0: by the model's size, as in `dpo`).
    `rollouts_from` is process, or vllm at `vllm_url`: it samples under a name of the policy's own.
    """

    steps: int = 16
    rollouts: int = 64
    answers: int = 4
    iterations: int = 2
    minibatch: int = 32
    rate: float = 0.0
    beta: float = 0.05
    clip: float = 0.2
    reward_clip: float = 5.0
    missing_end: float = 1.0
    prompts: str = ""
    temperature: float = 1.0
    max_tokens: int = 96
    max_length: int = 0
    rank: int = 16
    alpha: int = 32
    layers: float = 0.0
    dtype: str = "auto"
    min_prompts: int = 8
    threads: int = 0
    rollouts_from: str = PROCESS
    vllm_url: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> RlooSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        settings = read_settings(cls, "rloo", values)
        require(
            "rloo",
            {
                "answers must be at least 2, because each is measured against the others": settings.answers >= 2,
                "steps, iterations, minibatch and max_tokens must be at least 1": min(
                    settings.steps, settings.iterations, settings.minibatch, settings.max_tokens
                )
                >= 1,
                "rollouts must be a multiple of answers and of minibatch": settings.rollouts > 0
                and settings.rollouts % settings.answers == 0
                and settings.rollouts % settings.minibatch == 0,
                "temperature must be above 0": settings.temperature > 0,
                "beta and rate must not be negative": min(settings.beta, settings.rate) >= 0,
                f"layers is a share between 0 and 1, not {settings.layers:g}": 0 <= settings.layers <= 1,
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
