"""TRL's `DPOTrainer` with three differences: rows have numbers, texts may be imitated, the reference is asked once.

- TRL drops such columns silently (weights, targets, margins), so the loss is written out here, with each row's
  own in it; so is the term for texts worth imitating, of which TRL knows the chosen answers alone.
- The reference model is the model that training starts from. Its log-probabilities never change, so they
  are computed once, before the first step, by that very model: no second model, no second adapter.

What may not be done here: reading files, or choosing settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NotRequired, TypedDict

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.utils import pad

from alignment.errors import StageError
from alignment.methods.dpo.settings import DpoSettings
from alignment.methods.shared_training.preference_losses import Pairs, preference_loss
from alignment.methods.shared_training.rows_trainer import RowsTrainer
from alignment.methods.shared_training.tokenized import TokenizedAnswer, TokenizedPair

NUMBERS: Final = ("weight", "margin", "target", "imitate")  # of a row, beside its token ids
COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids", *NUMBERS, "answers")


class PairExample(TypedDict):
    """One row as the trainer hands it to the collator: token ids, `NUMBERS`, and the answers that travel with it."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    weight: float
    margin: float
    target: float
    imitate: float
    answers: NotRequired[list[int]]


@dataclass
class WeightedCollator(DataCollatorForPreference):  # type: ignore[misc]  # TRL is not typed
    """TRL's padding, with the rows' `NUMBERS` as tensors, and the `answers` that travel with them."""

    answers: Sequence[TokenizedAnswer] = ()

    def torch_call(self, examples: list[PairExample]) -> dict[str, torch.Tensor]:
        """B rows to `input_ids`, `attention_mask`, `completion_mask`, (2B, T), chosen first, and `NUMBERS`, (B,).

        Where answers travel with the rows, also `sft_…` of the first three, (K, U), and `sft_weight`, (K,).
        """
        batch: dict[str, torch.Tensor] = super().torch_call(examples)
        for name in NUMBERS:
            batch[name] = torch.tensor([float(example[name]) for example in examples])
        answers = [self.answers[number] for example in examples for number in example.get("answers", ())]
        if answers:
            batch["sft_input_ids"] = self._padded([answer.prompt + answer.completion for answer in answers])
            whole = [len(answer.prompt) + len(answer.completion) for answer in answers]
            batch["sft_attention_mask"] = self._padded([[1] * length for length in whole], 0)
            masks = [[0] * len(answer.prompt) + [1] * len(answer.completion) for answer in answers]
            batch["sft_completion_mask"] = self._padded(masks, 0)
            batch["sft_weight"] = torch.tensor([answer.weight for answer in answers])
        return batch

    def _padded(self, rows: list[list[int]], value: int | None = None) -> torch.Tensor:
        filler = self.pad_token_id if value is None else value
        padded: torch.Tensor = pad([torch.tensor(row) for row in rows], padding_value=filler)
        return padded


