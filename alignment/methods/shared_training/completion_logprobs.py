"""Summed log-probabilities of a padded batch's answers, through TRL's head that keeps no logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def answer_logps(model: Any, batch: Mapping[str, torch.Tensor], prefix: str = "") -> torch.Tensor:
    """One sum of nats for each row, (R,), of the answer's tokens after its prompt.

    `batch` holds `input_ids`, `attention_mask` and `completion_mask`, (R, T), their names after `prefix`. The model
    must have TRL's fused head (`add_fused_lm_head`) with `log_probs` among its outputs.
    """
    mask = batch[f"{prefix}completion_mask"]
    labels = batch[f"{prefix}input_ids"].masked_fill(mask == 0, -100)
    outputs = model(
        input_ids=batch[f"{prefix}input_ids"],
        attention_mask=batch[f"{prefix}attention_mask"],
        labels=labels,
        use_cache=False,
        fused_lm_head=True,
    )
    answers = mask[:, 1:]
    summed: torch.Tensor = (outputs.log_probs[:, -answers.size(1) :].float() * answers).sum(dim=1)
    return summed
