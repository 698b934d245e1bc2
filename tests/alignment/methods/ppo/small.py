"""Settings and specs of a PPO stage that takes a second."""

from __future__ import annotations

from pathlib import Path

from alignment.stage.spec import Setting, StageSpec

SMALL: dict[str, Setting] = {
    "steps": 2,
    "rollouts": 16,
    "epochs": 2,
    "minibatch": 8,
    "microbatch": 4,
    "max_tokens": 8,
    "dtype": "fp32",
    "rate": 1e-3,
}


def spec_for(made: tuple[Path, Path, Path], out: Path, *, seed: int = 1, **settings: Setting) -> StageSpec:
    model, data, reward = made
    return StageSpec("ppo", data, str(model), out, {**SMALL, **settings}, seed, reward=reward)
