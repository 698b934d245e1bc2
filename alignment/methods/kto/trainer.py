"""TRL's `KTOTrainer` with three differences: rows have numbers, epochs differ, and the reference is asked once.

- TRL drops such columns silently (weights, targets), so the loss is written out here, with each row's own in it.
- TRL's KL estimate pairs each prompt with its neighbour's answer, so a batch is fixed before training, and
  TRL then repeats the same batches in every epoch. Here every epoch's order is drawn beforehand and laid
  out in one long dataset; likes and dislikes are interleaved, so that every batch holds both.
- The reference's log-probabilities never change: they are computed once, before the first step.

What may not be done here: reading files, or choosing settings.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, Final, NotRequired, TypedDict

import torch
from datasets import Dataset
from trl import KTOConfig, KTOTrainer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from alignment.errors import StageError
from alignment.methods.shared_training.rows_trainer import RowsTrainer
from alignment.methods.shared_training.tokenized_labels import TokenizedMark

NUMBERS: Final = ("weight", "target")  # of a row, beside its token ids
COLUMNS = ("prompt_ids", "completion_ids", "KL_completion_ids", "label", *NUMBERS, "ref_logps", "ref_KL_logps")


class MarkExample(TypedDict):
    """One row as the trainer hands it to the collator: token ids, those of a neighbour's answer, and `NUMBERS`."""

    prompt_ids: list[int]
    completion_ids: list[int]
    KL_completion_ids: NotRequired[list[int]]
    label: bool
    weight: float
    target: float


class WeightedCollator(DataCollatorForUnpairedPreference):  # type: ignore[misc]  # TRL is not typed
    """TRL's padding, with the rows' weights and targets as tensors, (B,)."""

    def torch_call(self, examples: list[MarkExample]) -> dict[str, torch.Tensor]:
        """B rows to TRL's tensors, those of the mismatched answers (`KL_…`), `weight` and `target`, (B,)."""
        batch: dict[str, torch.Tensor] = super().torch_call(examples)
        for name in NUMBERS:
            batch[name] = torch.tensor([float(example[name]) for example in examples])
        return batch


class WeightedKtoTrainer(RowsTrainer, KTOTrainer):  # type: ignore[misc]  # TRL is not typed
    """KTO (Ethayarajh et al. 2024, arXiv:2402.01306, equations 7 and 8) over weighted rows.

    With r = β·(log π − log π₀) and z = β·max(0, mean of the mismatched answers' log-ratios), the loss of a
    batch is the mean over its rows of w · (1 − σ(r − z)) for likes and w · (1 − σ(z − r)) for dislikes;
    `weight` holds the row's own weight times its side's. Where people were divided, with a share t for the row's
    label, the row counts t as that and 1 − t as the other.
    """

    def __init__(
        self, *, model: Any, config: KTOConfig, marks: Sequence[TokenizedMark], cycle: int = 0, **kwargs: Any
    ) -> None:
        self.cycle = cycle or config.max_steps
        collator = WeightedCollator(pad_token_id=kwargs["processing_class"].pad_token_id)
        super().__init__(model=model, args=config, train_dataset=as_dataset(marks), data_collator=collator, **kwargs)
        self.settle()
        self.train_dataset: Dataset = self.with_reference(laid_out(marks, config))

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = list(COLUMNS)

    def with_reference(self, dataset: Dataset) -> Dataset:
        """The rows with `ref_logps` and `ref_KL_logps`: what the model as it is now makes of them.

        The same answer to the same prompt occurs in every epoch and is scored once.
        """
        matched = list(zip(map(tuple, dataset["prompt_ids"]), map(tuple, dataset["completion_ids"]), strict=True))
        mixed = list(zip(map(tuple, dataset["prompt_ids"]), map(tuple, dataset["KL_completion_ids"]), strict=True))
        distinct = sorted({*matched, *mixed}, key=lambda pair: (len(pair[0]) + len(pair[1]), pair))
        known = dict(zip(distinct, self.logps(distinct), strict=True))
        return dataset.add_column("ref_logps", [known[pair] for pair in matched]).add_column(
            "ref_KL_logps", [known[pair] for pair in mixed]
        )

    def logps(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
        """Summed log-probabilities of answers after their prompts under the model as it is now."""
        found: list[float] = []
        size = 2 * self.args.per_device_train_batch_size
        self.model.to(self.args.device).eval()
        with torch.inference_mode(), self.compute_loss_context_manager():
            for start in range(0, len(pairs), size):
                rows = [
                    {
                        "prompt_ids": list(prompt),
                        "completion_ids": list(answer),
                        "label": True,
                        "weight": 1.0,
                        "target": 1.0,
                    }
                    for prompt, answer in pairs[start : start + size]
                ]
                found += self.answer_logps(self._prepare_inputs(self.data_collator(rows))).tolist()
        self.model.train()
        return found

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool) -> torch.Tensor:
        with torch.no_grad():
            drift = (self.answer_logps(inputs, "KL_") - inputs["ref_KL_logps"]).mean().clamp(min=0)  # z / β
        logps = self.answer_logps(inputs)  # (B,)
        liked = inputs["label"].bool()
        rewards = self.beta * (logps - inputs["ref_logps"])
        signs = liked.to(rewards.dtype) * 2 - 1
        value = torch.sigmoid(signs * (rewards - self.beta * drift))
        target = inputs["target"]
        loss: torch.Tensor = (inputs["weight"] * (target * (1 - value) + (1 - target) * value)).mean()
        if not math.isfinite(loss.item()):
            raise StageError(
                f"kto ended at step {self.state.global_step + 1} because its loss is {loss.item()}. "
                "Use a smaller learning rate or look for broken rows in the dataset."
            )
        seen = self._metrics["train"]
        seen["kl"].append(drift.item())
        seen["accuracy"].append((signs * rewards > 0).float().mean().item())
        if liked.any():
            seen["logps_chosen"].append(logps[liked].mean().item())
        if (~liked).any():
            seen["logps_rejected"].append(logps[~liked].mean().item())
        if liked.any() and (~liked).any():
            seen["margin"].append((rewards[liked].mean() - rewards[~liked].mean()).item())
        return loss


