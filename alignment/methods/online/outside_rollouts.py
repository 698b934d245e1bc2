"""Rollouts from elsewhere for TRL's online trainers, whose own way to vLLM needs CUDA and a server of its own.

TRL recomputes the log-probabilities of what was sampled, so nothing else changes; how far they are from the
sampler's own is logged as `sampler_gap`.
"""

from __future__ import annotations

from typing import Any

from alignment.dataset.judgement import Message
from alignment.methods.online.publish import Publish
from alignment.methods.online.rollouts import collect
from alignment.methods.online.scoring import sampler_gap
from alignment.stage.sampler import Sampler, Sampling


class OutsideRollouts:
    """Put before a TRL trainer, whose `_generate_single_turn` then returns what `ask_outside` found."""

    scores_policy_first = True
    """Whether the first log-probabilities after sampling are those of the policy that was sampled from."""

    # What is used of the trainer.
    args: Any
    model: Any
    num_iterations: int
    temperature: float
    max_completion_length: int
    processing_class: Any
    state: Any
    _metrics: Any

    def __init__(self, *, sampler: Sampler, publish: Publish | None, **kwargs: Any) -> None:
        """`publish` hands the policy to `sampler`; None where it has it."""
        super().__init__(**kwargs)
        self._sampler = sampler
        self._publish = publish
        self._asked: list[Any] = []
        self._logged: list[tuple[float, ...]] = []

    def _generate(self, prompts: list[Any]) -> Any:
        self._asked = prompts
        return super()._generate(prompts)  # type: ignore[misc]  # the trainer's

    def ask_outside(self) -> list[list[int]]:
        """The sampler's answers to the prompts that TRL is about to answer, as token ids."""
        number = self.state.global_step // (self.args.steps_per_generation * self.num_iterations)
        version = self._publish(self.model, number) if self._publish else "policy"
        prompts = [[Message(turn["role"], turn["content"]) for turn in prompt] for prompt in self._asked]
        sampling = Sampling(self.temperature, self.max_completion_length, self.args.seed * 1_000_003 + number)
        rollouts = collect(self._sampler, version, self.processing_class, prompts, sampling)
        self._logged = [rollout.logged for rollout in rollouts] if self.scores_policy_first else []
        return [list(rollout.answer) for rollout in rollouts]

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)  # type: ignore[misc]  # the trainer's
        gap, self._logged = sampler_gap(found[0], self._logged), []  # log-probabilities are (B, T)
        if gap is not None:
            self._metrics["train"]["sampler_gap"].append(gap)
        return found
