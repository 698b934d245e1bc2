"""Pretraining's card."""

from __future__ import annotations

from alignment.methods.card import Card
from alignment.methods.pretrain.settings import PretrainSettings

PRETRAIN = Card(
    name="pretrain",
    title="pretraining",
    learns_from="conversations (`train.jsonl`) or plain text (`corpus.txt`), from nothing",
    train="alignment.methods.pretrain.train:train",
    settings=PretrainSettings,
    needs_model=False,
    continues=False,
)
