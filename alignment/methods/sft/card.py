"""Supervised fine-tuning's card."""

from __future__ import annotations

from alignment.methods.card import Card
from alignment.methods.sft.settings import SftSettings

SFT = Card(
    name="sft",
    title="SFT",
    learns_from="whole conversations (`train.jsonl`), or the rows worth imitating of a dataset",
    train="alignment.methods.sft.train:train",
    settings=SftSettings,
    continues=False,
)
