"""What an online DPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignment.methods.shared_training.scale import rate_for
from alignment.methods.shared_training.settings import DTYPES, ROLLOUTS_FROM, read_settings, require
from alignment.stage.spec import PROCESS, Setting

SMALL_MODEL_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class OnlineDpoSettings:
    """Settings of one online DPO run; 0 means: chosen from the model.

    `steps` of `pairs` prompts each, two answers to every one; `epochs` over them in minibatches of
    `minibatch` pairs. Pairs whose rewards differ by `tie` spreads of the starting model's or less teach
    nothing. `missing_end` is taken off an unfinished answer; prompts are the dataset's and those of the
    JSONL file `prompts`.
    `layers` is the share of layers that get an adapter, counted from the last (0: by the model's size, as in `dpo`).
    `rollouts_from` is process, or vllm at `vllm_url`: it samples under a name of the policy's own.
    """

    steps: int = 12
    pairs: int = 64
    epochs: int = 2
    minibatch: int = 16
    rate: float = 0.0
    beta: float = 0.1
    tie: float = 0.1
    missing_end: float = 1.0
    prompts: str = ""
    temperature: float = 1.0
    max_tokens: int = 96
    max_length: int = 0
    rank: int = 16
    alpha: int = 32
    layers: float = 0.0
    max_grad: float = 1.0
    dtype: str = "auto"
    min_prompts: int = 8
    threads: int = 0
    rollouts_from: str = PROCESS
    vllm_url: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> OnlineDpoSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        settings = read_settings(cls, "online-dpo", values)
        require(
            "online-dpo",
            {
                "steps, pairs, epochs, minibatch and max_tokens must be at least 1": min(
                    settings.steps, settings.pairs, settings.epochs, settings.minibatch, settings.max_tokens
                )
                >= 1,
                "beta and temperature must be above 0": min(settings.beta, settings.temperature) > 0,
                "rate and tie must not be negative": min(settings.rate, settings.tie) >= 0,
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
