"""How many answers run at once: what is set, else the rule."""

from __future__ import annotations

import pytest

from feedback_app.collect.capacity import answers_at_once, tokens_at_once
from feedback_app.settings import Settings
from serving.model_check import ModelFacts

FACTS = ModelFacts("t", "w", 8192, None, "X", kv_bytes=46_080)


@pytest.mark.parametrize(
    ("settings", "cores", "answers"),
    [
        ({}, 1, 32),
        ({}, 2, 64),
        ({}, 64, 128),
        ({}, None, 256),
        ({"answers_at_once": 7}, 2, 7),
        ({"vllm_args": "--dtype float32 --max-num-seqs 16"}, 2, 16),
        ({"vllm_args": "--max-num-seqs=1000"}, None, 256),
    ],
)
def test_answers_follow_the_machine_unless_they_are_set(
    settings: dict[str, object], cores: int | None, answers: int
) -> None:
    assert answers_at_once(Settings(**settings), cores) == answers  # type: ignore[arg-type]


def test_tokens_are_what_our_own_cache_on_cpu_holds() -> None:
    assert tokens_at_once(Settings(vllm_kv_gib=2), FACTS, 2) == 2 * 2**30 // 46_080
    assert tokens_at_once(Settings(), FACTS, None) == 0
    assert tokens_at_once(Settings(), None, 2) == 0
