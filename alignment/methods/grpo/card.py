"""GRPO's card."""

from __future__ import annotations

from alignment.methods.card import ANSWERS, COMMON, Card
from alignment.methods.grpo.settings import GrpoSettings

GRPO = Card(
    name="grpo",
    title="GRPO",
    learns_from="pairs and rankings through a reward model, with TRL's GRPO",
    train="alignment.methods.grpo.train:train",
    settings=GrpoSettings,
    live=(*COMMON, *ANSWERS),
    chain=("reward", "grpo"),
    samples=True,
)
