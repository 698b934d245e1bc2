"""RLOO's card."""

from __future__ import annotations

from alignment.methods.card import ANSWERS, COMMON, Card
from alignment.methods.rloo.settings import RlooSettings

RLOO = Card(
    name="rloo",
    title="RLOO",
    learns_from="pairs and rankings through a reward model, with TRL's RLOO",
    train="alignment.methods.rloo.train:train",
    settings=RlooSettings,
    live=(*COMMON, *ANSWERS),
    chain=("reward", "rloo"),
    samples=True,
)
