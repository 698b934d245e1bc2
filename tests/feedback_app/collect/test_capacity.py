"""How many answers run at once: what is set, else the rule."""

from __future__ import annotations

import pytest

from feedback_app.collect.capacity import answers_at_once
from feedback_app.settings import Settings


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
