"""A finished reward model as the reward function that TRL's online trainers call, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alignment.dataset.judgement import Message
from alignment.methods.online.model import OneBase, rectangle
from alignment.methods.online.rewards import Unit, answer_rewards
from alignment.methods.online.rollouts import render
from alignment.methods.online.scoring import PART


class RewardFunction:
    """Scores answers in the starting model's unit, clipped, less a penalty where the end of turn is missing.

    The unit is measured on the first call, whose answers are the starting model's own.
    """

    __name__ = "reward_model"  # TRL names its metrics after the function

    def __init__(self, model: OneBase, tokenizer: Any, *, clip: float, missing_end: float) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._clip = clip
        self._missing_end = missing_end
        self.unit: Unit | None = None

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], **_: Any
    ) -> list[float]:
        """Rewards of answers by their token ids; `prompts` are lists of {"role", "content"}."""
        rows = [
            (render(self._tokenizer, [Message(turn["role"], turn["content"]) for turn in prompt]), list(answer))
            for prompt, answer in zip(prompts, completion_ids, strict=True)
        ]
        scores = torch.zeros(len(rows), device=self._model.device)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]) + len(rows[row][1]))
        for start in range(0, len(order), PART):
            part = order[start : start + PART]
            whole = [rows[row][0] + rows[row][1] for row in part]
            ids, mask, answer = rectangle(
                whole, [len(rows[row][0]) for row in part], self._model.pad, self._model.device
            )
            scores[torch.tensor(part, device=self._model.device)] = self._model.judge(ids, mask, answer).scores
        if self.unit is None:
            self.unit = Unit.of(scores)
        finished = torch.tensor(
            [bool(answer) and answer[-1] == self._tokenizer.eos_token_id for _, answer in rows],
            device=self._model.device,
        )
        rewards = answer_rewards(self.unit(scores), finished, clip=self._clip, missing_end=self._missing_end)
        return list(map(float, rewards.tolist()))
