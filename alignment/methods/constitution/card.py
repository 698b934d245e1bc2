"""Constitutional AI's card."""

from __future__ import annotations

from alignment.methods.card import Card
from alignment.methods.constitution.settings import ConstitutionSettings

CONSTITUTION = Card(
    name="constitution",
    title="constitution",
    learns_from="principles in a text file: the model, or a stronger one at an OpenAI-compatible address, criticises, "
    "revises and chooses; such rows are labelled `ai` and never mixed with people's unless asked",
    train="alignment.methods.constitution.train:train",
    settings=ConstitutionSettings,
    live=("step", "steps", "seconds_left", "pairs", "revised"),  # it makes rows, so it has no loss
    chain=("constitution", "dpo"),
    samples=True,
    asks_address=True,
)
