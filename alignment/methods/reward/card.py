"""The reward model's card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.methods.card import COMMON, PREFERENCES, Card
from alignment.methods.reward.settings import RewardSettings
from alignment.methods.shared_training.few_pairs import MIN_PAIRS, few_pairs
from alignment.stage.spec import Setting


def _lacking(counts: Mapping[str, Any], settings: Mapping[str, Setting]) -> str | None:
    rows = counts["rows"]
    usable = rows["pairs"]["train"] + rows.get("groups", {}).get("train", 0)
    return few_pairs(usable, int(settings.get("min_pairs", MIN_PAIRS)), counts["judgements"])


REWARD = Card(
    name="reward",
    title="reward model",
    learns_from="preference pairs and rankings",
    train="alignment.methods.reward.train:train",
    settings=RewardSettings,
    live=(*COMMON, *PREFERENCES, "reward"),
    continues=False,
    lacking=_lacking,
)