class WeightedDpoTrainer(RowsTrainer, DPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """DPO over weighted rows with soft labels, with the losses of `preference_losses`.

    With ℓ the loss of a gap, and g the gap between the chosen and the rejected answer, both as the loss that is
    set has them, the loss of a batch is the mean over its rows of w · (t·ℓ(g − s·m) + (1 − t)·ℓ(−g)).

    - w is the row's weight: how much was said. Weights should have mean 1, so that the learning rate means the
      same for every dataset.
    - t is its target: how much of that was for the chosen one. The compiler leaves the weight of a divided row
      as it is (`alignment.dataset.compile.shares`), so the doubt counts once, here.
    - m is its margin and s the setting `margin`; 0 leaves margins to the reward model. Amini et al. 2024 (ODPO,
      arXiv:2402.10571) subtract such an offset.

    With the setting `sft`, that many times the mean negative log-likelihood per token is added, of the chosen
    answers, each with weight w·t, and of the `answers` that are worth imitating without a rival (TRL's loss `sft`
    beside another; Pang et al. 2024, arXiv:2404.19733, have the mean of each answer by itself). An answer travels
    with one of the pairs, so that a pass over the pairs is a pass over the answers, however many there are.
    """

    def __init__(
        self,
        *,
        model: Any,
        config: DPOConfig,
        pairs: Sequence[TokenizedPair],
        settings: DpoSettings,
        answers: Sequence[TokenizedAnswer] = (),
        cycle: int = 0,
        **kwargs: Any,
    ) -> None:
        self.settings = settings
        self.cycle = cycle or config.max_steps
        collator = WeightedCollator(
            pad_token_id=kwargs["processing_class"].pad_token_id, answers=with_mean_one(answers)
        )
        super().__init__(model=model, args=config, train_dataset=as_dataset(pairs), data_collator=collator, **kwargs)
        self.settle()
        self.train_dataset: Dataset = self.with_reference(as_dataset(pairs))
        if answers:
            self.train_dataset = self.train_dataset.add_column("answers", shared_out(len(answers), len(pairs)))

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = [*COLUMNS, "ref_chosen_logps", "ref_rejected_logps"]

    def with_reference(self, dataset: Dataset) -> Dataset:
        """The rows with `ref_chosen_logps` and `ref_rejected_logps`: what the model as it is now makes of them."""
        chosen, rejected = self.logps(dataset)
        return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)

    def logps(self, dataset: Dataset) -> tuple[list[float], list[float]]:
        """Summed log-probabilities of every row's chosen and rejected answer under the model as it is now."""
        chosen: list[float] = []
        rejected: list[float] = []
        self.model.to(self.args.device).eval()
        with torch.inference_mode(), self.compute_loss_context_manager():
            for start in range(0, len(dataset), self.args.per_device_train_batch_size):
                rows = [
                    dataset[i] for i in range(start, min(start + self.args.per_device_train_batch_size, len(dataset)))
                ]
                batch = self._prepare_inputs(self.data_collator(rows))
                first, second = self.answer_logps(batch).chunk(2)
                chosen += first.tolist()
                rejected += second.tolist()
        self.model.train()
        return chosen, rejected

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool) -> torch.Tensor:
        chosen, rejected = self.answer_logps(inputs).chunk(2)  # (B,), (B,)
        chosen_tokens, rejected_tokens = inputs["completion_mask"].sum(dim=1).chunk(2)
        pairs = Pairs(
            chosen=chosen - inputs["ref_chosen_logps"],
            rejected=rejected - inputs["ref_rejected_logps"],
            chosen_tokens=chosen_tokens,
            rejected_tokens=rejected_tokens,
            margin=self.settings.margin * inputs["margin"],
            target=inputs["target"],
        )
        losses = preference_loss(self.settings.loss, pairs, self.settings.beta, self.settings.flips)  # (B,)
        loss: torch.Tensor = (inputs["weight"] * losses).mean()
        if self.settings.sft:
            nll = self.imitation(inputs, chosen, chosen_tokens)
            loss = loss + self.settings.sft * nll
        value = loss.item()
        if not math.isfinite(value):
            raise StageError(
                f"dpo ended at step {self.state.global_step + 1} because its loss is {value}. "
                "Use a smaller learning rate or look for broken rows in the dataset."
            )
        seen = self._metrics["train"]
        margins = (self.settings.beta * (pairs.chosen - pairs.rejected)).detach()
        seen["margin"].append(margins.mean().item())
        seen["accuracy"].append((margins > 0).float().mean().item())
        seen["logps_chosen"].append(chosen.mean().item())
        seen["logps_rejected"].append(rejected.mean().item())
        if self.settings.sft:
            seen["nll"].append(nll.item())
        return loss

    def imitation(
        self, inputs: dict[str, torch.Tensor], chosen: torch.Tensor, chosen_tokens: torch.Tensor
    ) -> torch.Tensor:
        """The mean negative log-likelihood per token of what is worth imitating in a batch, a scalar.

        An answer of weight w counts as w of them: sum of w · −log π(y) over the number of tokens.
        """
        summed = (inputs["weight"] * inputs["imitate"] * chosen).sum()
        tokens = chosen_tokens.sum()
        if "sft_weight" in inputs:
            summed = summed + (inputs["sft_weight"] * self.answer_logps(inputs, "sft_")).sum()
            tokens = tokens + inputs["sft_completion_mask"].sum()
        loss: torch.Tensor = -summed / tokens
        return loss


def as_dataset(pairs: Sequence[TokenizedPair]) -> Dataset:
    """Tokenized pairs as the columns the trainer reads, with weights scaled to mean 1."""
    mean = sum(pair.weight for pair in pairs) / len(pairs) if pairs else 1.0
    return Dataset.from_dict(
        {
            "prompt_ids": [pair.prompt for pair in pairs],
            "chosen_ids": [pair.chosen for pair in pairs],
            "rejected_ids": [pair.rejected for pair in pairs],
            "weight": [pair.weight / mean for pair in pairs],
            "margin": [pair.margin for pair in pairs],
            "target": [pair.target for pair in pairs],
            "imitate": [pair.imitate for pair in pairs],
        }
    )


def with_mean_one(answers: Sequence[TokenizedAnswer]) -> list[TokenizedAnswer]:
    """The answers with their weights scaled to mean 1, as those of the pairs are."""
    mean = sum(answer.weight for answer in answers) / len(answers) if answers else 1.0
    return [replace(answer, weight=answer.weight / mean) for answer in answers]


def shared_out(answers: int, pairs: int) -> list[list[int]]:
    """Which answers travel with which pair: numbers of answers for each pair, spread evenly."""
    places: list[list[int]] = [[] for _ in range(pairs)]
    for number in range(answers):
        places[number * pairs // answers].append(number)
    return places
