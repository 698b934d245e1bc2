"""TRL's `RewardTrainer` over weighted rankings: pairs by Bradley–Terry, longer ones by Plackett–Luce.

TRL knows pairs without weights. Here a row is any number of answers to one prompt in an order with ties;
all answers of a batch go through the model at once. What may not be done here: reading files, or choosing
settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import RewardConfig, RewardTrainer

from alignment.errors import StageError
from alignment.methods.reward.tokenized_rankings import TokenizedRanking
from alignment.methods.shared_training.ranking_loss import bradley_terry, plackett_luce

COLUMNS = ("sequences", "ties", "weight", "margin", "target")


class RankingExample(TypedDict):
    """One row as the trainer hands it to the collator: a `TokenizedRanking`."""

    sequences: list[list[int]]
    ties: list[int]
    weight: float
    margin: float
    target: float


class RankingBatch(TypedDict):
    """B rows of N answers in all: token ids and mask, (N, T); tie-groups as B lists; numbers, (B,)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    ties: list[list[int]]
    weight: torch.Tensor
    margin: torch.Tensor
    target: torch.Tensor


@dataclass
class RankingCollator:
    """Pads all answers of B rows into `input_ids` and `attention_mask` (N, T), N ≥ 2B; the rest stays in lists."""

    pad_token_id: int

    def __call__(self, examples: list[RankingExample]) -> RankingBatch:
        """A batch; `weight`, `margin`, `target` are (B,), `ties` a list of B lists."""
        rows = [sequence for example in examples for sequence in example["sequences"]]
        width = max(map(len, rows))
        return {
            "input_ids": torch.tensor([row + [self.pad_token_id] * (width - len(row)) for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
            "ties": [list(example["ties"]) for example in examples],
            "weight": torch.tensor([float(example["weight"]) for example in examples]),
            "margin": torch.tensor([float(example["margin"]) for example in examples]),
            "target": torch.tensor([float(example["target"]) for example in examples]),
        }


class RankingTrainer(RewardTrainer):  # type: ignore[misc]  # TRL is not typed
    """The loss of a batch is the mean over its rows of w · (ranking loss), plus the centring term.

    The centring term is `center_rewards_coefficient` times the mean squared reward of each row's answers
    summed over the row (Eisenstein et al. 2023, arXiv:2312.09244), so that rewards of all prompts share a zero.
    """

    def __init__(self, *, model: Any, config: RewardConfig, rankings: Sequence[TokenizedRanking], **kwargs: Any):
        collator = RankingCollator(kwargs["processing_class"].pad_token_id)
        super().__init__(model=model, args=config, train_dataset=as_dataset(rankings), data_collator=collator, **kwargs)
        self.remove_callback(PrinterCallback)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset  # tokenized already, by the model's own template, with nothing cut

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = list(COLUMNS)

    def scores(self, model: Any, batch: RankingBatch) -> torch.Tensor:
        """The rewards of a batch's answers, (N,), in float32."""
        outputs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
        scores: torch.Tensor = outputs.logits.squeeze(-1).float()
        return scores

    def compute_loss(
        self, model: Any, inputs: RankingBatch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The batch's loss; see the class."""
        scores = self.scores(model, inputs)
        losses = ranking_losses(scores, inputs)
        answers = torch.tensor([sum(ties) for ties in inputs["ties"]], device=scores.device)
        row_of = torch.repeat_interleave(torch.arange(len(answers), device=scores.device), answers)
        squares = torch.zeros_like(losses).index_add(0, row_of, scores.square())
        loss: torch.Tensor = (inputs["weight"] * losses).mean() + self.args.center_rewards_coefficient * squares.mean()
        value = loss.item()
        if not math.isfinite(value):
            raise StageError(
                f"reward ended at step {self.state.global_step + 1} because its loss is {value}. "
                "Use a smaller learning rate or look for broken rows in the dataset."
            )
        first, last = _ends(inputs["ties"])
        gaps = (scores[first] - scores[last]).detach()  # the best against the worst of each row
        seen = self._metrics["train"]
        seen["margin"].append(gaps.mean().item())
        seen["accuracy"].append((gaps > 0).float().mean().item())
        seen["reward"].append(scores.mean().item())
        return loss

    def right(self, rankings: Sequence[TokenizedRanking]) -> list[float]:
        """Per row the share of its ordered pairs of answers that the model orders the same, a tie in score as half."""
        found: list[float] = []
        size = self.args.per_device_train_batch_size
        dataset = as_dataset(rankings)
        self.model.to(self.args.device).eval()
        with torch.inference_mode(), self.compute_loss_context_manager():
            for start in range(0, len(dataset), size):
                rows = [dataset[i] for i in range(start, min(start + size, len(dataset)))]
                batch = self._prepare_inputs(self.data_collator(rows))
                scores = self.scores(self.model, batch).tolist()
                at = 0
                for ties in batch["ties"]:
                    found.append(ordered_share(scores[at : at + sum(ties)], ties))
                    at += sum(ties)
        self.model.train()
        return found


def ranking_losses(scores: torch.Tensor, batch: RankingBatch) -> torch.Tensor:
    """The unweighted losses of a batch's rows, (B,), from all its answers' scores, (N,)."""
    all_ties = batch["ties"]
    starts = [0]
    for ties in all_ties:
        starts.append(starts[-1] + sum(ties))
    pairs = [row for row, ties in enumerate(all_ties) if ties == [1, 1]]
    losses = scores.new_zeros(len(all_ties))
    if pairs:
        at = torch.tensor([starts[row] for row in pairs], device=scores.device)
        row = torch.tensor(pairs, device=scores.device)
        losses = losses.index_put(
            (row,), bradley_terry(scores[at], scores[at + 1], batch["margin"][row], batch["target"][row])
        )
    for index, ties in enumerate(all_ties):
        if ties != [1, 1]:
            here = torch.tensor([index], device=scores.device)
            losses = losses.index_put((here,), plackett_luce(scores[starts[index] : starts[index + 1]], ties)[None])
    return losses


def ordered_share(scores: Sequence[float], ties: Sequence[int]) -> float:
    """The share of pairs from different tie-groups that the scores order rightly; equal scores are half right.

    A single tie-group has no such pair: ½.
    """
    place = [group for group, size in enumerate(ties) for _ in range(size)]
    judged = [
        1.0 if better > worse else 0.5 if better == worse else 0.0
        for i, better in enumerate(scores)
        for j, worse in enumerate(scores)
        if place[i] < place[j]
    ]
    return sum(judged) / len(judged) if judged else 0.5


def _ends(all_ties: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Where each row's first and last answer stand among all."""
    first, last, at = [], [], 0
    for ties in all_ties:
        first.append(at)
        at += sum(ties)
        last.append(at - 1)
    return first, last


def as_dataset(rankings: Sequence[TokenizedRanking]) -> Dataset:
    """Tokenized rankings as the columns the trainer reads, with weights scaled to mean 1."""
    mean = sum(ranking.weight for ranking in rankings) / len(rankings) if rankings else 1.0
    return Dataset.from_list([{**asdict(ranking), "weight": ranking.weight / mean} for ranking in rankings])
