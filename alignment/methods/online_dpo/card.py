"""Online DPO's card."""

from __future__ import annotations

from alignment.methods.card import ANSWERS, COMMON, PREFERENCES, Card
from alignment.methods.online_dpo.settings import OnlineDpoSettings

ONLINE_DPO = Card(
    name="online-dpo",
    title="online DPO",
    learns_from="pairs and rankings through a reward model: two fresh answers a prompt, ordered by it",
    train="alignment.methods.online_dpo.train:train",
    settings=OnlineDpoSettings,
    live=(*COMMON, *ANSWERS, *PREFERENCES),
    chain=("reward", "online-dpo"),
    samples=True,
)
