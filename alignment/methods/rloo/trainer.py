"""TRL's `RLOOTrainer` with rollouts from elsewhere: TRL's own way to vLLM needs CUDA and a server of its own.

TRL recomputes the log-probabilities of what was sampled, so nothing else changes; how far they are from the
sampler's own is logged as `sampler_gap`.
"""

from __future__ import annotations

from typing import Any

from trl import RLOOTrainer

from alignment.dataset.judgement import Message
from alignment.methods.online.publish import Publish
from alignment.methods.online.rollouts import collect
from alignment.methods.online.scoring import sampler_gap
from alignment.stage.sampler import Sampler, Sampling


class OutsideRlooTrainer(RLOOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Asks `sampler` for its answers, after `publish` has handed it the policy."""

    def __init__(self, *, sampler: Sampler, publish: Publish | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sampler = sampler
        self._publish = publish
        self._asked: list[Any] = []
        self._logged: list[tuple[float, ...]] = []

    def _generate(self, prompts: list[Any]) -> Any:
        self._asked = prompts
        return super()._generate(prompts)

    def _generate_single_turn(self, prompt_ids: Any, images: Any, multimodal_fields: Any) -> list[list[int]]:
        number = self.state.global_step // (self.args.steps_per_generation * self.num_iterations)
        version = self._publish(self.model, number) if self._publish else "policy"
        prompts = [[Message(turn["role"], turn["content"]) for turn in prompt] for prompt in self._asked]
        sampling = Sampling(self.temperature, self.max_completion_length, self.args.seed * 1_000_003 + number)
        rollouts = collect(self._sampler, version, self.processing_class, prompts, sampling)
        self._logged = [rollout.logged for rollout in rollouts]
        return [list(rollout.answer) for rollout in rollouts]

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        # The first after sampling are those of the policy that was sampled from, (B, T).
        gap, self._logged = sampler_gap(found[0], self._logged), []
        if gap is not None:
            self._metrics["train"]["sampler_gap"].append(gap)
        return found
