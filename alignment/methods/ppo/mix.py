"""The pretraining-mix term (Ouyang et al. 2022, arXiv:2203.02155, equation 2): plain texts beside the rewards.

The texts are the dataset's SFT rows: answers that people wrote or liked enough to be imitated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.folder import read_sft
from alignment.dataset.reading.training_files import has_table
from alignment.errors import StageError
from alignment.methods.online.model import OneBase, rectangle
from alignment.methods.online.prompts import drawn
from alignment.methods.shared_training.tokenized import tokenize_answers

ROWS = 8  # texts beside each minibatch


class Mix:
    """Adds γ times the mean cross-entropy of a few texts to each update's gradient."""

    def __init__(self, texts: list[tuple[list[int], list[int]]], coefficient: float, seed: int) -> None:
        """`texts` are token ids of prompts and answers."""
        self._texts = texts
        self._coefficient = coefficient
        self._order = drawn(range(len(texts)), seed)
        self.drawn = 0  # texts so far: where a run that is interrupted goes on

    def skip(self, count: int) -> None:
        """Leave out the texts that an interrupted run has seen."""
        for _ in range(count):
            self._next()

    def _next(self) -> tuple[list[int], list[int]]:
        self.drawn += 1
        return self._texts[next(self._order)]

    def backward(self, model: OneBase) -> float:
        """Add the gradient of the next texts; returns their mean loss in nats per token."""
        chosen = [self._next() for _ in range(min(ROWS, len(self._texts)))]
        rows = [prompt + answer for prompt, answer in chosen]
        ids, attention, answer = rectangle(rows, [len(prompt) for prompt, _ in chosen], model.pad, model.device)
        with model.gradients():
            logps = model.answer_logps(ids, attention, answer)
        loss: torch.Tensor = -logps.mean()
        (self._coefficient * loss).backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
        return float(loss.detach())


def read_mix(folder: Path, tokenizer: Any, coefficient: float, seed: int, left: LeftOut) -> Mix | None:
    """The dataset's SFT rows as a mix, or None when the coefficient is 0; what cannot be used is counted in `left`.

    Raises `StageError` when the coefficient asks for texts and there are none.
    """
    if coefficient == 0:
        return None
    without = LeftOut()
    rows = read_sft(folder, "train", left=without) if has_table(folder, "sft") else []
    answers, unusable = tokenize_answers(rows, tokenizer, None)
    without.update(unusable)
    without.check("ppo's mix", len(answers), 1, "rows worth imitating", "the model's window")
    if not answers:
        raise StageError(
            "ppo's mix needs at least one row worth imitating; this snapshot has 0: "
            "collect corrections, or leave mix 0."
        )
    left.update(without)
    return Mix([(answer.prompt, answer.completion) for answer in answers], coefficient, seed)
