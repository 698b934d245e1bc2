"""DPO's card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.methods.card import COMMON, PREFERENCES, Card
from alignment.methods.dpo.settings import DpoSettings
from alignment.methods.shared_training.few_pairs import MIN_PAIRS, few_pairs
from alignment.stage.spec import Setting


def _lacking(counts: Mapping[str, Any], settings: Mapping[str, Setting]) -> str | None:
    return few_pairs(counts["rows"]["pairs"]["train"], int(settings.get("min_pairs", MIN_PAIRS)), counts["judgements"])


DPO = Card(
    name="dpo",
    title="DPO",
    learns_from="preference pairs, each with its weight and the share of people on its side in the loss",
    train="alignment.methods.dpo.train:train",
    settings=DpoSettings,
    live=(*COMMON, *PREFERENCES),
    chain=("dpo",),
    lacking=_lacking,
)
