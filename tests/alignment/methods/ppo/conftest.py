"""What the tests of PPO train on: a tiny model with a reward model of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment.methods.registry import run_stage
from alignment.stage.spec import StageSpec
from tests.alignment.builders import vote
from tests.alignment.compiled import write_compiled
from tests.alignment.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(model, dataset, reward model)."""

    folder = tmp_path_factory.mktemp("ppo")
    model = make_tiny_model(folder / "model")
    votes = [vote(i, f"Gladly, friend {i}!", f"No {i}.", (1, 2), prompt=f"Question {i}?") for i in range(12)]
    write_compiled(votes, folder / "data")
    run_stage(StageSpec("reward", folder / "data", str(model), folder / "reward", {"epochs": 2, "dtype": "fp32"}, 1))
    return model, folder / "data", folder / "reward"