def interleaved(labels: Sequence[bool], rng: random.Random) -> list[int]:
    """An order of the rows, drawn anew by each call, in which likes and dislikes are spread evenly.

    The k-th of n likes stands at (k + u) / n of the way and likewise each dislike, u drawn for each row, so
    any stretch of rows holds both kinds in about their shares.
    """
    places: list[tuple[float, int]] = []
    for kind in (True, False):
        rows = [row for row, label in enumerate(labels) if label is kind]
        rng.shuffle(rows)
        places += [((place + rng.random()) / len(rows), row) for place, row in enumerate(rows)]
    return [row for _, row in sorted(places)]


def laid_out(marks: Sequence[TokenizedMark], config: KTOConfig) -> Dataset:
    """All the rows that a run will see, in order, each with the answer of its neighbour in the batch."""
    rng = random.Random(config.seed)
    size, wanted = config.per_device_train_batch_size, config.max_steps * config.per_device_train_batch_size
    order: list[int] = []
    while len(order) < wanted:
        order += interleaved([mark.label for mark in marks], rng)
    rows = [marks[row] for row in order[:wanted]]
    rotated: list[list[int]] = []
    for start in range(0, len(rows), size):
        answers = [mark.completion for mark in rows[start : start + size]]
        rotated += answers[-1:] + answers[:-1]  # a prompt with another row's answer, as in TRL
    return as_dataset(rows, scale_by=marks).add_column("KL_completion_ids", rotated)


def as_dataset(marks: Sequence[TokenizedMark], scale_by: Sequence[TokenizedMark] | None = None) -> Dataset:
    """Tokenized marks as the columns the trainer reads; weights scaled so that those of `scale_by` have mean 1."""
    scale = [mark.weight for mark in (scale_by or marks)]
    mean = sum(scale) / len(scale)
    return Dataset.from_dict(
        {
            "prompt_ids": [mark.prompt for mark in marks],
            "completion_ids": [mark.completion for mark in marks],
            "label": [mark.label for mark in marks],
            "weight": [mark.weight / mean for mark in marks],
            "target": [mark.target for mark in marks],
        }
    )
