"""A finished reward model: what its folder says, and how it scores answers.

    reward.json               {"kind": "reward", "form", "members", "base", "mean", "std"}: it cannot be served
    member-0/ …               one LoRA adapter with its head each, or whole weights

What may not be done here: training one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alignment.errors import StageError

FACTS = "reward.json"


@dataclass(frozen=True, slots=True)
class RewardFacts:
    """`form` is adapter or full, `base` the model it was made from.

    `mean` and `std` are those of its scores on the training answers: (score − mean) / std is the reward's unit.
    """

    form: str
    members: int
    base: str
    mean: float
    std: float
    kind: str = "reward"

    def write(self, folder: Path) -> None:
        """Into a folder that is being made."""
        (folder / FACTS).write_text(json.dumps(asdict(self), sort_keys=True, indent=1) + "\n", encoding="utf-8")


def is_reward_model(folder: Path) -> bool:
    """Whether an artifact's folder holds a reward model, which nobody can be answered with."""
    return (folder / FACTS).is_file()


def read_facts(folder: Path) -> RewardFacts:
    """What the folder says. Raises `StageError` when it holds no reward model."""
    try:
        raw = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return RewardFacts(raw["form"], int(raw["members"]), raw["base"], float(raw["mean"]), float(raw["std"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StageError(
            f"{folder} holds no reward model. Train one first: alignloop train reward --data DIR --model DIR --out DIR."
        ) from error


def member(folder: Path, number: int) -> Path:
    """The folder of one member of the ensemble."""
    return folder / f"member-{number}"


def base_for_scores(source: str, *, bf16: bool) -> Any:
    """The model of a folder or hub name with one score as its output; the head is new, in float32.

    Decoders and encoders alike, as transformers' `AutoModelForSequenceClassification` takes them.
    """
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # that the head is new and the language head unused is what is wanted
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            source, num_labels=1, dtype=torch.bfloat16 if bf16 else torch.float32, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StageError(f"{source} is not a model that a reward model can be made of: {reason}") from error
    finally:
        logging.set_verbosity(level)
    model.config.use_cache = False
    head(model).float()
    return model


def head(model: Any) -> Any:
    """The module that makes a score of a hidden state: `score` in decoders, `classifier` in encoders."""
    for name in ("score", "classifier"):
        if hasattr(model, name):
            return getattr(model, name)
    raise StageError(f"{type(model).__name__} has no head that is called score or classifier; choose another backbone.")


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Any, Any]:
    """Rows of token ids as (N, T) ids and mask, padded on the right."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask
