"""PPO's card."""

from __future__ import annotations

from alignment.methods.card import ANSWERS, COMMON, Card
from alignment.methods.ppo.settings import PpoSettings

PPO = Card(
    name="ppo",
    title="PPO",
    learns_from="pairs and rankings through a reward model; one frozen base in memory, adapters for policy and reward, "
    "the reference with the adapters off",
    train="alignment.methods.ppo.train:train",
    settings=PpoSettings,
    live=(*COMMON, *ANSWERS),
    chain=("reward", "ppo"),
    samples=True,
)
